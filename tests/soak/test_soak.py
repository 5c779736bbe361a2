"""A thousand proposals made, typed over, accepted, discarded and rolled back at random: every text is what it must be.

`make test` runs a quarter of it, always the same, and a little with the real gate; `make soak` all, with other seeds.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.soak.machine import Person
from tests.soak.resources import Held, held
from tests.soak.slots import EVERY_SLOT
from tests.soak.world import SoakWorld

PROPOSALS = int(os.environ.get("SOAK_PROPOSALS", "250"))
REAL_PROPOSALS = int(os.environ.get("SOAK_REAL_PROPOSALS", "3"))
SEED = int(os.environ.get("SOAK_SEED", "5"))

_GROWTH_BYTES = 24 << 20
_STEPS = 40

DEEDS = (
    "whole accepted",
    "whole refused",
    "part accepted",
    "part refused",
    "edited",
    "discarded",
    "rolled back",
    "not rolled back",
    "typed over while it was tested",
    "in conflict, the rest accepted",
    "started anew",
)
"""What must have happened, or the random person did too little."""

LEAST = (("whole accepted", "part accepted"), ("whole refused", "part refused"), ("rolled back",))
"""Of each of these one must have happened with the real gate too, which is slow."""


def soak(world: SoakWorld, runner: asyncio.Runner, proposals: int, examples: int, say: Any) -> None:
    """One random person after the other on one world, until so many proposals were made."""
    persons = 0
    while world.offered < proposals:
        person = seed(SEED + persons)(type("Person", (Person,), {"world": world, "runner": runner}))
        run_state_machine_as_test(
            person,
            settings=settings(
                max_examples=examples,
                stateful_step_count=_STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate, Phase.shrink) if not world.real_gate else (Phase.generate,),
                print_blob=False,
            ),
        )
        delattr(person, "world")  # Hypothesis keeps the class
        persons += 1
        say(f"{world.offered} proposals")


def done_at_least(world: SoakWorld, runner: asyncio.Runner) -> None:
    """What the random person did not come to: a right change accepted and rolled back, and a wrong one refused."""
    if all(any(world.deeds[deed] for deed in some) for some in LEAST):
        return
    person: Any = type("Person", (Person,), {"world": world, "runner": runner})()
    person.as_it_was_at_first()
    for value in (7, -1):
        person.offer({EVERY_SLOT[0]: value})
        [proposal_id] = person.offers
        data = runner.run(world.proposal(proposal_id))
        answer = person._accept(proposal_id, data, list(person._hunks(data)))
        assert answer["applied"] is (value > 0), answer
        if answer["applied"]:
            person.offers.clear()
            person.roll_back(0)
        person.every_text_is_what_it_must_be()
    person.teardown()


def ended_where_it_began(before: Held, after: Held) -> None:
    """`before` is taken when everything was used once."""
    assert after.files == before.files
    assert after.mounts == before.mounts
    assert after.processes == before.processes == []
    assert after.candidates == []
    assert after.threads == before.threads
    grown_bytes = after.resident_bytes - before.resident_bytes
    assert grown_bytes < _GROWTH_BYTES, f"{grown_bytes / (1 << 20):.1f} MiB more"


def used_once(folder: Path, runner: asyncio.Runner, *, real_gate: bool) -> None:
    """What is loaded and kept for good is there before anything is counted."""
    world = SoakWorld(folder, real_gate=real_gate)
    runner.run(world.begin())
    soak(world, runner, 2 if real_gate else 20, 3, lambda _: None)
    runner.run(world.end())


@pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc tells")
@pytest.mark.parametrize("real_gate", [False, True], ids=["quick gate", "real gate"])
def test_every_text_is_what_it_must_be_and_nothing_is_left(
    real_gate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_LSP_CACHE_DIR", str(tmp_path / "cache"))
    proposals = REAL_PROPOSALS if real_gate else PROPOSALS

    def say(text: str) -> None:
        if proposals > 500 or (real_gate and proposals > 20):
            with capsys.disabled():
                print(f"\r{text} of {proposals}", end="", flush=True)

    with asyncio.Runner() as runner:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        used_once(tmp_path / "first", runner, real_gate=real_gate)
        before = held(tmp_path / "cache")
        world = SoakWorld(tmp_path / "second", real_gate=real_gate)
        runner.run(world.begin())
        soak(world, runner, proposals, 3 if real_gate else 10, say)
        if real_gate:
            done_at_least(world, runner)
        runner.run(world.end())
        if real_gate:
            assert all(any(world.deeds[deed] for deed in some) for some in LEAST), world.deeds
        else:
            assert all(world.deeds[deed] for deed in DEEDS), world.deeds
        say(f"\n{dict(world.deeds)}\n")
        del world
        ended_where_it_began(before, held(tmp_path / "cache"))
