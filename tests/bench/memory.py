"""Owns the measurement of memory: all processes of a server, idle, with its runtime, during runs and after them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.anthropic_server import AnthropicServer, ParsedRequest, Reply, plan, stall
from tests.bench.contenders import OURS, Contender
from tests.bench.editor import Editor
from tests.bench.lean_client import ServerFailedError
from tests.bench.measure import Row, in_rounds
from tests.scenarios.scene import OVER, PROJECT, SERVE, environment, write_project

ROUNDS: Final = 3
RUNS: Final = 10
_SETTLED_S: Final = 2.0
_LONGEST_S: Final = 180.0
_POLL_S: Final = 0.2
_FILE: Final = "calc.py"


@dataclass(frozen=True, slots=True)
class Stages:
    """MiB of all processes together (PSS) at each stage of one server's life; a server without runs has the first."""

    idle: float
    runtime: float = 0.0
    one: float = 0.0
    all: float = 0.0
    after: float = 0.0


def measure_memory(folder: Path, bare: Contender) -> list[Row]:
    """A row for each stage, against the stage before it or the baseline."""
    place = _Place(folder)
    works: Mapping[str, Callable[[], Stages]] = {OURS: place.ours, bare.name: lambda: place.idle(bare)}
    return rows(in_rounds("memory", ROUNDS, works), bare.name)


def rows(results: Mapping[str, Sequence[Stages]], bare: str) -> list[Row]:
    """Medians of the rounds. Raises ServerFailedError where a side could not be measured."""
    if missing := [name for name, found in results.items() if not found]:
        raise ServerFailedError(f"the memory of {missing[0]} is not known")

    def of(stage: Callable[[Stages], float], name: str = OURS) -> float:
        return median(stage(found) for found in results[name])

    idle, runtime = of(lambda found: found.idle), of(lambda found: found.runtime)
    one, everything = of(lambda found: found.one), of(lambda found: found.all)
    return [
        _row(f"an idle server, against {bare}", idle, of(lambda found: found.idle, bare)),
        _row("the same with its runtime started, against before", runtime, idle),
        _row("with one run that waits for its model, against no run", one, runtime),
        _row(f"with {RUNS} such runs, against one", everything, one),
        _row(f"after the {RUNS} have ended, against one", of(lambda found: found.after), one),
    ]


def _row(name: str, ours_mib: float, other_mib: float) -> Row:
    return Row(name, f"{ours_mib:.1f} MiB", f"{other_mib:.1f} MiB", ours_mib / other_mib, "")


def waiting(request: ParsedRequest) -> Reply:
    """Plans at once, and then never begins to answer: the run has its candidate open, and waits."""
    return plan("Mend add") if request.phase == "planning" else stall(after=0)


class _Place:
    """One small project, in which servers come and go."""

    def __init__(self, folder: Path) -> None:
        self._root, self._home = folder / "project", folder / "home"
        self._root.mkdir()
        self._home.mkdir()
        write_project(self._root, PROJECT)

    def idle(self, server: Contender) -> Stages:
        """A server that has opened one document and answered one request."""
        with Editor(server.argv, self._root, server.environment) as editor:
            return Stages(self._opened(editor))

    def ours(self) -> Stages:
        """Ours, through all stages."""
        with AnthropicServer(waiting) as model:
            bounds = ("AGENT_LSP_RUNS__PARALLEL", "AGENT_LSP_RUNS__PARALLEL_MACHINE")
            settings = environment(self._home, model, dict.fromkeys(bounds, str(RUNS)))
            with Editor(SERVE, self._root, settings) as editor:
                idle = self._opened(editor)
                _wait(lambda: _answers(editor))
                runtime = _settled(editor)
                runs = [editor.command("agent.run", {"goal": "mend add, the first of all"})]
                _wait(lambda: len(model.in_phase("execution")) == 1)
                one = _settled(editor)
                runs += [editor.command("agent.run", {"goal": f"mend add, number {n}"}) for n in range(2, RUNS + 1)]
                _wait(lambda: len(model.in_phase("execution")) == RUNS)
                everything = _settled(editor)
                for run in runs:
                    editor.command("agent.control", {**run, "action": "cancel"})
                _wait(lambda: _over(editor))
                return Stages(idle, runtime, one, everything, _settled(editor))

    def _opened(self, editor: Editor) -> float:
        document = self._root / _FILE
        editor.initialize()
        editor.open(document.as_uri(), document.read_text())
        editor.action(document.as_uri(), 1)
        return _settled(editor)


def _answers(editor: Editor) -> bool:
    """Asks what needs a runtime: it is started at need, and has come through its start once it answers."""
    asked = {"command": "agent.checkpoints", "arguments": [{}]}
    return "error" not in editor.client.request("workspace/executeCommand", asked)


def _over(editor: Editor) -> bool:
    return all(row["state"] in OVER for row in editor.command("agent.status", {})["runs"])


def _settled(editor: Editor) -> float:
    time.sleep(_SETTLED_S)
    return editor.memory_mib("Pss")


def _wait(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _LONGEST_S
    while not true():
        if time.monotonic() > until_s:
            raise ServerFailedError("the runs did not come so far in time")
        time.sleep(_POLL_S)
