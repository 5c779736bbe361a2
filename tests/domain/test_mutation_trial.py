"""What a run on a mutant may be taken for: noticed, unnoticed, or nothing that is said."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.mutation import Mutant
from agent_lsp.domain.mutation_trial import Notice, Tried, notice_of, told_of
from agent_lsp.domain.verdict import CaseResult, Decision, LoadedFile, Outcome, SuiteReport, Survivor, Verdict

MUTANT = Mutant("a.py", 1, "`a < b` became `a <= b`", b"the mutant")
DIGEST = hashlib.sha256(b"the mutant").hexdigest()
ONE, TWO = CaseId("t.py::one"), CaseId("t.py::two")
PASSING = (ONE, TWO)


def cases(**outcomes: Outcome) -> dict[CaseId, CaseResult]:
    return {CaseId(f"t.py::{name}"): CaseResult(CaseId(f"t.py::{name}"), outcome) for name, outcome in outcomes.items()}


GREEN = SuiteReport(
    "pytest",
    cases(one=Outcome.PASSED, two=Outcome.PASSED),
    2,
    loaded=(LoadedFile("a", "a.py", DIGEST),),
    executed={"a.py": {2: frozenset({ONE})}},
)


def test_all_green_on_exactly_these_bytes_with_the_line_run_is_unnoticed() -> None:
    assert notice_of(MUTANT, GREEN, PASSING, GREEN) is Notice.UNNOTICED


@pytest.mark.parametrize(
    ("change", "notice"),
    [
        ({"cases": cases(one=Outcome.PASSED, two=Outcome.FAILED)}, Notice.NOTICED),
        ({"cases": cases(two=Outcome.ERROR), "finished": False, "timed_out": True}, Notice.NOTICED),
        ({"collection_errors": {"t.py": "ImportError"}, "cases": {}}, Notice.NOTICED),
        ({"cases": cases(one=Outcome.PASSED, two=Outcome.PASSED, other=Outcome.FAILED)}, Notice.UNNOTICED),
        ({"cases": cases(one=Outcome.PASSED)}, Notice.UNCLEAR),
        ({"cases": cases(one=Outcome.PASSED, two=Outcome.SKIPPED)}, Notice.UNCLEAR),
        ({"finished": False, "trouble": "the test process ended by itself"}, Notice.UNCLEAR),
        ({"cases": {}, "finished": False, "timed_out": True}, Notice.UNCLEAR),
        ({"tampered": True, "cases": cases(one=Outcome.FAILED)}, Notice.UNCLEAR),
        ({"loaded": ()}, Notice.UNCLEAR),
        ({"loaded": (LoadedFile("a", "a.py", "f" * 64),)}, Notice.UNCLEAR),
        ({"loaded": (*GREEN.loaded, LoadedFile("a", "a.py", "f" * 64))}, Notice.UNCLEAR),
        ({"loaded": (LoadedFile("a", "/elsewhere/a.py", DIGEST),)}, Notice.UNCLEAR),
        ({"executed": {"a.py": {1: frozenset({ONE})}}}, Notice.UNCLEAR),
    ],
)
def test_whatever_is_unclear_is_neither(change: dict[str, Any], notice: Notice) -> None:
    assert notice_of(MUTANT, replace(GREEN, **change), PASSING, GREEN) is notice


def test_a_file_that_never_could_be_collected_notices_nothing_and_no_test_is_no_evidence() -> None:
    broken = replace(GREEN, collection_errors={"u.py": "ImportError"})
    assert notice_of(MUTANT, broken, PASSING, broken) is Notice.UNNOTICED
    assert notice_of(MUTANT, GREEN, (), GREEN) is Notice.UNCLEAR


def told(*notices: Notice) -> Verdict:
    verdict = Verdict(Decision.PROVEN, ("Proven.",))
    return told_of(verdict, [Tried(replace(MUTANT, line=n), notice) for n, notice in enumerate(notices)])


@pytest.mark.parametrize(
    ("notices", "survivors", "sentence"),
    [
        ((Notice.NOTICED,) * 3, 0, "Each of 3 small changes to the changed lines, made to try the tests, was noticed."),
        ((Notice.NOTICED,), 0, "A small change to a changed line, made to try the tests, was noticed."),
        (
            (Notice.UNNOTICED,),
            1,
            f"A small change to a changed line, made to try the tests, was not noticed by any: a.py:1 ({MUTANT.text}).",
        ),
        (
            (Notice.NOTICED, Notice.UNCLEAR, Notice.UNNOTICED),
            1,
            "1 of 2 small changes to the changed lines was not noticed by any test: a.py:3 (`a < b` became `a <= b`).",
        ),
    ],
)
def test_the_verdict_says_what_is_clear(notices: tuple[Notice, ...], survivors: int, sentence: str) -> None:
    verdict = told(*notices)
    assert verdict.decision is Decision.PROVEN
    assert verdict.survivors is not None
    assert len(verdict.survivors) == survivors
    assert verdict.reasons == ("Proven.", sentence)
    assert ("survivors" in verdict.to_json()) is True


def test_many_are_listed_and_the_first_few_named() -> None:
    verdict = told(*[Notice.UNNOTICED] * 7)
    assert verdict.survivors is not None
    assert verdict.survivors[6] == Survivor("a.py", 6, MUTANT.text)
    assert verdict.reasons[-1].startswith("7 of 7 small changes to the changed lines were not noticed by any test: ")
    assert verdict.reasons[-1].endswith(f"a.py:5 ({MUTANT.text}) and 2 more.")


def test_where_nothing_is_clear_nothing_is_said_and_nothing_twice() -> None:
    assert told().reasons == told(Notice.UNCLEAR).reasons == ("Proven.",)
    assert "survivors" not in told(Notice.UNCLEAR).to_json()
    once = told(Notice.NOTICED)
    assert told_of(once, [Tried(MUTANT, Notice.UNNOTICED)]) is once
