"""A run is named by what was asked for."""

from agent_lsp.domain.task import run_name


def test_a_run_is_named_by_its_goal_on_one_short_line() -> None:
    assert run_name("r_1", "make add\n  add", ["something else"]) == "“make add add”"
    assert run_name("r_1", "x" * 61, []) == "“" + "x" * 59 + "…”"


def test_runs_whose_goals_read_the_same_are_told_apart_by_their_ids() -> None:
    assert run_name("r_1", "make add add", ["make  add add"]) == "“make add add” (r_1)"
    assert run_name("r_1", "x" * 100 + "1", ["x" * 100 + "2"]) == "“" + "x" * 59 + "…” (r_1)"
