"""In every editor, on the edge alone: where a run begins, what it asks, how it is stopped, what typing does to it."""

import json
from typing import Any

import pytest

from tests.profiles.conftest import Desk, Sit
from tests.profiles.editor import EDITORS
from tests.server.conftest import CALC
from tests.server.raw_client import Json, path_for

FILES = {"calc.py": CALC, "tests/test_calc.py": "def test_add():\n    assert True\n"}
PROVEN = "(proven: 1 fixed, 0 broken)"
LINT: Json = {
    "range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 10}},
    "message": "wrong sign",
    "source": "lint",
    "severity": 2,
}


@pytest.mark.parametrize("name", EDITORS)
async def test_a_run_is_begun_steered_and_stopped_with_what_the_editor_has(sit: Sit, name: str) -> None:
    desk = await sit(name, FILES)
    calc = desk.client.open(desk.root / "calc.py", "# agent: rest\n" + CALC)
    await a_diagnostic_is_carried_to_its_proposal_and_that_discarded(desk, calc)
    await a_plan_waits_and_is_approved(desk, calc)
    await typing_over_the_proposed_line_is_kept(desk, calc)
    await typing_elsewhere_brings_it_back_by_itself(desk, calc)
    await an_open_question_is_answered_by_a_comment(desk, calc)
    await equal_questions_are_both_answered(desk, calc)
    await a_closed_question_can_still_be_answered(desk, calc)
    await a_run_is_cancelled(desk, calc)
    await the_log_is_found(desk, calc)
    await desk.leave()


async def test_an_editor_that_waits_ten_seconds_is_answered_while_an_accepted_change_is_tested(sit: Sit) -> None:
    desk = await sit("emacs-30.1-eglot", FILES)
    me = desk.person
    calc = desk.client.open(desk.root / "calc.py", "# agent: rest\n" + CALC)
    await state(desk, calc, "long")
    await me.see(lambda: me.marks(calc, PROVEN))
    await me.press(calc, 0, "Accept all")
    assert desk.client.slowest_answer_s < 5, "it is answered that it is pending"
    await me.see(lambda: me.marks(calc, "Its run is validating"))
    await me.press(calc, 0, "Cancel run long")
    await desk.leave()


async def a_diagnostic_is_carried_to_its_proposal_and_that_discarded(desk: Desk, calc: str) -> None:
    me, before = desk.person, desk.person.text(calc)
    await me.press(calc, 1, "Agent: fix this", mark=LINT)
    await me.see(lambda: me.marks(calc, f"Proposed: `return a + b` {PROVEN}"))
    assert [goal for goal in await called(desk, "run", "goal") if goal == "Fix: wrong sign"]
    await me.press(calc, 2, "Discard change `return a + b`")
    await gone(desk, calc)
    assert me.text(calc) == before


async def a_plan_waits_and_is_approved(desk: Desk, calc: str) -> None:
    me = desk.person
    await state(desk, calc, "stubborn", 'Agent: plan "stubborn" first')
    await me.see(lambda: me.marks(calc, "Plan: Mend add."))
    await me.press(calc, 0, "Approve plan of stubborn")
    await me.see(lambda: me.marks(calc, PROVEN))


async def typing_over_the_proposed_line_is_kept(desk: Desk, calc: str) -> None:
    me = desk.person
    me.write(calc, "a - b", "a - b - 0")
    await me.see(lambda: me.marks(calc, "stale"))
    assert not [title for title in await me.titles(calc, 2) if title.startswith("Accept")]
    await me.see(lambda: me.marks(calc, "the same lines were changed meanwhile. Discard it, or take your edit back"))
    assert [title for title in await me.titles(calc, 2) if title.startswith("Test again (stale")]
    mine = me.text(calc)
    await me.press(calc, 0, "Discard all")
    await gone(desk, calc)
    assert me.text(calc) == mine
    me.write(calc, "a - b - 0", "a - b")


async def typing_elsewhere_brings_it_back_by_itself(desk: Desk, calc: str) -> None:
    me = desk.person
    await state(desk, calc, "again")
    await me.see(lambda: me.marks(calc, PROVEN))
    me.write(calc, "a * 2", "2 * a")
    await me.see(lambda: me.marks(calc, "stale"))
    await me.see(lambda: me.marks(calc, PROVEN))
    if desk.client.editor.name == "plain":
        await me.press(calc, 0, "Discard all")
        await gone(desk, calc)
        return
    typed = me.text(calc)
    await me.press(calc, 2, "Accept change `return a + b`")
    await gone(desk, calc)
    assert me.text(calc) == typed.replace("a - b", "a + b")
    me.write(calc, "a + b", "a - b")


async def an_open_question_is_answered_by_a_comment(desk: Desk, calc: str) -> None:
    me = desk.person
    await state(desk, calc, "wonder")
    await me.see(lambda: me.marks(calc, "And why?") and me.messages("And why?"))
    me.write(calc, "agent: wonder", "agent: 3 is not -1")
    await me.press(calc, 0, 'Agent: answer "3 is not -1"')
    await me.see(lambda: me.marks(calc, PROVEN))
    assert await called(desk, "answer", "answer") == ["3 is not -1"]
    await me.press(calc, 0, "Discard all")
    await gone(desk, calc)


async def equal_questions_are_both_answered(desk: Desk, calc: str) -> None:
    """Two runs ask the same: an editor that merges equal questions must not take one away."""
    me, client = desk.person, desk.client
    await state(desk, calc, "ask")
    await me.see(lambda: len(me.messages("Which one?")) == 1)
    await state(desk, calc, "ask")
    await me.see(lambda: len(me.messages("Which one?")) == 2)
    for button in ("this", "that"):
        if client.editor.asks_with_buttons:
            await me.choose("Which one?", button)
        else:
            await me.press(calc, 0, f"Answer “{button}”: Which one?")
    await me.see(lambda: not me.marks(calc, "Which one?"))
    assert sorted(await called(desk, "answer", "answer"))[-2:] == ["that", "this"]
    assert len(set(await called(desk, "answer", "runId"))) == 3


async def a_closed_question_can_still_be_answered(desk: Desk, calc: str) -> None:
    me, client = desk.person, desk.client
    asked = len(me.messages("Which one?"))
    await state(desk, calc, "ask")
    await me.see(lambda: len(me.messages("Which one?")) > asked)
    if client.editor.asks_with_buttons:
        client.choose(client.questions()[0], None)
    await me.press(calc, 0, "Answer “that”: Which one?")
    await me.see(lambda: not me.marks(calc, "Which one?"))
    for _ in range(3):
        await me.press(calc, 0, "Cancel run ask")
    await me.no_more(calc, 0, "Cancel run")


async def a_run_is_cancelled(desk: Desk, calc: str) -> None:
    me = desk.person
    await state(desk, calc, "work")
    await me.press(calc, 0, "Cancel run work")
    await me.no_more(calc, 0, "Cancel run")
    if "window" in desk.client.editor.profile["capabilities"]:
        await me.see(lambda: me.progress("cancelled"))
    assert (await called(desk, "control", "action"))[-1] == "cancel"


async def the_log_is_found(desk: Desk, calc: str) -> None:
    me, client = desk.person, desk.client
    log = desk.root / ".agent-lsp" / "copilot_console.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("what happened\n")
    await me.press(calc, 0, "Agent: show the log")
    await me.see(lambda: client.shown or me.messages("The log is"))
    if client.shown:
        assert path_for(client.shown[-1]) == log
    else:
        assert me.messages("The log is")[0].endswith(str(log))


async def state(desk: Desk, calc: str, goal: str, title: str = "") -> None:
    """Writes the goal over the one of the first line, and takes its code action."""
    text = desk.person.text(calc)
    desk.person.write(calc, text[: text.index("\n")], f"# agent: {goal}")
    await desk.person.press(calc, 0, title or f'Agent: run "{goal}"')


async def gone(desk: Desk, calc: str) -> None:
    """Nothing is proposed any more."""
    await desk.person.see(lambda: not desk.person.marks(calc))


async def called(desk: Desk, name: str, key: str) -> list[Any]:
    """What the runtime was called with, in order: the values of one argument."""
    answer = await desk.client.command("agent.say", {"text": "what were you asked?"})
    return [row["args"][key] for row in json.loads(answer["reply"]) if row["call"] == name]
