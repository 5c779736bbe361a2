"""A real VS Code: a plan is approved step by step in its own editor and shows how far it is; another is rejected."""

import threading

import pytest

from tests.anthropic_server import ScriptedBrain, calls, finish, plan, reflect
from tests.editors.code_server import missing
from tests.editors.vscode_desk import FIX, Desk, after, picture, task
from tests.editors.vscode_window import Window
from tests.scenarios.scene import PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


async def test_a_plan_is_approved_step_by_step_its_open_document_follows_and_another_is_rejected(desk: Desk) -> None:
    goes_on = threading.Event()
    brain = ScriptedBrain(
        planning=[plan("Read it", "Mend it"), plan("Another", "One")],
        execution=[calls(finish("read")), after(goes_on, calls(FIX)), calls(finish("mended"))],
        reflection=[reflect("continue"), reflect("continue")],
    )
    window = await desk.open("stepwise", PROJECT, brain)
    await window.show("calc.py")
    await task(window, "make add add", "Agent: New Task, Plan First…")
    waiting = await window.state("awaiting_approval")
    await window.palette("Agent: Show Plan")
    await reads(window, "[ ] Read it", "[ ] Mend it")
    await window.click(".editor-actions .action-label.codicon-checklist")
    await window.state("paused")
    await reads(window, "[x] Read it", "[ ] Mend it")
    try:
        await window.palette("Agent: Run One Step")
        await window.state("executing")
        held = await reads(window, "[x] Read it", "Mend it")
        await window.host("await vscode.commands.executeCommand('notifications.clearAll')")
        await picture(window, "plan-live")
    finally:
        goes_on.set()
    await window.state("proposed", "paused")
    await reads(window, "[x] Read it", "[x] Mend it")
    await window.host("await vscode.commands.executeCommand('workbench.action.closeAllEditors')")

    await task(window, "make it nice", "Agent: New Task, Plan First…")
    await window.state("awaiting_approval")
    await window.palette("Agent: Reject Plan…")
    await window.fill("")
    rejected = await window.state("discarded")

    assert "[x] Mend it" not in held
    assert (waiting["goal"], rejected["goal"]) == ("make add add", "make it nice")
    assert await window.wrong() == []


async def reads(window: Window, *steps: str) -> str:
    """The document of the plan as it is shown, once it has these words."""
    return str(
        await window.page(
            """const lines = page.locator('.editor-instance .view-lines').first();
            const plain = async () => (await lines.innerText()).replaceAll('\\u00a0', ' ').replaceAll('*', '');
            for (let n = 0; n < 600; n++) {
                const text = await plain();
                if (args.every((words) => text.includes(words))) { return text; }
                await page.waitForTimeout(100);
            }
            throw new Error(await plain());""",
            list(steps),
        )
    )
