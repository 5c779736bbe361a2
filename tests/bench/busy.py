"""Owns the measurement of code actions while a run executes and validates on the same cores."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent_lsp.app.demo.sample_project import BUGGY_FILE, make_sample_project
from tests.bench.contenders import Contender
from tests.bench.editor import Editor
from tests.bench.measure import Row, milliseconds, percentile

_ROUNDS: Final = 5
_ACTIONS: Final = 400
_PACE_S: Final = 0.01
_BATCH: Final = 20
_SLOW_SUITE: Final = "import time\n\n\ndef test_slow():\n    time.sleep(6)\n"


async def measure_busy(folder: Path, ours: Contender) -> list[Row]:
    """p50 and p99 of `textDocument/codeAction` while a run is validating, against the same server idle."""
    rounds = [await _round(folder / f"actions{number}", ours) for number in range(_ROUNDS)]
    return [
        _row("`codeAction` p50 while tests run, against idle", rounds, 0.50, ""),
        _row("`codeAction` p99 while tests run, against idle", rounds, 0.99, "≤ 1.5 ×"),
    ]


async def _round(root: Path, ours: Contender) -> tuple[list[float], list[float]]:
    """Seconds of the requests that one server was asked while it was busy, and while it was idle."""
    root.mkdir()
    await make_sample_project(root)
    (root / "tests" / "test_slow.py").write_text(_SLOW_SUITE)
    document = root / BUGGY_FILE
    uri = document.as_uri()
    with Editor(ours.argv, root, ours.environment) as editor:
        editor.initialize()
        editor.open(uri, document.read_text())
        _paced(editor, uri, 50)
        idle = _paced(editor, uri, _ACTIONS)
        run = editor.command("agent.run", {"goal": "make the failing tests pass", "uri": uri})
        busy: list[float] = []
        while len(busy) < _ACTIONS:
            state = editor.command("agent.status", run)["runs"][0]["state"]
            assert state not in ("failed", "cancelled", "proposed"), f"the run was {state} too early"
            busy += _paced(editor, uri, _BATCH)
        editor.command("agent.control", {**run, "action": "cancel"})
    return busy, idle


def _row(name: str, rounds: Sequence[tuple[list[float], list[float]]], share: float, aim: str) -> Row:
    ours_s, idle_s = (statistics.median(percentile(one[side], share) for one in rounds) for side in (0, 1))
    return Row(name, milliseconds(ours_s), milliseconds(idle_s), ours_s / idle_s, aim)


def _paced(editor: Editor, uri: str, count: int) -> list[float]:
    """Seconds of each request at an editor's pace: one every 10 ms."""
    taken = []
    for number in range(count):
        _, asked_at, read_at = editor.action(uri, number)
        taken.append(read_at - asked_at)
        time.sleep(_PACE_S)
    return taken
