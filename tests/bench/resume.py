"""Owns the measurement of resuming: from the start of a runtime to the next model request of a run that was killed."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

from tests.anthropic_server import AnthropicServer
from tests.bench.measure import Row, milliseconds, say
from tests.soak.killed_runs import Batch, Kill, Life, Stage, scripted

_ROUNDS: Final = 3
_LATE: Final = 8
"""The request at which the run is killed; it has nine."""


async def measure_resume(folder: Path) -> list[Row]:
    """One row: a resumed run against a new one, both from the start of their runtime's process."""
    new, resumed = [], []
    for number in range(_ROUNDS):
        say(f"resuming: round {number + 1} of {_ROUNDS}")
        place = folder / f"round{number}"
        place.mkdir()
        with AnthropicServer(scripted) as model:
            stage = Stage(place, model)
            new.append(await _first_request_s(stage, Kill("request", _LATE, 0.0, edge=False)))
            resumed.append(await _first_request_s(stage, Kill("request", 1, 0.0, edge=False)))
    ours, theirs = statistics.median(resumed), statistics.median(new)
    name = "a runtime's start to the next model request: a resumed run (7 turns kept) against a new one"
    return [Row(name, milliseconds(ours), milliseconds(theirs), ours / theirs, "")]


async def _first_request_s(stage: Stage, kill: Kill) -> float:
    before, began_s = len(stage.model.requests), time.perf_counter()
    living = asyncio.ensure_future(Life(stage, Batch(("r_0",), []), kill).through())
    while len(stage.model.requests) == before and not living.done():
        await asyncio.sleep(0.001)
    took_s = time.perf_counter() - began_s
    await living
    return took_s
