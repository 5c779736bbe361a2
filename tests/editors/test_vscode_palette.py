"""A real VS Code: what the commands of the palette do that stand in no other test."""

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, finish, say
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, Desk, hunks, picture, task
from tests.editors.vscode_window import Window
from tests.scenarios.scene import CALC, PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

FIXED = CALC.replace("a - b", "a + b")


async def test_questions_talk_files_and_models_by_the_palette(desk: Desk) -> None:
    ask = Call("ask_user", {"question": "What is it called?"})
    notes = Call("write_file", {"path": "notes.txt", "content": "added\n"})
    brain = ScriptedBrain(
        [calls(ask), calls(FIX), calls(finish("add adds now")), calls(FIX, notes), calls(finish("with notes"))],
        chat=[say("A plus for a minus.")],
    )
    window = await desk.open("palette", PROJECT, brain)
    await window.show("calc.py")
    await task(window, "make add add")
    await window.state("blocked")
    await window.page("await page.locator('.quick-input-widget').filter({hasText: 'What is it called?'}).waitFor()")
    await window.page("await page.keyboard.press('Escape')")
    await window.palette("Agent: Answer the Question…")
    await window.page("await page.locator('.quick-input-widget').filter({hasText: 'What is it called?'}).waitFor()")
    await window.fill("sum")
    await window.state("proposed")
    await hunks(window, 1)
    await window.palette("Agent: Say Something to the Run…")
    await window.fill("what did you do?")
    await window.page("await page.locator('.notification-toast').filter({hasText: 'A plus for a minus.'}).waitFor()")
    await window.show("calc.py", 4)
    await window.palette("Agent: Previous Change")
    await window.until("return vscode.window.activeTextEditor?.selection.active.line === 1", what="the change")
    await window.palette("Agent: Test the Proposal Again")
    await window.state("validating")
    await window.state("proposed")
    await hunks(window, 1)
    await window.palette("Agent: Discard This Change")
    await window.state("discarded")

    await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
    await task(window, "make add add with notes")
    await window.state("proposed")
    await hunks(window, 2)
    await window.show("calc.py")
    await window.palette("Agent: Accept All Changes of This File")
    await hunks(window, 1)
    accepted = await window.text("calc.py")
    await window.host("await vscode.commands.executeCommand('agentLsp.runs.focus')")
    await window.page(
        """const row = page.locator('.tree-explorer-viewlet-tree-view .monaco-list-row').filter({hasText: 'notes.txt'});
        await row.first().hover();
        await row.first().locator('.action-label.codicon-discard').first().dispatchEvent('click');"""
    )
    await hunks(window, 0)
    await window.state("applied", "discarded")

    await window.host(
        """kept.models = [{id: 'scripted-1', name: 'Scripted One', family: 'scripted', version: '1',
            maxInputTokens: 100000, maxOutputTokens: 8000, capabilities: {toolCalling: true}}];
        kept.modelsChanged();"""
    )
    await window.until("return (await vscode.lm.selectChatModels({vendor: 'scripted'})).length === 1")
    chosen = await _model(window, "Scripted One", "editor")
    none = await _model(window, "The server's own choice", None)
    await window.palette("Agent: Get Started")
    await window.page("await page.getByText('Get started with Agent LSP').first().waitFor()")
    await picture(window, "walkthrough")

    assert accepted == FIXED
    assert not (window.folder / "notes.txt").exists()
    assert (chosen, none) == (["editor", "scripted-1"], [None, None])
    assert any("sum" in request.text for request in desk.model.requests)
    assert await window.wrong() == []


async def _model(window: Window, name: str, provider: str | None) -> list[str | None]:
    """Chooses one; what the person's settings then say."""
    await window.palette("Agent: Choose the Editor's Model…")
    await window.click(".quick-input-list .monaco-list-row", name)
    found: list[str | None] = await window.until(
        """const settings = vscode.workspace.getConfiguration('agentLsp');
        const said = ['model.provider', 'model.name'].map((key) => settings.inspect(key).globalValue ?? null);
        return said[0] === args && (args === null) === (said[1] === null) && said""",
        provider,
        "the setting",
    )
    return found
