"""A small run of the fuzzer, and what larger ones have found. `make fuzz` is the large one."""

from pathlib import Path

import pytest

from tests.fuzz.session import WHOLE, make_workspace, run_session, run_torn
from tests.judge.meta_model import MISSING, MetaModel, load


@pytest.fixture(scope="module")
def model() -> MetaModel:
    found = load()
    if found is None:
        pytest.skip(MISSING)
    return found


@pytest.mark.parametrize("seed", [1001, 1002])
def test_generated_messages_get_their_answers_and_break_nothing(model: MetaModel, tmp_path: Path, seed: int) -> None:
    outcome = run_session(model, make_workspace(tmp_path / "w"), seed, 2000)
    assert outcome.found == []
    assert outcome.sent == 2000


def test_the_whole_product_stands_it_too(model: MetaModel, tmp_path: Path) -> None:
    outcome = run_session(model, make_workspace(tmp_path / "w"), 2001, 1500, argv=WHOLE)
    assert outcome.found == []


def test_a_stream_without_frames_ends_cleanly_when_the_editor_hangs_up(model: MetaModel, tmp_path: Path) -> None:
    outcome = run_torn(model, make_workspace(tmp_path / "w"), 7, 300)
    assert outcome.found == []
