"""A real VS Code: tasks and reviews that begin in the menus of the right button."""

import asyncio

import pytest

from tests.anthropic_server import ParsedRequest, Reply, ScriptedBrain, calls, finish, plan, stall
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, Desk, hunks
from tests.editors.vscode_window import Window
from tests.scenarios.scene import CALC, PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

FIXED = CALC.replace("a - b", "a + b")


async def test_a_task_begins_by_the_right_button_on_a_selection_on_a_file_and_on_a_problem(desk: Desk) -> None:
    def planning(request: ParsedRequest) -> Reply:
        return plan("Do it") if "Fix:" in request.text else stall(after=0)

    brain = ScriptedBrain(planning=[planning] * 4, execution=[calls(FIX), calls(finish("add adds now"))])
    window = await desk.open("menus", {**PROJECT, "far.py": "VALUE = 1\n" * 60 + "ODD = 2\n"}, brain)
    asked = len(desk.model.requests)
    await window.show("far.py")
    bare = await _menu(window, "VALUE = 1")
    await window.host(
        """const editor = vscode.window.activeTextEditor;
        editor.selection = new vscode.Selection(60, 0, 60, 7);
        editor.revealRange(editor.selection, vscode.TextEditorRevealType.InCenter);"""
    )
    full = await _menu(window, "ODD = 2", "New Task on the Selection…")
    await window.fill("make it even")
    selected = await window.state("planning")
    async with asyncio.timeout(60):
        while len(desk.model.requests) == asked:
            await asyncio.sleep(0.02)
    sent = desk.model.requests[asked].text
    await window.palette("Agent: Cancel Run")
    await window.state("cancelled")

    await window.host("await vscode.commands.executeCommand('workbench.view.explorer')")
    await window.page(
        """const row = page.locator('.explorer-folders-view .monaco-list-row').filter({hasText: 'calc.py'}).first();
        await row.click({button: 'right'});
        const item = page.locator('.monaco-menu .action-item').filter({hasText: 'New Task on This File…'}).first();
        await item.waitFor();
        await page.waitForTimeout(400);
        await item.click();"""
    )
    await window.fill("make the file nice")
    await window.page("await page.locator('.notification-toast').filter({hasText: 'make the file nice'}).waitFor()")
    on_file = await window.state("planning")
    await window.palette("Agent: Cancel Run")
    await window.state("cancelled")

    await window.show("calc.py", 1)
    await window.host(
        """kept.problems = vscode.languages.createDiagnosticCollection('checker');
        const problem = (words) => {
            const found = new vscode.Diagnostic(new vscode.Range(1, 4, 1, 16), words, 0);
            found.source = 'checker';
            return found;
        };
        const {uri} = vscode.window.activeTextEditor.document;
        kept.problems.set(uri, [problem('add must add'), problem('no sign is minus')]);"""
    )
    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
    await _menu(window, "return a - b", "Fix the Problem on This Line")
    await window.page("await page.locator('.quick-input-list .monaco-list-row').nth(1).waitFor()")
    await window.page("await page.keyboard.press('Escape')")
    await window.page("await page.locator('.quick-input-widget').waitFor({state: 'hidden'})")
    silent = await window.page("return await page.locator('.notification-toast').allInnerTexts()")
    await _menu(window, "return a - b", "Fix the Problem on This Line")
    await window.click(".quick-input-list .monaco-list-row", "add must add")
    on_problem = await window.state("proposed")
    await hunks(window, 1)
    reviewing = await _menu(window, "return a - b", "Accept This Change")
    await window.state("applied")

    assert "New Task on This File…" in bare
    assert not {"New Task on the Selection…", "Fix the Problem on This Line", "Accept This Change"} & set(bare)
    assert "New Task on the Selection…" in full
    assert "# Where: far.py, line 61\n" in sent, "which lines were selected reaches the model"
    assert "ODD = 2" in sent
    assert [row["goal"] for row in (selected, on_file)] == ["make it even", "make the file nice"]
    assert silent == [], "who thinks better of it is told nothing"
    assert on_problem["goal"] == "Fix: add must add"
    assert {"Edit This Change…", "Discard This Change", "Discard and Try Again…"} <= set(reviewing)
    assert await window.text("calc.py") == FIXED
    assert await window.wrong() == []


async def _menu(window: Window, line: str, item: str | None = None) -> list[str]:
    """What the menu Agent of a line has, and one of it taken, or none."""
    found: list[str] = await window.page(
        """const at = page.locator('.editor-instance .view-line').filter({hasText: args[0].replaceAll(' ', '\\u00a0')});
        const line = await at.count() > 0 ? at : page.locator('.view-line').filter({hasText: args[0]});
        await line.first().click({button: 'right', position: {x: 30, y: 8}});
        await page.locator('.monaco-menu .action-item').filter({hasText: /^Agent/}).first().click();
        const items = page.locator('.monaco-submenu .action-item');
        const mine = items.filter({hasText: 'New Task on This File…'});
        await mine.first().waitFor();
        const texts = (await items.allInnerTexts()).map((text) => text.split('\\n')[0].trim());
        if (args[1] === null) {
            await page.keyboard.press('Escape');
            await page.keyboard.press('Escape');
        } else {
            await page.waitForTimeout(400);  // a menu takes no click in its first tenth of a second
            await items.filter({hasText: args[1]}).first().click();
        }
        return texts;""",
        [line, item],
    )
    return found
