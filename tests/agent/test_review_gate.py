"""Holds review to its promises with the real gate: a real suite, run before and after, on what is accepted."""

import asyncio
import sys
from pathlib import Path

import pytest

from agent_lsp.agent.shelf import ReviewOptions
from agent_lsp.agent.validation import Gate, GateOptions
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from tests.agent.review_world import World
from tests.plain import PlainPool

CODE = """
def first(n):
    return n - 1


def pad_one():
    return 1


def second(n):
    return n - 2


def pad_two():
    return 2


def third(n):
    return n - 3


def pad_three():
    return 3


def fourth(n):
    return n + 4


def pad_four():
    return 4


def fifth(n):
    return n + 5
"""
FIXED = CODE
for number in ("1", "2", "3"):
    FIXED = FIXED.replace(f"n - {number}", f"n + {number}")
FIXED = FIXED.replace("n + 4", "4 + n").replace("n + 5", "5 + n")
TESTS = """
from calc import fifth, first, fourth, second, third


def test_sum():
    assert first(0) + second(0) + third(0) == 6


def test_rest():
    assert fourth(0) + fifth(0) == 9
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, ReviewOptions(settle_s=None, answer_within_s=60.0))
    finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=sys.executable))
    made.real_gate = Gate(made.trees, PlainPool(made.trees), finder, GateOptions(timeout_s=60.0))
    made.review = made.new_review()
    made.put("calc.py", CODE)
    made.put("tests/test_calc.py", TESTS)
    return made


async def test_two_of_five_hunks_name_the_test_that_needs_the_third(world: World) -> None:
    base, edit = await world.snapshot(), await world.edit("calc.py", FIXED)
    assert world.real_gate is not None
    evidence = await world.real_gate.validate(base.tree, (edit,))
    assert evidence.verdict.decision.acceptable, evidence.verdict.reasons
    proposal_id = await world.offer(edit, evidence=evidence)
    hunks = [hunk["id"] for hunk in world.last("proposal")["files"][0]["hunks"]]
    assert len(hunks) == 5

    answer = await world.review.apply({"proposalId": proposal_id, "hunks": hunks[:2]})
    assert answer["applied"] is False
    assert "tests/test_calc.py::test_sum still fails without the hunk calc.py line 19." in answer["reason"]
    assert "h_" not in answer["reason"], "a person finds a change by its file and line"
    assert world.disk("calc.py") == CODE.encode()
    await world.review.close()
    assert len(asyncio.all_tasks()) == 1
