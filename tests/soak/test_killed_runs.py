"""Runs that are killed at random moments come to the same end, and no turn of a model is paid for twice."""

import os
from pathlib import Path

from tests.anthropic_server import AnthropicServer
from tests.soak.killed_runs import Stage, batches, scripted, trouble

RUNS = int(os.environ.get("SOAK_KILLED_RUNS", "4"))
"""Each is killed twice; `make soak` has a hundred."""

SEED = int(os.environ.get("SOAK_SEED", "20261122"))


async def test_killed_at_any_moment_a_run_goes_on_pays_no_turn_twice_and_repeats_no_effect(tmp_path: Path) -> None:
    killed = 0
    with AnthropicServer(scripted) as model:
        stage = Stage(tmp_path, model)
        for batch in batches(SEED, RUNS):
            for run_id, seen in (await stage.live_through(batch)).items():
                wrong = trouble(seen, stage.root)
                assert not wrong, f"seed {SEED}, {run_id} of {batch}: {wrong}"
                killed += seen["killed"]
    assert killed >= RUNS, "too few were killed in the middle to tell anything"
