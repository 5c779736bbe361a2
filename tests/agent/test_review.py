"""Holds review to its promises as a person meets them: look, accept, discard, test again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_lsp.agent.shelf import ReviewOptions
from agent_lsp.domain.changes import FileMode
from agent_lsp.domain.errors import BadArgumentError, CandidateError, RefusedError, UnknownIdError
from agent_lsp.domain.events import EventKind
from agent_lsp.domain.ports import Buffer
from agent_lsp.domain.task import Goal, RunState
from agent_lsp.domain.verdict import NOT_RUN, Decision, Evidence, Verdict
from tests.agent.review_world import World, until

FIVE = "".join(f"line {number}\n" for number in range(1, 41))
"""A file with room for five hunks far from each other."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def five_changed() -> str:
    text = FIVE
    for number in (3, 11, 19, 27, 35):
        text = text.replace(f"line {number}\n", f"changed {number}\n")
    return text


async def five_hunks(world: World) -> tuple[str, list[str]]:
    world.put("src/a.py", FIVE)
    world.gate.checks["tests/test_a.py::test_third"] = lambda tree: all(
        f"changed {number}\n".encode() in tree["src/a.py"].content for number in (3, 11, 19)
    )
    world.gate.runs["tests/test_a.py::test_third"] = {"src/a.py": (3, 11, 19)}
    world.gate.checks["tests/test_a.py::test_other"] = lambda tree: b"line 1\n" in tree["src/a.py"].content
    proposal_id = await world.offer(await world.edit("src/a.py", five_changed()))
    data = await world.review.proposal({"proposalId": proposal_id})
    return proposal_id, [hunk["id"] for hunk in data["files"][0]["hunks"]]


async def test_a_proposal_is_published_in_the_shape_of_the_link(world: World) -> None:
    world.put("src/a.py", "a = 1\nb = 2\n")
    world.put("gone.py", "x = 1\n")
    world.put("data/read.txt", "read by the tests\n")
    world.gate.reads = ("data/read.txt",)
    world.editor.open("src/a.py", "a = 1\nb = 3\n", version=7)
    proposal_id = await world.offer(
        await world.edit("src/a.py", "a = 10\nb = 3\n"),
        await world.edit("gone.py", None),
        await world.edit("tests/test_new.py", "def test_it(): pass\n"),
    )
    data = world.last("proposal")
    assert data == await world.review.proposal({"proposalId": proposal_id})
    assert (data["proposalId"], data["runId"], data["stale"]) == (proposal_id, "r_1", False)
    first, gone, new = data["files"]
    assert (first["path"], first["oldPath"], first["kind"], first["baseVersion"]) == ("src/a.py", None, "modify", 7)
    hunk = first["hunks"][0]
    assert hunk | {"id": ""} == {
        "id": "", "startLine": 0, "endLine": 1, "oldText": "a = 1\n", "newText": "a = 10\n", "class": "source",
        "tests": [], "testCount": 0, "unrun": [],
    }  # fmt: skip
    assert (gone["kind"], gone["baseVersion"], new["kind"], new["baseSha256"]) == ("delete", None, "create", None)
    assert new["hunks"][0]["class"] == "test"
    assert set(data["witness"]) == {"src/a.py", "gone.py", "tests/test_new.py", "data/read.txt"}
    assert data["diff"].startswith("diff --git a/src/a.py b/src/a.py\n")
    assert data["verdict"]["decision"] == "passed"
    assert world.journal.kinds() == [EventKind.PROPOSAL]


async def test_accepting_writes_the_open_document_and_the_closed_file_and_closes_the_proposal(world: World) -> None:
    world.put("a.py", "on disk\n")
    world.put("b.py", "b = 1\n")
    world.editor.open("a.py", "typed, not saved\nlast\n", version=3)
    proposal_id = await world.offer(
        await world.edit("a.py", "typed, not saved\nlast, by the agent\n"), await world.edit("b.py", "b = 2\n")
    )
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    assert answer["verdict"]["decision"] == "passed"
    assert world.editor.documents["a.py"].text == "typed, not saved\nlast, by the agent\n"
    assert world.disk("a.py") == b"on disk\n"
    assert world.disk("b.py") == b"b = 2\n"
    assert world.last("proposal_closed") == {
        "proposalId": proposal_id, "runId": "r_1", "state": "applied", "checkpointId": answer["checkpointId"],
    }  # fmt: skip
    assert [state for state, _ in world.states] == [RunState.APPLYING, RunState.APPLIED]
    assert world.journal.kinds() == [EventKind.PROPOSAL, EventKind.APPLY_INTENT, EventKind.APPLY_DONE]


async def test_accepting_twice_writes_once(world: World) -> None:
    world.put("a.py", "a = 1\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    await world.review.apply({"proposalId": proposal_id})
    again = await world.review.apply({"proposalId": proposal_id})
    assert again["applied"] is False
    assert "already applied" in again["reason"]
    assert world.files.writes == ["a.py"]


@pytest.mark.parametrize("decision", [Decision.REGRESSED, Decision.FAILED, Decision.UNDECIDED])
async def test_an_unproven_change_is_refused_with_its_verdict(world: World, decision: Decision) -> None:
    world.put("a.py", "a = 1\n")
    evidence = Evidence(Verdict(decision, ("test_x fails now.",)))
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"), evidence=evidence)
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert decision.value in answer["reason"]
    assert "test_x fails now." in answer["reason"]
    assert answer["verdict"]["decision"] == decision.value
    assert world.disk("a.py") == b"a = 1\n"
    at_rest = RunState.PROPOSED if decision is Decision.UNDECIDED else RunState.FAILED
    assert world.states[-1][0] is at_rest


async def test_the_persons_settings_may_allow_an_unproven_change_and_that_is_recorded(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(allow_unproven=True, settle_s=None))
    world.put("a.py", "a = 1\n")
    evidence = Evidence(Verdict(Decision.UNDECIDED))
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"), evidence=evidence)
    assert world.last("proposal")["acceptable"] is True
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    intent = next(event for event in world.journal.events if event.kind is EventKind.APPLY_INTENT)
    assert "settings" in intent.data["override"]
    assert intent.data["verdict"] == "undecided"


@pytest.mark.parametrize("moved", ["a.py", "read.txt"])
async def test_changed_text_is_seen_by_its_bytes_even_when_nobody_said_so(world: World, moved: str) -> None:
    world.put("a.py", "a = 1\n")
    world.put("read.txt", "1\n")
    world.gate.reads = ("read.txt",)
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    world.put(moved, "something else\n")
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert f"{moved} changed since this was tested" in answer["reason"]
    assert world.last("proposal")["stale"] is True
    assert world.files.writes == []


async def test_an_edit_of_another_file_leaves_the_proposal_fresh(world: World) -> None:
    world.put("a.py", "a = 1\n")
    world.put("other.txt", "1\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    world.put("other.txt", "2\n")
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True


async def test_a_new_version_with_the_same_text_is_not_stale(world: World) -> None:
    world.put("a.py", "a = 1\n")
    world.editor.open("a.py", "a = 1\n", version=1)
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    world.editor.open("a.py", "a = 1\n", version=9)
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True


async def test_accepting_two_of_five_hunks_names_the_test_and_the_third(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:2]})
    assert answer["applied"] is False
    assert "2 of 5 hunks" in answer["reason"]
    assert "tests/test_a.py::test_third still fails without the hunk src/a.py line 19." in answer["reason"]
    assert "h_" not in answer["reason"], "a person finds a change by its file and line"
    assert answer["verdict"]["decision"] == "failed"
    assert world.gate.calls[0][1] == ("tests/test_a.py::test_third",)
    assert world.disk("src/a.py") == FIVE.encode()
    assert world.states[-1][0] is RunState.PROPOSED
    assert world.last("proposal")["verdict"]["decision"] == "proven"


async def test_three_of_five_hunks_are_applied_and_the_rest_stays_with_its_ids(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]})
    assert answer["applied"] is True
    assert answer["verdict"]["fixed"] == ["tests/test_a.py::test_third"]
    data = await world.review.proposal({"proposalId": proposal_id})
    assert [hunk["id"] for hunk in data["files"][0]["hunks"]] == hunks[3:]
    published = [shown["verdict"]["decision"] for name, shown in world.events if name == "proposal"]
    assert published[:2] == ["proven", "not_run"]
    assert data["checkpointId"] == answer["checkpointId"]
    await until(lambda: world.last("proposal")["verdict"]["decision"] == "passed")
    with pytest.raises(UnknownIdError, match="already applied"):
        await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:1]})
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("src/a.py") == five_changed().encode()
    assert world.last("proposal_closed")["state"] == "applied"


async def test_the_hunks_can_be_accepted_one_after_the_other_without_waiting(world: World) -> None:
    world.put("a.py", FIVE)
    proposal_id = await world.offer(await world.edit("a.py", five_changed()))
    hunks = [hunk["id"] for hunk in world.last("proposal")["files"][0]["hunks"]]
    for hunk in reversed(hunks):
        assert (await world.review.apply({"proposalId": proposal_id, "hunks": [hunk]}))["applied"] is True
    assert world.disk("a.py") == five_changed().encode()
    assert world.last("proposal_closed")["state"] == "applied"


async def test_a_part_is_accepted_while_the_rest_of_an_earlier_part_is_still_tested(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    rest, part = asyncio.Event(), asyncio.Event()
    world.gate.during = lambda: setattr(world.gate, "held", rest)
    assert (await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]}))["applied"] is True
    await until(lambda: len(world.gate.calls) == 2)
    world.gate.during, world.gate.held = lambda: None, part
    accepting = asyncio.create_task(world.review.apply({"proposalId": proposal_id, "hunks": hunks[3:4]}))
    await until(lambda: len(world.gate.calls) == 3)
    rest.set()
    await until(lambda: world.last("proposal")["verdict"]["decision"] == "passed")
    part.set()
    assert (await accepting)["applied"] is True
    text = five_changed().replace("changed 35\n", "line 35\n")
    assert world.disk("src/a.py") == text.encode()


async def test_equal_hunks_keep_their_ids_when_the_first_is_gone(world: World) -> None:
    world.put("a.py", "x = 1\n" + "pad\n" * 9 + "x = 1\n" + "pad\n" * 9)
    after = "x = 2\n" + "pad\n" * 9 + "x = 2\n" + "pad\n" * 9
    proposal_id = await world.offer(await world.edit("a.py", after))
    first, second = [hunk["id"] for hunk in world.last("proposal")["files"][0]["hunks"]]
    await world.review.discard({"proposalId": proposal_id, "hunks": [first]})
    left = (await world.review.proposal({"proposalId": proposal_id}))["files"][0]["hunks"]
    assert [(hunk["id"], hunk["startLine"]) for hunk in left] == [(second, 10)]
    assert (await world.review.apply({"proposalId": proposal_id, "hunks": [second]}))["applied"] is True
    assert world.disk("a.py") == ("x = 1\n" + "pad\n" * 9 + "x = 2\n" + "pad\n" * 9).encode()


async def test_a_slow_validation_answers_pending_and_applies_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=0.01))
    proposal_id, hunks = await five_hunks(world)
    world.gate.held = asyncio.Event()
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]})
    assert (answer["applied"], answer["pending"]) == (False, True)
    refused = await world.review.apply({"proposalId": proposal_id})
    assert refused["applied"] is False
    assert "being applied" in refused["reason"]
    with pytest.raises(RefusedError, match="being applied"):
        await world.review.discard({"proposalId": proposal_id})
    world.gate.held.set()
    await until(lambda: b"changed 19" in (world.disk("src/a.py") or b""))
    await until(lambda: world.last("proposal")["verdict"]["decision"] == "passed")
    shown = [data for name, data in world.events if name == "verdict"]
    assert shown[0]["hunks"] == sorted(hunks[:3])
    assert shown[0]["verdict"]["decision"] == "proven"
    assert (RunState.VALIDATING, "testing 3 of 5 hunks") in world.states


async def test_a_pending_apply_that_is_refused_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=0.01))
    proposal_id, hunks = await five_hunks(world)
    world.gate.held = asyncio.Event()
    assert (await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:2]}))["pending"] is True
    world.gate.held.set()
    await until(lambda: "message" in world.names())
    assert "test_third still fails" in world.last("message")["text"]
    assert world.disk("src/a.py") == FIVE.encode()


async def test_typing_while_a_part_is_tested_stops_the_apply(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    world.gate.during = lambda: world.put("src/a.py", FIVE.replace("line 40\n", "typed\n"))
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]})
    assert answer["applied"] is False
    assert "changed since this was tested" in answer["reason"]
    assert world.disk("src/a.py") == FIVE.replace("line 40\n", "typed\n").encode()


async def test_a_gate_that_cannot_work_refuses_and_the_run_is_back_at_rest(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    world.gate.fails = CandidateError("no space for a candidate")
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]})
    assert answer["applied"] is False
    assert "no space for a candidate" in answer["reason"]
    assert world.states[-1][0] is RunState.PROPOSED


async def test_an_untested_proposal_is_tested_before_it_is_applied(world: World) -> None:
    world.put("a.py", "a = 1\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"), evidence=Evidence(NOT_RUN))
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is True
    assert answer["verdict"]["decision"] == "passed"
    assert len(world.gate.calls) == 1


async def test_with_validation_off_nothing_is_applied(world: World) -> None:
    world.put("a.py", "a = 1\n")
    world.gate.decision = Decision.NOT_RUN
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    answer = await world.review.apply({"proposalId": proposal_id})
    assert answer["applied"] is False
    assert "not_run" in answer["reason"]


async def test_discarding_all_closes_and_the_feedback_is_passed_on(world: World) -> None:
    world.put("a.py", "a = 1\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    assert await world.review.discard({"proposalId": proposal_id, "feedback": "use 3"}) == {"state": "discarded"}
    assert world.feedback == ["use 3"]
    assert world.last("proposal_closed") == {"proposalId": proposal_id, "runId": "r_1", "state": "discarded"}
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is False
    assert world.disk("a.py") == b"a = 1\n"


async def test_discarding_some_hunks_tests_the_rest_for_what_the_whole_fixed(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    assert await world.review.discard({"proposalId": proposal_id, "hunks": hunks[3:]}) == {"state": "validating"}
    await until(lambda: world.last("proposal")["verdict"]["decision"] == "proven")
    assert world.gate.calls[-1][1] == ("tests/test_a.py::test_third",)
    assert [hunk["id"] for hunk in world.last("proposal")["files"][0]["hunks"]] == hunks[:3]
    with pytest.raises(UnknownIdError, match="already discarded"):
        await world.review.apply({"proposalId": proposal_id, "hunks": hunks[3:4]})
    await world.review.discard({"proposalId": proposal_id, "hunks": hunks[2:3]})
    await until(lambda: world.last("proposal")["verdict"]["decision"] == "failed")


async def test_bad_arguments_are_told_plainly(world: World) -> None:
    world.put("a.py", "a = 1\n")
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n"))
    malformed: list[dict[str, object]] = [{}, {"proposalId": 3}, {"proposalId": proposal_id, "hunks": "h_1"}]
    for args in malformed:
        with pytest.raises(BadArgumentError):
            await world.review.apply(args)
    unknown: list[dict[str, object]] = [{"proposalId": "p_none"}]
    unknown += [{"proposalId": proposal_id, "hunks": hunks} for hunks in (["h_1"], [])]
    for args in unknown:
        with pytest.raises(UnknownIdError):
            await world.review.apply(args)
    with pytest.raises(RefusedError):
        await world.offer()


async def test_revalidating_carries_the_change_over_to_the_new_text(world: World) -> None:
    proposal_id, hunks = await five_hunks(world)
    world.editor.open("src/a.py", FIVE)
    world.editor.type("src/a.py", "line 40\n", "typed\n")
    await world.review.stale({"proposalId": proposal_id, "paths": ["src/a.py"]})
    assert world.last("proposal")["stale"] is True
    answer = await world.review.revalidate({"proposalId": proposal_id})
    assert answer["verdict"]["decision"] == "proven"
    data = world.last("proposal")
    assert data["stale"] is False
    assert [hunk["id"] for hunk in data["files"][0]["hunks"]] == hunks
    assert data["files"][0]["baseVersion"] == 2
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.editor.documents["src/a.py"].text == five_changed().replace("line 40\n", "typed\n")


async def test_typing_right_beside_a_hunk_keeps_it(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    world.put("src/a.py", FIVE.replace("line 10\n", "typed\n"))
    await world.review.revalidate({"proposalId": proposal_id})
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("src/a.py") == five_changed().replace("line 10\n", "typed\n").encode()


async def test_typing_inside_a_hunk_keeps_it_stale_and_names_the_lines(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    world.put("src/a.py", FIVE.replace("line 11\n", "typed\n"))
    answer = await world.review.revalidate({"proposalId": proposal_id})
    assert answer["verdict"]["reasons"][0] == "src/a.py, line 11: the same lines were changed meanwhile."
    assert world.last("proposal")["stale"] is True
    assert world.gate.calls == []
    refused = await world.review.apply({"proposalId": proposal_id})
    assert refused["applied"] is False
    assert "line 11" in refused["reason"]
    assert world.disk("src/a.py") == FIVE.replace("line 11\n", "typed\n").encode()


async def test_a_change_in_conflict_does_not_hold_back_those_that_still_fit(world: World) -> None:
    lines = "".join(f"line {number}\n" for number in range(1, 31))
    world.put("src/a.py", lines)
    world.put("src/b.py", "b = 1\n")
    world.editor.open("src/a.py", lines)
    after = lines.replace("line 3\n", "new 3\n").replace("line 15\n", "new 15\n").replace("line 25\n", "new 25\n")
    proposal_id = await world.offer(await world.edit("src/a.py", after), await world.edit("src/b.py", "b = 2\n"))
    world.editor.type("src/a.py", "line 15\n", "mine 15\n")
    world.editor.type("src/a.py", "line 30\n", "line 30\ntyped\n")
    await world.review.revalidate({"proposalId": proposal_id})
    data = world.last("proposal")
    first, second, third, other = [hunk["id"] for file in data["files"] for hunk in file["hunks"]]
    assert (data["stale"], data["suggestion"]) == (True, [first, third, other])
    assert ("line 15" in data["trouble"], data["inConflict"]) == (True, True)

    for asked in (None, [second], [first, second]):
        answer = await world.review.apply({"proposalId": proposal_id} | ({"hunks": asked} if asked else {}))
        assert answer["applied"] is False
        assert "does not fit the text" in answer["reason"]
    world.gate.calls.clear()
    answer = await world.review.apply({"proposalId": proposal_id, "hunks": [third, other]})
    assert answer["applied"] is True, answer
    mine = lines.replace("line 15\n", "mine 15\n") + "typed\n"
    assert world.editor.documents["src/a.py"].text == mine.replace("line 25\n", "new 25\n")
    assert world.disk("src/b.py") == b"b = 2\n"
    [tested, *_] = world.gate.calls
    assert b"mine 15\n" in next(edit for edit in tested[0] if edit.path == "src/a.py").before.content  # type: ignore[union-attr]

    await world.review.revalidate({"proposalId": proposal_id})
    assert world.last("proposal")["suggestion"] == [first]
    world.editor.type("src/a.py", "mine 15\n", "line 15\n")
    await world.review.revalidate({"proposalId": proposal_id})
    data = world.last("proposal")
    assert (data["stale"], data.get("suggestion")) == (False, None)
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.editor.documents["src/a.py"].text == after + "typed\n"
    assert (await world.review.rollback({"checkpointId": answer["checkpointId"]}))["applied"] is True
    assert world.disk("src/b.py") == b"b = 1\n"


async def test_undoing_what_was_typed_makes_it_fresh_again(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    world.put("src/a.py", FIVE.replace("line 11\n", "typed\n"))
    await world.review.revalidate({"proposalId": proposal_id})
    await world.review.stale({"proposalId": proposal_id, "paths": []})
    assert world.last("proposal")["stale"] is True
    world.put("src/a.py", FIVE)
    await world.review.stale({"proposalId": proposal_id, "paths": []})
    assert world.last("proposal")["stale"] is False
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True


async def test_text_that_already_holds_the_change_closes_the_proposal(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    world.put("src/a.py", five_changed())
    await world.review.revalidate({"proposalId": proposal_id})
    assert world.last("proposal_closed")["state"] == "discarded"
    assert "already holds the change" in world.states[-1][1]


async def test_typing_while_it_is_tested_again_makes_it_start_over(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    typed = iter(["one\n", "two\n"])

    def type_once() -> None:
        if (line := next(typed, None)) is not None:
            world.put("src/a.py", FIVE.replace("line 40\n", line))

    world.gate.during = type_once
    answer = await world.review.revalidate({"proposalId": proposal_id})
    assert answer["verdict"]["decision"] == "proven"
    assert len(world.gate.calls) == 3
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.disk("src/a.py") == five_changed().replace("line 40\n", "two\n").encode()


async def test_what_is_typed_while_the_text_is_read_after_the_test_is_not_called_fresh(world: World) -> None:
    world.put("src/a.py", "a = 1\n" + "pad\n" * 9)
    proposal_id = await world.offer(await world.edit("src/a.py", "a = 2\n" + "pad\n" * 9))
    world.editor.open("src/a.py", "a = 1\n" + "pad\n" * 9)
    reading, go_on, buffers = asyncio.Event(), asyncio.Event(), world.editor.buffers

    async def slow_buffers() -> Sequence[Buffer]:
        found = await buffers()
        if world.gate.calls and not go_on.is_set():
            reading.set()
            await go_on.wait()
        return found

    world.editor.buffers = slow_buffers  # type: ignore[method-assign]
    testing = asyncio.create_task(world.review.revalidate({"proposalId": proposal_id}))
    await reading.wait()
    world.editor.type("src/a.py", "pad\n" * 9, "pad\n" * 9 + "typed\n")
    await world.review.stale({"proposalId": proposal_id, "paths": ["src/a.py"]})
    go_on.set()
    await testing
    assert len(world.gate.calls) == 2, "tested once more, with what was typed"
    assert (await world.review.apply({"proposalId": proposal_id}))["applied"] is True
    assert world.editor.documents["src/a.py"].text == "a = 2\n" + "pad\n" * 9 + "typed\n"


async def test_text_that_never_rests_stays_stale_with_the_reason(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    lines = iter(range(100))
    world.gate.during = lambda: world.put("src/a.py", FIVE + f"typed {next(lines)}\n")
    answer = await world.review.revalidate({"proposalId": proposal_id})
    assert "kept changing" in answer["verdict"]["reasons"][0]
    refused = await world.review.apply({"proposalId": proposal_id})
    assert refused["applied"] is False
    assert refused["reason"].startswith("The text kept changing"), "it is in nobody's way"
    assert world.last("proposal")["inConflict"] is False


async def test_two_wishes_to_revalidate_are_one_piece_of_work(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=0.01))
    proposal_id, _ = await five_hunks(world)
    world.gate.held = asyncio.Event()
    answers = await asyncio.gather(*(world.review.revalidate({"proposalId": proposal_id}) for _ in range(3)))
    assert all(answer["pending"] for answer in answers)
    world.gate.held.set()
    await until(lambda: "verdict" in world.names())
    assert len(world.gate.calls) == 1


async def test_a_stale_proposal_is_tested_again_by_itself_after_a_pause(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(settle_s=0.01))
    proposal_id, _ = await five_hunks(world)
    world.put("src/a.py", FIVE + "typed\n")
    await world.review.stale({"proposalId": proposal_id, "paths": ["src/a.py"]})
    await until(lambda: world.last("proposal")["stale"] is False)
    assert world.last("proposal")["verdict"]["decision"] == "proven"
    await world.review.close()


async def test_an_apply_makes_the_other_proposals_of_the_same_file_stale(world: World) -> None:
    proposal_id, _ = await five_hunks(world)
    other = await world.offer(await world.edit("src/a.py", FIVE + "appended\n"))
    await world.review.apply({"proposalId": proposal_id})
    assert (await world.review.proposal({"proposalId": other}))["stale"] is True
    await world.review.revalidate({"proposalId": other})
    assert (await world.review.apply({"proposalId": other}))["applied"] is True
    assert world.disk("src/a.py") == (five_changed() + "appended\n").encode()


async def test_closing_waits_for_a_transaction_and_ends_everything_else(tmp_path: Path) -> None:
    world = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=0.01))
    proposal_id, hunks = await five_hunks(world)
    world.gate.held = asyncio.Event()
    assert (await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:3]}))["pending"] is True
    await world.review.close()
    assert world.disk("src/a.py") == FIVE.encode()
    assert len(asyncio.all_tasks()) == 1


async def test_goals_keep_their_scope_and_tests_when_tested_again(world: World) -> None:
    world.put("a.py", "a = 1\n")
    world.gate.checks["t::goal"] = lambda tree: tree["a.py"].content == b"a = 2\n"
    goal = Goal("fix it", tests=("t::goal",))
    proposal_id = await world.offer(await world.edit("a.py", "a = 2\n", mode=FileMode.EXECUTABLE), goal=goal)
    await world.review.revalidate({"proposalId": proposal_id})
    assert world.gate.calls[-1][1] == ("t::goal",)
