"""Holds apply, rollback and recovery to their promise under kill -9 at any of more than two hundred points."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

POINTS = 52
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [2026, 11, 21, 5])
async def test_killed_at_any_point_the_next_start_finishes_or_undoes_and_nothing_is_done_twice(
    tmp_path: Path, seed: int
) -> None:
    """The seed names the points; `python -m tests.agent.kill_host FOLDER SEED POINTS` shows them again."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agent.kill_host", str(tmp_path), str(seed), str(POINTS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-4000:]
    points = [json.loads(line) for line in out.splitlines()]
    troubled = [json.dumps(row) for row in points if row["trouble"]]
    assert not troubled, "\n".join(troubled)
    killed = [row for row in points if row["killed"]]
    assert len(killed) == POINTS, f"of {len(points)} only {len(killed)} were killed in the middle"
    assert {row["operation"] for row in killed} == {"apply", "rollback", "forward"}
