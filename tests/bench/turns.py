"""Owns the measurement of what the harness adds to a model turn: a run of the real server against a bare SDK loop.

Both talk with the same scripted endpoint over HTTP; a turn lasts from one request's arrival there to the next one's.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from tests.anthropic_server import AnthropicServer, Call, Json, ParsedRequest, Reply, calls, edit, finish, plan
from tests.bench.contenders import HERE, OURS
from tests.bench.editor import Editor
from tests.bench.lean_client import ServerFailedError
from tests.bench.measure import Row, in_rounds, milliseconds, say
from tests.scenarios.scene import SERVE, environment, write_project

ROUNDS: Final = 5
TURNS: Final = 30
KINDS: Final = ("read_file", "search", "edit_file")
_PACKAGE: Final = HERE.parent.parent / "agent_lsp"
_LONGEST_S: Final = 180.0
_POLL_S: Final = 0.5
_LOOP: Final = "the bare SDK loop"

Turns = Mapping[str, list[float]]
"""Seconds of each turn of one run, by the tool that it called."""


@dataclass(frozen=True)
class Script:
    """A model that calls each of `wanted` in one turn and then finishes; knows when the execution's requests came."""

    wanted: Sequence[Call]
    arrived_s: list[float] = field(default_factory=list)

    def __call__(self, request: ParsedRequest) -> Reply:
        """The next call, told by the length of the conversation alone."""
        if request.phase != "execution":
            return plan("Look around")
        self.arrived_s.append(time.perf_counter())
        said = sum(message["role"] == "assistant" for message in request.messages)
        return calls(self.wanted[said] if said < len(self.wanted) else finish())

    @property
    def over(self) -> bool:
        """Whether the last turn's result has come."""
        return len(self.arrived_s) > len(self.wanted)

    def turns(self) -> Turns:
        """What each turn took. Raises ServerFailedError where the script did not come to its end."""
        if not self.over:
            raise ServerFailedError(f"{len(self.arrived_s)} requests of {len(self.wanted) + 1} came")
        taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number, call in enumerate(self.wanted):
            taken[call.name].append(self.arrived_s[number + 1] - self.arrived_s[number])
        return taken


def script(files: Mapping[str, str], turns: int = TURNS) -> Script:
    """Reads, searches and edits in turn, each time in another file."""
    names = [name for name, text in sorted(files.items()) if text.count("\n") >= 100]
    wanted = []
    for number in range(turns):
        name = names[number % len(names)]
        first = files[name].split("\n", 1)[0]
        wanted.append(
            (
                Call("read_file", {"path": name, "start_line": 1, "end_line": 100}),
                Call("search", {"pattern": r"def \w+_s\(", "path": name.rsplit("/", 1)[0]}),
                edit(name, f"{first}\n", f"{first}\n# {number}\n"),
            )[number % len(KINDS)]
        )
    return Script(wanted)


def measure_turns(folder: Path) -> list[Row]:
    """A row for each kind of tool, and what the harness adds in the mean."""
    bench = Turnwise(folder)
    say("turns: warming up")
    bench.run()
    return rows(in_rounds("turns", ROUNDS, {OURS: bench.run, _LOOP: bench.loop}))


def rows(results: Mapping[str, Sequence[Turns]]) -> list[Row]:
    """Medians of all turns of one kind in all rounds. Raises ServerFailedError where a side could not be measured."""
    missing = [name for name, found in results.items() if not found]
    if missing:
        raise ServerFailedError(f"there are no turns of {missing[0]}")
    made, added = [], []
    for kind in KINDS:
        ours_s, loop_s = (median([turn for run in runs for turn in run[kind]]) for runs in results.values())
        name = f"a turn that calls `{kind}`, against {_LOOP}"
        made.append(Row(name, milliseconds(ours_s), milliseconds(loop_s), ours_s / loop_s, ""))
        added.append((ours_s - loop_s, loop_s))
    more_s = sum(ours_s for ours_s, _ in added) / len(added)
    bare_s = sum(loop_s for _, loop_s in added) / len(added)
    name = "what is added to a turn (mean of the three), against the bare turn"
    return [*made, Row(name, milliseconds(more_s), milliseconds(bare_s), more_s / bare_s, "")]


class Turnwise:
    """One project, and both ways of going through the same script on it."""

    def __init__(self, folder: Path) -> None:
        self._home, self._root, self._said = folder / "home", folder / "project", folder / "said.json"
        self._root.mkdir()
        paths = sorted(_PACKAGE.rglob("*.py"))
        self._files = {f"package/{path.relative_to(_PACKAGE)}": path.read_text() for path in paths}
        write_project(self._root, self._files)
        self._home.mkdir()

    def run(self) -> Turns:
        """A run of the product, from an editor; keeps what was said, for the loop."""
        brain = script(self._files)
        with AnthropicServer(brain) as model:
            with Editor(SERVE, self._root, environment(self._home, model, {})) as editor:
                editor.initialize()
                run = editor.command("agent.run", {"goal": "look around in the package"})
                _wait(brain, lambda: editor.command("agent.status", run)["runs"][0]["state"])
                editor.command("agent.control", {**run, "action": "cancel"})
            self._said.write_text(json.dumps(said(model.in_phase("execution")[-1].body)))
        return brain.turns()

    def loop(self) -> Turns:
        """The same words in the bare loop."""
        brain = script(self._files)
        with AnthropicServer(brain) as model:
            play(self._said, model)
        return brain.turns()


def said(body: Json) -> Json:
    """What a bare loop needs for the same conversation: the request without its turns, and each turn's results."""
    first, *others = body["messages"]
    results = [message["content"] for message in others if message["role"] == "user"]
    request = {key: value for key, value in body.items() if key != "stream"}
    return {"request": {**request, "messages": [first]}, "results": results}


def play(kept: Path, model: AnthropicServer) -> None:
    """Lets the bare loop say it again. Raises ServerFailedError when it fails."""
    argv = [sys.executable, str(HERE / "bare_loop.py"), str(kept)]
    variables = {**os.environ, "ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-ant-bench"}
    try:
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServerFailedError(f"{_LOOP} stood still after {len(model.requests)} requests") from error
    if done.returncode:
        raise ServerFailedError(f"{_LOOP} failed: {done.stderr.strip()[-400:]}")


def _wait(brain: Script, state: Callable[[], str]) -> None:
    """Until the script is over; asks now and then only, since that costs the server something."""
    until_s = time.monotonic() + _LONGEST_S
    while not brain.over:
        time.sleep(_POLL_S)
        now = state()
        if now in ("failed", "cancelled") or time.monotonic() > until_s:
            raise ServerFailedError(f"the run was {now} after {len(brain.arrived_s)} turns")
