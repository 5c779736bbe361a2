"""A real VS Code: changes of every kind side by side, several documents at once, lines that move, a branch, a kill."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, LENS, SHOP, SHOP_EDITS, TEST_TOTAL, Desk, hunks, picture, task
from tests.scenarios.scene import CALC, CONFIG, PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

FIXED = CALC.replace("a - b", "a + b")
FILES = {**PROJECT, "old.py": "OLD = 1\n", "name.py": "NAME = 1\nOTHER = 2\nTHIRD = 3\n"}


async def test_a_change_that_modifies_creates_deletes_and_renames_asks_nothing_and_is_seen_side_by_side(
    desk: Desk,
) -> None:
    work = (
        FIX,
        Call("write_file", {"path": "notes.md", "content": "# Notes\n"}),
        Call("delete_file", {"path": "old.py"}),
        Call("move_file", {"path": "name.py", "new_path": "label.py"}),
        Call("run_tests", {}),
        Call("run_command", {"command": "rm -f nothing && ls"}),
    )
    window = await desk.open("kinds", FILES, ScriptedBrain(execution=[calls(*work), calls(finish("all four kinds"))]))
    await window.show("calc.py")
    await task(window, "make add add")
    await window.page(_WATCH)
    await window.state("proposed")
    await window.until("return vscode.languages.getDiagnostics().flatMap(([, all]) => all).length >= 4")
    watched = await window.page("return await page.evaluate(() => window.seenInFront)")
    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
    await window.palette("Agent: Review: Open Changes")
    await window.page(
        "await page.locator('.multiDiffEntry .modified-in-monaco-diff-editor .view-line').nth(5).waitFor()"
    )
    entries = await window.page(_ENTRIES)
    await picture(window, "kinds")
    await window.palette("Agent: Accept All Changes")
    await window.state("applied")

    boxes = [text for kind, text in watched if kind != "toast"]
    toasts = [text for kind, text in watched if kind == "toast"]
    assert boxes == [], "neither a dialog nor a list came up"
    assert any("make add add" in text for text in toasts), "the watch saw what was there"
    assert not [text for text in toasts if "?" in text or "Allow" in text], "nothing in the sandbox is asked"
    sides = {name: (left, right) for name, left, right in entries}
    assert set(sides) == {"calc.py", "notes.md", "old.py", "label.py"}
    assert "return a - b" in sides["calc.py"][0]
    assert "return a + b" in sides["calc.py"][1]
    assert ("# Notes" in sides["notes.md"][0], "# Notes" in sides["notes.md"][1]) == (False, True)
    assert ("OLD = 1" in sides["old.py"][0], "OLD = 1" in sides["old.py"][1]) == (True, False)
    assert "NAME = 1" in sides["label.py"][0]
    assert "NAME = 1" in sides["label.py"][1]
    assert not (window.folder / "old.py").exists()
    assert (window.folder / "label.py").read_text() == FILES["name.py"]
    assert await window.text("notes.md") == "# Notes\n"
    assert await window.wrong() == []


_WATCH = """await page.evaluate(() => {
    const kinds = [['.notification-toast', 'toast'], ['.monaco-dialog-box', 'dialog'], ['.quick-input-widget', 'list']];
    window.seenInFront = [];
    const known = new Set();
    const look = () => {
        for (const [selector, kind] of kinds) {
            for (const found of document.querySelectorAll(selector)) {
                const text = found.innerText;
                if (found.offsetParent !== null && text !== '' && !known.has(kind + text)) {
                    known.add(kind + text);
                    window.seenInFront.push([kind, text]);
                }
            }
        }
    };
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true, attributes: true});
    look();
})"""
_ENTRIES = """const plain = (text) => text.replaceAll('\\u00a0', ' ');
const found = [];
for (const entry of await page.locator('.multiDiffEntry').all()) {
    const side = async (name) => {
        const lines = entry.locator(`.editor.${name} .view-lines`);
        return (await lines.count()) === 0 ? '' : plain(await lines.first().innerText());
    };
    const title = await entry.locator('.header .title .label-name').first().innerText();
    found.push([title.trim(), await side('original'), await side('modified')]);
}
return found"""


async def test_one_undo_takes_a_change_of_several_documents_back_and_bytes_folds_and_cursor_stay(desk: Desk) -> None:
    folded = "def first():\n    return 1\n\n\ndef second():\n    return 2\n\n\nLAST = 1\n"
    dos = b"\xef\xbb\xbfONE = 1\r\nTWO = 1\r\nTHREE = 3"
    work = (FIX, edit("folded.py", "LAST = 1", "LAST = 2"), edit("dos.py", "TWO = 1", "TWO = 2"))
    brain = ScriptedBrain(execution=[calls(*work), calls(finish("three files"))])
    window = await desk.open("several", {**PROJECT, "folded.py": folded, "dos.py": dos}, brain)
    for name in ("calc.py", "dos.py"):
        await window.show(name)
    await window.show("folded.py", 1)
    await window.host("await vscode.commands.executeCommand('editor.fold')")
    await window.show("folded.py", 5)
    before = await window.host(_PLACE)
    await task(window, "make add add")
    await window.state("proposed")
    await window.until("return vscode.languages.getDiagnostics().flatMap(([, all]) => all).length >= 3")
    await window.host("await vscode.commands.executeCommand('workbench.action.focusActiveEditorGroup')")
    await window.palette("Agent: Accept All Changes")
    await window.state("applied")
    changed = [await window.text(name) for name in ("calc.py", "folded.py", "dos.py")]
    after = await window.host(_PLACE)
    await window.host(
        """const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, 'dos.py');
        await (await vscode.workspace.openTextDocument(uri)).save();"""
    )
    saved = (window.folder / "dos.py").read_bytes()
    await window.page(
        """await page.locator('.monaco-editor').first().click({position: {x: 300, y: 300}});
        await page.keyboard.press('Control+z');
        const all = page.locator('.monaco-dialog-box .monaco-button').filter({hasText: /^Undo in/});
        await all.first().click({timeout: 10000}).catch(() => undefined);"""
    )
    await window.until(
        """const held = vscode.workspace.textDocuments.filter((one) => one.uri.scheme === 'file');
        return held.every((one) => args[one.uri.path.split('/').pop()]?.replaceAll('\\r', '') ===
            one.getText().replaceAll('\\r', '') || !(one.uri.path.split('/').pop() in args))""",
        {"calc.py": CALC, "folded.py": folded, "dos.py": dos.decode("utf-8-sig")},
        "one undo",
    )

    assert changed[0] == FIXED
    assert changed[1] == folded.replace("LAST = 1", "LAST = 2")
    assert changed[2].replace("\r", "") == dos.decode("utf-8-sig").replace("\r", "").replace("TWO = 1", "TWO = 2")
    assert before == after, "the cursor and what is folded stay"
    assert before["visible"] > 1, "a fold was there"
    assert saved == dos.replace(b"TWO = 1", b"TWO = 2")
    assert await window.wrong() == []


_PLACE = """const editor = vscode.window.activeTextEditor;
return {at: [editor.selection.active.line, editor.selection.active.character], visible: editor.visibleRanges.length}"""


async def test_lines_typed_above_move_a_change_and_another_branch_makes_it_stale_until_it_is_left(desk: Desk) -> None:
    brain = ScriptedBrain(execution=[calls(*SHOP_EDITS), calls(finish("totals are right"))])
    files = {"shop.py": SHOP, "tests/test_total.py": TEST_TOTAL, "pyproject.toml": CONFIG}
    window = await desk.open("moved", files, brain)
    git(window.folder, "checkout", "-q", "-b", "other")
    other = SHOP.replace("return price - 1", "return price - 2")
    (window.folder / "shop.py").write_text(other)
    git(window.folder, "commit", "-q", "-a", "-m", "other")
    git(window.folder, "checkout", "-q", "main")
    await window.show("shop.py")
    await task(window, "make the total right")
    await window.state("proposed")
    await hunks(window, 5)
    lines = await window.host(_LINES)
    git(window.folder, "checkout", "-q", "other")
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", other, "the branch")
    await window.page("await page.locator(args).filter({hasText: /no longer fits|not fit/}).first().waitFor()", LENS)
    kept = await window.text("shop.py")
    git(window.folder, "checkout", "-q", "main")
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", SHOP, "the first branch")
    await window.page(
        "await page.locator(args).filter({hasText: /^Accept all 5 .proven/}).first().waitFor({timeout: 60000})", LENS
    )
    await hunks(window, 5)

    at = SHOP.splitlines().index("RATE = 10")
    await window.show("shop.py", at)
    await window.page("await page.keyboard.type('# one\\n# two\\n')")
    typed = SHOP.replace("RATE = 10", "# one\n# two\nRATE = 10")
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", typed, "the typed lines")
    await window.until(f"return JSON.stringify(await (async () => {{ {_LINES} }})()) === args", _moved(lines, at))
    await window.until(_ALL, "stale", "the typing seen")
    await window.until(_ALL, "proven", "the change tested again")
    await window.page("await page.locator(args).filter({hasText: /^Accept all 5 .proven/}).first().waitFor()", LENS)
    tops = await window.page(_LENS_LINES, "RATE")
    await window.palette("Agent: Accept All Changes")
    wanted = typed
    for call in SHOP_EDITS:
        wanted = wanted.replace(call.input["old_text"], call.input["new_text"])
    await window.until("return vscode.window.activeTextEditor.document.getText() === args", wanted, "the change")
    await window.state("applied")

    assert kept == other, "nothing is forced on another branch"
    assert tops, "the lens stands above the line that it is about"
    assert await window.wrong() == []


_LINES = """return vscode.languages.getDiagnostics(vscode.window.activeTextEditor.document.uri)
    .filter(({code}) => String(code).startsWith('h_')).map(({range}) => range.start.line).sort((a, b) => a - b);"""
_ALL = """const ours = vscode.languages.getDiagnostics(vscode.window.activeTextEditor.document.uri)
    .filter(({code}) => String(code).startsWith('h_'));
return ours.length === 5 && ours.every(({message}) => message.includes(args));"""
_LENS_LINES = """const lens = page.locator('.codelens-decoration').filter({hasText: 'Accept change'});
const below = page.locator('.view-line').filter({hasText: 'price * 2 // RATE'}).first();
const line = await below.boundingBox();
for (const one of await lens.all()) {
    const box = await one.boundingBox();
    if (box !== null && box.y < line.y && line.y - box.y < 2.5 * line.height) { return true; }
}
return false"""


def _moved(lines: list[int], at: int) -> str:
    return str([line + 2 if line >= at else line for line in lines]).replace(" ", "")


def git(folder: Path, *words: str) -> None:
    """As the person does in a terminal."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


MODULES = 150


async def test_an_editor_killed_while_a_change_is_written_finds_all_of_it_or_nothing_when_it_is_loaded_again(
    desk: Desk,
) -> None:
    names = [f"m{number:03}.py" for number in range(MODULES)]
    work = Call("run_command", {"command": "sed -i 's/= 1/= 2/' m*.py"})
    brain = ScriptedBrain(execution=[calls(work, FIX), calls(finish())])
    window = await desk.open("gone", {**PROJECT, **dict.fromkeys(names, "VALUE = 1\n")}, brain)
    await window.show("calc.py")
    await task(window, "make add add, and two of every value")
    await window.state("proposed")
    await hunks(window, MODULES + 1)
    host = await window.host("return process.pid")
    killing = asyncio.ensure_future(asyncio.to_thread(_kill_on_change, window.folder, names, host))
    await window.palette("Agent: Accept All Changes")
    seen = await killing
    window = await desk.server.open(window.folder)
    await window.show("calc.py")
    await window.until(_QUIET, what="what was begun is mended")
    written = [name for name in names if (window.folder / name).read_text() != "VALUE = 1\n"]
    text = await window.text("calc.py")
    await picture(window, "gone")
    if text == CALC and not written:
        await hunks(window, MODULES + 1)
        await window.palette("Agent: Accept All Changes")
        await window.state("applied")

    assert 0 < seen < MODULES, "the kill was not in the middle of the writing"
    assert (text, len(written)) in ((CALC, 0), (FIXED, MODULES)), "all or nothing"
    assert [(window.folder / name).read_text() for name in names] == ["VALUE = 2\n"] * MODULES
    assert await window.text("calc.py") == FIXED
    assert await window.wrong() == []


_QUIET = """try {
    const known = await vscode.commands.executeCommand('agent.checkpoints', {});
    return known.checkpoints !== undefined && known.checkpoints.every(({state}) => state !== 'unfinished');
} catch { return false; }"""


def _kill_on_change(folder: Path, names: list[str], pid: int) -> int:
    """kill -9 of the editor's side, once one of the files is another; how many were by then."""
    watched = [folder / name for name in names[:: MODULES // 10]]
    before = [path.stat().st_ino for path in watched]
    end_s = time.monotonic() + 60
    while all(path.stat().st_ino == inode for path, inode in zip(watched, before, strict=True)):
        assert time.monotonic() < end_s, "nothing was written"
    os.kill(pid, signal.SIGKILL)
    return sum((folder / name).read_text() != "VALUE = 1\n" for name in names)
