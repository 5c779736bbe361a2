"""Runs that are killed at random moments come to the same end, and no turn of a model is paid for twice."""

import os
from pathlib import Path

from tests.anthropic_server import AnthropicServer
from tests.soak.killed_runs import Stage, batches, scripted, trouble

KILLS = int(os.environ.get("SOAK_KILLS", "2"))
"""Of processes; four runs are at work in each. `make soak` has a hundred."""

SEED = int(os.environ.get("SOAK_SEED", "20261122"))


async def test_killed_at_any_moment_a_run_goes_on_pays_no_turn_twice_and_repeats_no_effect(tmp_path: Path) -> None:
    killed = edges = 0
    with AnthropicServer(scripted) as model:
        stage = Stage(tmp_path, model)
        for _, batch in zip(range(KILLS), batches(SEED), strict=False):
            for run_id, seen in (await stage.live_through(batch)).items():
                wrong = trouble(run_id, seen, stage.root)
                assert not wrong, f"seed {SEED}, {run_id} of {batch}: {wrong}"
            killed, edges = killed + batch.killed, edges + batch.edges
            if killed >= KILLS:
                break
    assert killed >= KILLS, f"only {killed} were killed in the middle"
    assert 0 < edges < killed, f"of {killed} kills {edges} were of the edge"
