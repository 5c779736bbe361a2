"""Owns the tests of reading a plan that a person edited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_lsp.domain.errors import BadArgumentError
from agent_lsp.domain.plan import Assessment, Plan, Step, StepState, plan_markdown
from agent_lsp.domain.plan_reading import read_plan

WORD = st.text("abcdefgh ()=:-", min_size=1, max_size=20).map(lambda text: f"x{text.strip()}")
STEPS = st.lists(
    st.builds(
        Step,
        title=WORD,
        detail=st.lists(WORD, max_size=3).map("\n".join),
        files=st.lists(st.sampled_from(["a.py", "src/b.py", "docs/c d.md"]), max_size=2, unique=True).map(tuple),
        acceptance=st.one_of(st.just(""), WORD),
        state=st.sampled_from(list(StepState)),
    ),
    min_size=1,
    max_size=4,
)


@given(STEPS)
def test_a_plan_that_nobody_touched_is_read_back_as_it_was(steps: list[Step]) -> None:
    read = read_plan(plan_markdown("a goal", Plan(Assessment.MULTI_STEP, tuple(steps))))
    told = [(step.title, step.detail, step.files, step.acceptance) for step in read]
    assert told == [(step.title, step.detail, step.files, step.acceptance) for step in steps]


def test_a_plan_is_read_as_people_write_it() -> None:
    text = "# Plan\n\nwords\n\n1) look at it\n2. [ ] **mend it**\n   carefully\n   files: a.py, `b.py`\n\n3. [x] test\n"
    assert read_plan(text) == (
        Step("look at it"),
        Step("mend it", "carefully", ("a.py", "b.py")),
        Step("test"),
    )


@pytest.mark.parametrize("text", ["", "# Plan: nothing\n", "- a list without numbers\n", "1.\n"])
def test_a_plan_without_a_step_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(BadArgumentError) as refused:
        read_plan(text)
    assert "1. [ ]" in refused.value.hint
