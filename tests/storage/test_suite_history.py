"""What verdicts learn of tests for good: which were flaky, and which suites stay in one piece."""

from pathlib import Path

import pytest

from agent_lsp.domain.flakiness import Flakiness, seen_again, worst
from agent_lsp.storage.suite_history import StoredSuiteHistory


async def test_the_history_outlives_its_process_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "history.json"
    await StoredSuiteHistory(file).saw(("t::a",), ())
    await StoredSuiteHistory(file).saw(("t::a", "t::b"), ())
    await StoredSuiteHistory(file).keep_in_one_piece("env", "t::a did otherwise")
    known = StoredSuiteHistory(file)
    assert {name: row.times for name, row in (await known.flaky()).items()} == {"t::a": 2, "t::b": 1}
    assert await known.in_one_piece("env") == "t::a did otherwise"
    assert await known.in_one_piece("another") == ""


async def test_verdicts_without_anything_new_write_nothing(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    await StoredSuiteHistory(file).saw((), ("t::a",))
    assert not file.exists()


async def test_a_damaged_history_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "history.json"
    for text in ("{", '{"version": 1}', '{"version": 1, "flaky": {"t": 3}, "in_one_piece": {}}', "[]"):
        file.write_text(text)
        assert await StoredSuiteHistory(file).flaky() == {}
    assert "made anew" in caplog.text
    await StoredSuiteHistory(file).saw(("t::a",), ())
    assert "t::a" in await StoredSuiteHistory(file).flaky()


def test_a_test_that_is_steady_for_long_is_forgotten_and_one_that_is_flaky_again_is_not() -> None:
    history = {"t::a": Flakiness(3, "2026-01-01"), "t::b": Flakiness(1, "2026-01-01")}
    for _ in range(39):
        history = seen_again(history, (), ("t::a", "t::b"), "2026-02-02")
    assert history["t::a"].steady == 39
    history = seen_again(history, ("t::b",), ("t::a",), "2026-02-02")
    assert history == {"t::b": Flakiness(2, "2026-02-02")}


def test_what_did_not_run_grows_no_steadier() -> None:
    assert seen_again({"t::a": Flakiness(1, "2026-01-01")}, (), (), "2026-02-02")["t::a"].steady == 0


def test_the_worst_come_first() -> None:
    history = {"t::a": Flakiness(1, "2026-01-01"), "t::b": Flakiness(4, "2026-01-02")}
    assert worst(history, 1) == ["t::b was seen flaky 4 times before, last on 2026-01-02"]
