"""Holds one conversation with a model to its promises: what it forgives, what it asks again, and when it stops."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.conversation import Conversation, Ended, Exchange, Patience, Voice, backoff_s
from agent_lsp.agent.desk import PauseSwitch, RunDesk
from agent_lsp.agent.meter import Meter
from agent_lsp.agent.model_work import TOOLS
from agent_lsp.agent.toolbox import Toolbox
from agent_lsp.agent.tools.tool import Bench
from agent_lsp.agent.veil import Veil
from agent_lsp.domain.conversation import ModelRequest, ModelTurn, Phase, StopReason, ToolResult
from agent_lsp.domain.errors import (
    BudgetSpentError,
    ModelBrokenError,
    ModelRefusedError,
    ModelRejectedError,
    ModelUnavailableError,
    PromptTooLongError,
    StuckError,
)
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Candidate, Clock
from agent_lsp.domain.task import Budget
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.storage.redaction import Redactor
from tests.plain import PlainCandidate, PlainTrees, files_under
from tests.scripted_model import Line, ScriptedModel, call, finish, results, texts, turn, wellformed


class Talk:
    """A conversation in the execution phase, over a real folder."""

    def __init__(self, root: Path, *lines: Line, budget: Budget | None = None) -> None:
        (root / "a.py").write_text("x = 1\n")
        trees = PlainTrees(root)
        self.candidate = PlainCandidate(trees, trees.keep(files_under(root)))
        self.model = ScriptedModel(execution=lines)
        self.slept: list[float] = []
        self.told: list[str] = []
        self.journal: list[tuple[EventKind, Mapping[str, Any]]] = []
        self.patience = Patience(attempts=4, broken_streams=2)
        self.now_s = 0.0
        clock = Clock(time.time, lambda: self.now_s, self.sleep)
        self.desk = RunDesk(Meter(budget or Budget(), clock.monotonic), PauseSwitch(lambda: None), lambda _q, _o: None)
        self.veil = Veil(Redactor({}).name, b"key")
        self.conversation = Conversation(Voice(self.model, clock, self.patience, self.veil), Phase.EXECUTION, "Work.")
        self.conversation.add("Do it.")

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now_s += delay_s
        await asyncio.sleep(0)

    async def go(self) -> Ended:
        async def no_suite(candidate: Candidate, tests: Sequence[str]) -> SuiteReport:
            return SuiteReport("none")

        def record(kind: EventKind, data: Mapping[str, Any]) -> None:
            self.journal.append((kind, data))

        bench = Bench(self.candidate, no_suite, self.desk)
        box = Toolbox(TOOLS[Phase.EXECUTION], bench, record, self.veil, commands_without_sandbox=True)
        try:
            return await self.conversation.until_ended(
                Exchange(box, lambda message, _: self.told.append(message), record, self.desk), "Call finish_step."
            )
        finally:
            await self.candidate.close()
            assert all(wellformed(request) for request in self.model.requests)

    def last_results(self) -> list[ToolResult]:
        return results(self.model.requests[-1])


Start = Callable[..., Talk]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return lambda *lines, **options: Talk(tmp_path, *lines, **options)


async def test_an_endpoint_that_is_down_is_asked_again_with_growing_pauses(start: Start) -> None:
    down = [ModelUnavailableError("529 overloaded") for _ in range(3)]
    talk = start(*down, finish("ok"))
    assert (await talk.go()).value == "ok"
    assert talk.slept == [0.5, 1.0, 2.0]
    assert [data["wait_s"] for kind, data in talk.journal if kind is EventKind.MODEL_TROUBLE] == talk.slept
    assert any("529 overloaded; asking again in 0.5 s" in line for line in talk.told)


async def test_the_pause_that_the_endpoint_asks_for_is_kept(start: Start) -> None:
    talk = start(ModelUnavailableError("429", retry_after_s=17.0), finish())
    await talk.go()
    assert talk.slept == [17.0]


async def test_patience_ends_with_the_last_error_and_a_line_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    talk = start(*[ModelUnavailableError("connection refused") for _ in range(4)])
    with caplog.at_level(logging.WARNING), pytest.raises(ModelUnavailableError, match="connection refused"):
        await talk.go()
    assert len(talk.model.requests) == 4
    assert "connection refused; giving up" in caplog.text


async def test_a_pause_longer_than_the_time_that_is_left_is_not_waited_for(start: Start) -> None:
    talk = start(ModelUnavailableError("429", retry_after_s=3600.0), budget=Budget(wall_clock_s=60.0))
    with pytest.raises(ModelUnavailableError):
        await talk.go()
    assert talk.slept == []


async def test_a_broken_stream_is_dropped_and_asked_again_from_the_last_whole_message(start: Start) -> None:
    talk = start(turn(call("read_file", path="a.py")), ModelBrokenError("the stream ended early"), finish("ok"))
    assert (await talk.go()).value == "ok"
    assert talk.model.requests[1].messages == talk.model.requests[2].messages


async def test_streams_that_always_break_are_given_up(start: Start) -> None:
    talk = start(*[ModelBrokenError("the stream ended early") for _ in range(3)])
    with pytest.raises(ModelBrokenError):
        await talk.go()
    assert len(talk.model.requests) == 3


async def test_an_endpoint_that_says_no_for_good_is_not_asked_again(start: Start) -> None:
    talk = start(ModelRejectedError("401 invalid key"))
    with pytest.raises(ModelRejectedError):
        await talk.go()
    assert len(talk.model.requests) == 1


async def test_a_conversation_too_long_is_asked_once_more_without_old_results(start: Start, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("".join(f"line_{number} = {number}\n" for number in range(300)))
    reads = [turn(call("read_file", path="long.py", start_line=number)) for number in range(1, 7)]
    talk = start(*reads, PromptTooLongError("400 prompt is too long"), finish("ok"))
    assert (await talk.go()).value == "ok"
    before, after = results(talk.model.requests[-2]), results(talk.model.requests[-1])
    assert 0 < len(after) < len(before)
    for shown, whole in zip(after, before[-len(after) :], strict=True):
        assert shown.text[:1000] == whole.text[:1000], "the last turns lose at most the middle of long results"
    assert "- read_file long.py -> long.py, lines 1-300 of 300" in texts(talk.model.requests[-1])
    [told] = [data for kind, data in talk.journal if kind is EventKind.CONTEXT_SHORTENED]
    assert told["afterTokens"] < told["beforeTokens"]


async def test_a_refusal_ends_with_the_models_words(start: Start) -> None:
    talk = start(turn("I cannot help with that.", stop=StopReason.REFUSAL))
    with pytest.raises(ModelRefusedError, match="I cannot help with that"):
        await talk.go()


async def test_an_answer_cut_at_its_length_runs_no_tool_and_is_asked_for_in_pieces(start: Start) -> None:
    cut = turn(call("write_file", path="b.py", content="half of"), stop=StopReason.LENGTH)
    talk = start(cut, turn("and then", stop=StopReason.LENGTH), finish("ok"))
    assert (await talk.go()).value == "ok"
    assert talk.last_results()[0].failed
    assert "smaller pieces" in texts(talk.model.requests[-1])
    assert EventKind.TOOL_CALLED not in [kind for kind, _ in talk.journal[:2]]


async def test_answers_that_stay_cut_stop_the_step(start: Start) -> None:
    talk = start(*[turn("on and on", stop=StopReason.LENGTH) for _ in range(3)])
    with pytest.raises(StuckError, match="length limit"):
        await talk.go()


async def test_prose_without_a_call_is_reminded_once_and_then_taken_as_the_end(start: Start) -> None:
    talk = start(turn("I think it is done."), turn("Yes, it is done."))
    ended = await talk.go()
    assert ended == Ended(None, "Yes, it is done.")
    assert "Call finish_step." in texts(talk.model.requests[1])
    assert [request.must_call for request in talk.model.requests] == [False, True]


async def test_an_empty_answer_is_treated_like_one_without_a_call(start: Start) -> None:
    talk = start(turn(" "), finish("ok"))
    assert (await talk.go()).value == "ok"


async def test_the_reminder_is_given_anew_after_work_went_on(start: Start) -> None:
    talk = start(turn("hm"), turn(call("read_file", path="a.py")), turn("hm"), finish("ok"))
    assert (await talk.go()).value == "ok"


async def test_an_unknown_tool_is_answered_with_those_that_exist(start: Start) -> None:
    talk = start(turn(call("grep", pattern="x")), finish())
    await talk.go()
    answer = talk.last_results()[0]
    assert answer.failed
    assert "There is no tool grep" in answer.text
    assert "search" in answer.text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "path: Field required"),
        ({"path": 7}, "path"),
        ({"path": "a.py", "start_line": 0}, "start_line"),
        ({"path": "a.py", "strat_line": 3}, "strat_line"),
        ({"path": ["a.py"]}, "path"),
        ({"path": None}, "path"),
        ({"INVALID_JSON": '{"path": '}, "INVALID_JSON"),
    ],
)
async def test_malformed_input_is_answered_with_what_is_wrong(
    start: Start, given: dict[str, object], named: str
) -> None:
    talk = start(turn(call("read_file", **given)), finish("ok"))
    assert (await talk.go()).value == "ok"
    answer = talk.last_results()[0]
    assert answer.failed
    assert named in answer.text
    assert "start_line" in answer.text, "the shape is told"


async def test_several_calls_of_one_turn_are_served_in_order_and_all_answered(start: Start) -> None:
    first = turn(
        "Doing three things.",
        call("write_file", path="b.py", content="y = 1\n"),
        call("edit_file", path="b.py", old_text="y = 1", new_text="y = 2"),
        call("read_file", path="b.py"),
    )
    talk = start(first, finish())
    await talk.go()
    answers = talk.last_results()
    assert [answer.failed for answer in answers] == [False, False, False]
    assert "y = 2" in answers[2].text


async def test_what_follows_the_end_in_the_same_turn_is_not_run(start: Start) -> None:
    talk = start(turn(call("finish_step", summary="ok"), call("delete_file", path="a.py")))
    assert (await talk.go()).value == "ok"
    last = talk.conversation.messages[-1].blocks
    assert [block.failed for block in last if isinstance(block, ToolResult)] == [False, True]
    assert "a.py" not in [data.get("input", {}).get("path") for kind, data in talk.journal]


async def test_a_step_is_not_finished_in_the_turn_of_a_failed_edit(start: Start) -> None:
    both = turn(call("edit_file", path="a.py", old_text="nope", new_text="y"), call("finish_step", summary="done"))
    talk = start(both, finish("now"))
    assert (await talk.go()).value == "now"


async def test_the_identical_failing_call_is_stopped_at_the_third_time(start: Start) -> None:
    same = [turn(call("edit_file", path="a.py", old_text="nope", new_text="y")) for _ in range(5)]
    talk = start(*same)
    with pytest.raises(StuckError) as stuck:
        await talk.go()
    assert "edit_file a.py failed 3 times" in stuck.value.message
    assert len(talk.model.requests) == 3


async def test_a_failing_call_may_be_repeated_after_the_files_changed(start: Start) -> None:
    def fail() -> ModelTurn:
        return turn(call("run_command", command="exit 1"))

    change = [turn(call("write_file", path="b.py", content=str(number))) for number in range(3)]
    talk = start(fail(), change[0], fail(), change[1], fail(), change[2], fail(), finish("ok"))
    assert (await talk.go()).value == "ok"


async def test_a_conversation_goes_on_after_it_was_stuck(start: Start) -> None:
    same = [turn(call("read_file", path="nope")) for _ in range(3)]
    talk = start(*same)
    with pytest.raises(StuckError):
        await talk.go()
    talk.conversation.add("Try another way.")
    request = ModelRequest(Phase.EXECUTION, "", talk.conversation.messages, ())
    assert wellformed(request)


async def test_the_budget_is_checked_before_every_turn(start: Start) -> None:
    reads = [turn(call("read_file", path="a.py")) for _ in range(9)]
    talk = start(*reads, budget=Budget(turns=2))
    with pytest.raises(BudgetSpentError, match="2 turns"):
        await talk.go()
    assert len(talk.model.requests) == 2


async def test_an_answer_that_takes_longer_than_the_time_left_ends_with_the_budget(start: Start) -> None:
    talk = start(finish(), budget=Budget(wall_clock_s=0.05))
    talk.model.hold[Phase.EXECUTION] = asyncio.Event()
    with pytest.raises(BudgetSpentError):
        await talk.go()


async def test_time_in_which_a_person_is_waited_for_is_not_counted() -> None:
    now_s = 0.0
    meter = Meter(Budget(wall_clock_s=10.0), lambda: now_s)
    now_s = 4.0
    meter.hold()
    now_s = 1000.0
    assert meter.worked_s == 4.0
    meter.go_on()
    now_s = 1003.0
    assert meter.remaining_s() == 3.0
    meter.check()
    now_s = 1007.0
    with pytest.raises(BudgetSpentError, match=r"10\.0 seconds"):
        meter.check()


async def test_cancelling_passes_through(start: Start) -> None:
    talk = start(finish())
    talk.model.hold[Phase.EXECUTION] = asyncio.Event()
    task = asyncio.create_task(talk.go())
    await talk.model.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_commands_are_denied_without_a_sandbox_unless_allowed_and_the_rule_is_journalled(start: Start) -> None:
    talk = start()
    journal: list[tuple[EventKind, Mapping[str, Any]]] = []

    async def no_suite(candidate: Candidate, tests: Sequence[str]) -> SuiteReport:
        return SuiteReport("none")

    box = Toolbox(TOOLS[Phase.EXECUTION], Bench(talk.candidate, no_suite), lambda *row: journal.append(row), talk.veil)
    served = await box.serve(call("run_command", command="echo hi > made"))
    await talk.candidate.close()
    assert served.result.failed
    assert "commands_without_sandbox" in served.result.text
    assert await talk.candidate.read("made") is None
    kinds = [kind for kind, _ in journal]
    assert kinds == [EventKind.TOOL_CALLED, EventKind.POLICY, EventKind.TOOL_ANSWERED]
    assert journal[1][1]["ruling"] == "deny"


def test_backoff_doubles_up_to_its_cap() -> None:
    patience = Patience(base_s=1.0, cap_s=5.0)
    assert [backoff_s(attempt, patience) for attempt in (1, 2, 3, 4, 9)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_turn_tells_its_calls() -> None:
    made: ModelTurn = turn("a", call("x"), "b", call("y"))
    assert (made.text, [c.name for c in made.calls]) == ("ab", ["x", "y"])
