"""A real VS Code: typing in the way, a kill in the middle of an apply, words, edits, pauses, two roots, consent."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish
from tests.editors.code_server import missing, servers_of
from tests.editors.vscode_desk import FIX, LENS, SHOP, SHOP_EDITS, TEST_TOTAL, Desk, after, hunks, picture, task
from tests.editors.vscode_window import Window
from tests.scenarios.scene import CALC, CONFIG, PROJECT, pids_below, write_project

Json = dict[str, Any]

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

LABEL = "# the label on the door"
MINE = ", which is mine"
MODULES = 150
"""Closed files that one proposal changes: so many that a kill comes in the middle of writing them."""


async def test_what_the_typing_is_not_in_the_way_of_is_accepted_and_the_rest_is_fresh_once_it_is_taken_back(
    desk: Desk,
) -> None:
    brain = ScriptedBrain(execution=[calls(*SHOP_EDITS), calls(finish("totals are right"))])
    files = {"shop.py": SHOP, "tests/test_total.py": TEST_TOTAL, "pyproject.toml": CONFIG}
    window = await desk.open("fits", files, brain)
    await window.show("shop.py")
    await task(window, "make the total right")
    await window.state("proposed")
    await hunks(window, 5)
    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
    await window.show("shop.py", SHOP.splitlines().index(LABEL))
    await window.page("await page.keyboard.press('End'); await page.keyboard.type(args)", MINE)
    await window.until(_PROBLEMS, "It does not fit the text as it now is", "the conflict")
    await window.page("await page.locator(args).filter({hasText: 'still fit'}).first().waitFor()", LENS)
    await window.page("await page.locator('.notification-toast').filter({hasText: '4 changes still do'}).waitFor()")
    busy = "page.locator('.notification-toast').filter({hasText: 'validating'})"
    await window.page(f"await {busy}.first().waitFor({{state: 'detached'}})")
    await picture(window, "fits-offered")
    typed = SHOP.replace(LABEL, LABEL + MINE)
    assert await window.text("shop.py") == typed

    await window.click(LENS, "Accept the 4 changes that still fit (tested first)")
    wanted = typed
    for call in (*SHOP_EDITS[:3], SHOP_EDITS[4]):
        wanted = wanted.replace(call.input["old_text"], call.input["new_text"])
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", wanted, "the four")
    await hunks(window, 1)
    await window.page(_ROW, "shop.py1 change")
    await window.page("await page.locator(args).filter({hasText: 'Not acceptable: It does'}).first().waitFor()", LENS)
    await picture(window, "fits-accepted")
    await window.show("shop.py", wanted.splitlines().index(LABEL + MINE))
    await window.page(
        "await page.keyboard.press('End'); for (const _ of args) { await page.keyboard.press('Backspace'); }", MINE
    )
    await window.page(
        """const lens = page.locator(args).filter({hasText: 'Accept change'}).first();
        await lens.waitFor({timeout: 60000}); await lens.click();""",
        LENS,
    )
    after = wanted.replace(LABEL + MINE, "# what stands on the door")
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", after, "the fifth")
    await window.state("applied")

    assert await window.wrong() == []


_ROW = """const rows = page.locator('.tree-explorer-viewlet-tree-view .monaco-list-row');
await rows.filter({hasText: args}).first().waitFor();"""
_PROBLEMS = """return vscode.languages.getDiagnostics().flatMap(([, all]) => all)
    .some(({source, message}) => source === 'agent-lsp' && message.includes(args));"""


async def test_a_server_killed_while_it_writes_many_files_leaves_none_half_done_and_applies_once(
    desk: Desk,
) -> None:
    names = [f"m{number:03}.py" for number in range(MODULES)]
    brain = ScriptedBrain(
        execution=[calls(Call("run_command", {"command": "sed -i 's/= 1/= 2/' m*.py"}), FIX), calls(finish())]
    )
    window = await desk.open("torn", {**PROJECT, **dict.fromkeys(names, "VALUE = 1\n")}, brain)
    await window.show("calc.py")
    await window.page("await page.keyboard.type('# typed and not saved\\n')")
    typed = "# typed and not saved\n" + CALC
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", typed, "the typed line")
    await task(window, "make add add, and two of every value")
    await window.state("proposed")
    await hunks(window, MODULES + 1)
    killed = servers_of(window.folder)
    killing = asyncio.ensure_future(asyncio.to_thread(_kill_on_change, window.folder, names, killed))
    await window.palette("Agent: Accept All Changes")
    seen = await killing

    async with asyncio.timeout(60):
        while servers_of(window.folder) in ([], killed):
            await asyncio.sleep(0.05)
    await window.state("proposed")
    await hunks(window, MODULES + 1)
    written = [name for name in names if (window.folder / name).read_text() != "VALUE = 1\n"]
    kept = await window.text("calc.py")
    await window.page("await page.locator(args).filter({hasText: 'Accept all'}).first().waitFor()", LENS)
    await window.page(_ROW, "make add add, and two of every value")
    said = await window.page("return await page.locator('.notification-toast').allInnerTexts()")
    await picture(window, "torn")
    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
    await window.palette("Agent: Accept All Changes")
    await window.state("applied")

    assert 0 < seen < MODULES, "the kill was not in the middle of the writing"
    assert written == []
    assert any("interrupted and has been taken back" in text for text in said), said
    assert not [text for text in said if "failed" in text or "disposed" in text], (
        "what the dead server left unanswered is no message"
    )
    assert kept == typed, "what was typed and not saved is what the editor holds"
    assert [(window.folder / name).read_text() for name in names] == ["VALUE = 2\n"] * MODULES
    assert await window.text("calc.py") == typed.replace("a - b", "a + b")
    assert (window.folder / "calc.py").read_text() == CALC
    assert await window.wrong() == []


def _kill_on_change(folder: Path, names: Sequence[str], servers: Sequence[int]) -> int:
    """kill -9 of the servers and all that they started, once one of the files is another; how many were by then."""
    doomed = [pid for server in servers for pid in (server, *pids_below(server))]
    watched = [folder / name for name in names[:: MODULES // 10]]
    before = [path.stat().st_ino for path in watched]
    end_s = time.monotonic() + 60
    while all(path.stat().st_ino == inode for path, inode in zip(watched, before, strict=True)):
        assert time.monotonic() < end_s, "nothing was written"
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    return sum((folder / name).read_text() != "VALUE = 1\n" for name in names)


async def test_a_run_is_paused_and_resumed_its_change_discarded_with_words_and_the_next_one_edited(desk: Desk) -> None:
    goes_on = threading.Event()
    brain = ScriptedBrain(
        execution=[
            after(goes_on, calls(FIX)),
            calls(finish("add adds now")),
            calls(edit("calc.py", "return a + b", "return b + a")),
            calls(finish("the other way round")),
        ]
    )
    window = await desk.open("steered", PROJECT, brain)
    await window.show("calc.py")
    try:
        await task(window, "make add add")
        await window.state("executing")
        await window.palette("Agent: Pause Run")
        paused = await window.state("paused")
        spent = paused["usage"]["outputTokens"]
        await window.page("await page.locator('.codicon-debug-continue').first().waitFor({state: 'attached'})")
        await window.page(
            "await page.locator(args).filter({hasText: 'Go on with make add add'}).first().waitFor()", LENS
        )
        await picture(window, "paused")
    finally:
        goes_on.set()
    async with asyncio.timeout(60):
        while (still := (await window.runs())[-1])["usage"]["outputTokens"] == spent:
            await asyncio.sleep(0.05)
    await window.palette("Agent: Resume Run")
    await window.state("proposed")
    await hunks(window, 1)

    await _to_next_change(window)
    await window.palette("Agent: Discard and Try Again…")
    await picture(window, "words")
    await window.fill("write b first")
    await window.until(_PROBLEMS, "`return b + a` (proven", "the second try")
    await _to_next_change(window)
    await window.palette("Agent: Edit This Change…")
    await window.until("return vscode.window.activeTextEditor?.document.getText() === '    return b + a\\n'")
    await window.page(
        """for (const key of ['Control+Home', 'End', 'Shift+Home']) { await page.keyboard.press(key); }
        await page.keyboard.type('return sum((b, a))');"""
    )
    await picture(window, "hunk-edit")
    await window.palette("Agent: Use This Text for the Change")
    await window.until(_PROBLEMS, "`return sum((b, a))` (proven", "the edited change, tested")
    await window.until("return vscode.window.activeTextEditor?.document.uri.path.endsWith('calc.py')", what="the file")
    await window.palette("Agent: Accept This Change")
    await window.state("applied")

    assert paused["goal"] == "make add add"
    assert still["state"] == "paused", "the model's answer waits for the person"
    assert any("write b first" in request.text for request in desk.model.requests)
    assert await window.text("calc.py") == CALC.replace("return a - b", "return sum((b, a))")
    assert await window.wrong() == []


async def _to_next_change(window: Window) -> None:
    """With its thread open, which takes the keyboard when it comes."""
    await window.palette("Agent: Next Change")
    await window.page("await page.locator('.review-widget .comment-body').first().waitFor({state: 'visible'})")


async def test_with_two_roots_each_task_goes_to_its_own_folder_and_the_tree_shows_both(desk: Desk) -> None:
    other = desk.base / "second"
    other.mkdir()
    write_project(other, PROJECT)
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish("second")), calls(FIX), calls(finish("first"))])
    window = await desk.open("first", PROJECT, brain, also=(other,))
    await window.host(
        """const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[1].uri, 'calc.py');
        await vscode.window.showTextDocument(uri, {preview: false});"""
    )
    await task(window, "make add add in the second")
    await window.state("proposed")
    await window.until(_MARKED, ["second"], "a proposal in the second folder")
    await window.host("await vscode.commands.executeCommand('workbench.action.closeAllEditors')")
    await window.palette("Agent: New Task…")
    await window.page(
        "await page.locator('.quick-input-list .monaco-list-row').filter({hasText: args}).first().click()", "first"
    )
    await window.fill("make add add in the first")
    await window.until(_MARKED, ["first", "second"], "a proposal in both")
    await window.host("await vscode.commands.executeCommand('agentLsp.runs.focus')")
    tree = await window.page(
        """const rows = page.locator('.tree-explorer-viewlet-tree-view .monaco-list-row');
        await rows.filter({hasText: 'make add add in the first'}).first().waitFor();
        await rows.filter({hasText: 'make add add in the second'}).first().waitFor();
        return await rows.allInnerTexts()"""
    )
    await picture(window, "two-roots")
    rows = {row["goal"]: row for row in await window.runs()}
    first, second = rows["make add add in the first"], rows["make add add in the second"]
    await window.host("await vscode.commands.executeCommand('agent.apply', {proposalId: args})", first["proposalId"])
    await window.until(
        "return (await vscode.workspace.fs.readFile(vscode.Uri.joinPath("
        "vscode.workspace.workspaceFolders[0].uri, 'calc.py'))).toString().includes('a + b')",
        what="the change in the first folder",
    )

    assert (first["root"], second["root"]) == (window.folder.as_uri(), other.as_uri())
    assert [row for row in tree if row.startswith("make add add in the firstfirst ·")], tree
    assert [row for row in tree if row.startswith("make add add in the secondsecond ·")], tree
    assert (window.folder / "calc.py").read_text() == CALC.replace("a - b", "a + b")
    assert (other / "calc.py").read_text() == CALC
    assert await window.wrong() == []


_MARKED = """const at = vscode.languages.getDiagnostics()
    .filter(([, all]) => all.some(({code}) => String(code).startsWith('h_')))
    .map(([uri]) => vscode.workspace.getWorkspaceFolder(uri)?.name);
return JSON.stringify(at.sort()) === JSON.stringify(args)"""


async def test_the_editors_own_model_is_asked_only_once_the_person_has_allowed_it(desk: Desk) -> None:
    def brain(request: Json) -> Json:
        if "submit_plan" in request["tools"]:
            step = {"title": "Mend add", "detail": "", "files": ["calc.py"], "acceptance": "tests pass"}
            return {"parts": [{"id": "c1", "name": "submit_plan", "input": {"assessment": "simple", "steps": [step]}}]}
        if not [part for part in request["messages"][-1]["content"] if "callId" in part]:
            return {"parts": [{"id": "c2", "name": FIX.name, "input": FIX.input}]}
        return {"parts": [{"id": "c3", "name": "finish_step", "input": {"summary": "add adds now"}}]}

    desk.server.brain = brain
    window = await desk.open("consent", PROJECT, settings={"agentLsp.model.provider": "editor"})
    await window.host(
        """kept.models = [{id: 'guarded-1', name: 'Guarded One', family: 'guarded', version: '1',
            requiresAuthorization: {label: 'somebody'},
            maxInputTokens: 100000, maxOutputTokens: 8000, capabilities: {toolCalling: true}}];
        kept.modelsChanged();"""
    )
    await window.until("return (await vscode.lm.selectChatModels({vendor: 'scripted'})).length === 1")
    await window.show("calc.py")
    await task(window, "make add add")
    question = await _dialog(window)
    await picture(window, "consent")
    before = len(window.thoughts)
    await window.click(".monaco-dialog-box .monaco-button", "Cancel")
    refused = await window.state("failed")
    await task(window, "make add add")
    await _dialog(window)
    await window.click(".monaco-dialog-box .monaco-button", "Allow")
    row = await window.state("proposed")

    assert "'Agent LSP' wants to access the language models" in question
    assert "Agent LSP plans and makes the change that you asked for" in question
    assert before == 0, "nothing was sent before the person said so"
    assert "allow" in refused["message"].lower(), refused["message"]
    assert row["verdict"] == "proven"
    assert await window.wrong() == []


async def _dialog(window: Window) -> str:
    """The words of the dialog that is in front."""
    return str(
        await window.page(
            """const box = page.locator('.monaco-dialog-box');
            await box.waitFor({state: 'visible'});
            return await box.innerText()"""
        )
    )
