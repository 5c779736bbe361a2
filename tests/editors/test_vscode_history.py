"""A real VS Code: what was applied is listed after a new start, looked at, rolled back and brought forward again."""

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, finish
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, LENS, Desk, hunks, picture, task
from tests.editors.vscode_window import Window
from tests.scenarios.scene import CALC, PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

FIXED = CALC.replace("a - b", "a + b")
PLANNED = {"title": "Turn the sign", "detail": "", "files": ["calc.py"], "acceptance": "tests pass"}


async def test_an_applied_change_is_listed_after_a_new_start_shown_rolled_back_and_brought_forward(desk: Desk) -> None:
    plan = calls(Call("submit_plan", {"assessment": "simple", "steps": [PLANNED]}))
    brain = ScriptedBrain(planning=[plan], execution=[calls(FIX), calls(finish("add adds now"))])
    window = await desk.open("history", PROJECT, brain)
    await window.show("calc.py")
    await task(window, "make add add")
    await window.state("proposed")
    await hunks(window, 1)
    await window.page("await page.locator(args).filter({hasText: 'Accept change'}).first().waitFor()", LENS)
    lenses = await window.page("return await page.locator(args).allInnerTexts()", LENS)
    await window.palette("Agent: Next Change")
    thread = await window.page(
        """const thread = page.locator('.review-widget .comment-body').first();
        await thread.waitFor({state: 'visible'}); return await thread.innerText()"""
    )
    await window.palette("Agent: Accept All Changes")
    await window.state("applied")
    await window.palette("Agent: Restart Server")
    await window.until(
        """try { return (await vscode.commands.executeCommand('agent.status', {})).runs.length === 0; }
        catch { return false; }""",
        what="the new server",
    )
    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")

    await roll(window, "Back")
    row = await window.page("return await page.locator('.quick-input-list .monaco-list-row').first().innerText()")
    await picture(window, "history")
    await window.page("await page.keyboard.press('Escape')")
    await window.page("await page.locator('.quick-input-widget').waitFor({state: 'hidden'})")
    silent = await window.page("return await page.locator('.notification-toast').allInnerTexts()")
    await roll(window, "Back")
    await window.page(
        """const row = page.locator('.quick-input-list .monaco-list-row').first();
        await row.hover();
        await row.locator('.action-label.codicon-diff').click();"""
    )
    preview = await window.until(
        """const document = vscode.window.activeTextEditor?.document;
        return document?.uri.path.startsWith('/checkpoint/') && document.getText()"""
    )
    untouched = await window.text("calc.py")
    await window.page("await page.locator('.quick-input-list .monaco-list-row').first().click()")
    await holds(window, CALC)
    await roll(window, "Forward")
    await window.page("await page.locator('.quick-input-list .monaco-list-row').first().click()")
    await holds(window, FIXED)
    await window.palette("Agent: Roll Forward…")
    await window.page(
        "await page.locator('.notification-toast').filter({hasText: 'nothing was rolled back'}).waitFor()"
    )

    assert lenses == [
        "Accept all (proven: 1 fixed, 0 broken)",
        "Discard all",
        "Show diff",
        "Accept change (proven: 1 fixed, 0 broken)",
        "Discard change",
        "Show diff",
    ]
    assert "Step: 1. Turn the sign" in thread
    assert "Its lines were run by: tests/test_add.py::test_add" in thread
    assert "add adds now" in row
    assert "calc.py" in row
    assert silent == [], "who thinks better of it is told nothing"
    assert "-    return a + b" in preview
    assert "+    return a - b" in preview
    assert untouched == FIXED
    assert await window.wrong() == []


async def roll(window: Window, where: str) -> None:
    """Opens the list."""
    await window.palette(f"Agent: Roll {where}…")
    await window.page("await page.locator('.quick-input-list .monaco-list-row').first().waitFor()")
    await window.page(
        "await page.locator('.quick-input-title').filter({hasText: args}).waitFor()", f"roll {where.lower()}"
    )


async def holds(window: Window, text: str) -> None:
    """Until the editor holds this text of the file."""
    await window.until(
        """const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, 'calc.py');
        return (await vscode.workspace.openTextDocument(uri)).getText() === args""",
        text,
    )
