"""`@agent` in the chat of a real VS Code (code-server in Chromium): a prompt, its steps, a button, a question."""

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, finish, say
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, Desk, picture
from tests.editors.vscode_window import Window
from tests.scenarios.scene import CALC, PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

CHAT = ".interactive-session"
ASK = Call("ask_user", {"question": "Which way?", "options": ["to the left", "to the right"]})


async def prompt(window: Window, words: str) -> None:
    """Says it in the chat."""
    await window.host("await vscode.commands.executeCommand('workbench.action.chat.open', {query: args})", words)


async def reads(window: Window, text: str) -> None:
    """Returns once the chat has these words."""
    await window.page("await page.locator(args[0]).filter({hasText: args[1]}).first().waitFor()", [CHAT, text])


async def lend(window: Window) -> None:
    """A language model for the editor, which hands a prompt to nobody without one. Ours is not asked."""
    await window.host(
        """kept.models = [{id: 'idle-1', name: 'Idle One', family: 'idle', version: '1', isDefault: true,
            isUserSelectable: true, maxInputTokens: 100000, maxOutputTokens: 8000, capabilities: {toolCalling: true}}];
        kept.modelsChanged();"""
    )
    await window.until("return (await vscode.lm.selectChatModels({id: 'idle-1'})).length === 1", what="a model")


async def test_a_prompt_in_the_chat_is_a_run_and_its_change_is_talked_about_and_accepted_there(desk: Desk) -> None:
    brain = ScriptedBrain([calls(ASK), calls(FIX), calls(finish("add adds now"))], chat=[say("A plus for a minus.")])
    window = await desk.open("chat", PROJECT, brain)
    await window.show("calc.py")
    await lend(window)
    await prompt(window, "@agent make add add")
    await reads(window, "Which way?")
    await window.click(f"{CHAT} .monaco-button", "to the left")
    await window.state("proposed")

    await prompt(window, "@agent what did you change?")
    await reads(window, "A plus for a minus.")
    await prompt(window, "@agent")
    await reads(window, "proven: 1 fixed, 0 broken")
    await picture(window, "chat")
    await window.click(f"{CHAT} .monaco-button", "Accept All")
    await window.state("applied")
    assert await window.text("calc.py") == CALC.replace("a - b", "a + b")
    assert window.thoughts == [], "the editor's model was asked"
    assert await window.wrong() == []
