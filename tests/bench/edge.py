"""Owns the measurements of the edge: every server in turn, one at a time, from its start to its end."""

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tests.bench.contenders import BARE, HERE, OURS, Contender
from tests.bench.editor import Editor, python_text
from tests.bench.lean_client import Json, ServerFailedError
from tests.bench.measure import Comparison, in_rounds, median_of, percentile

T = TypeVar("T")

_IDLE_S: Final = 1.0
_LINES: Final = 300
_LONG_LINES: Final = 5000
_ACTIONS: Final = 2000
_ACTIONS_WITHIN_S: Final = 2.0
_LEAST_ACTIONS: Final = 20
_WARM_ACTIONS: Final = 100
_CHANGES: Final = 40_000
_CHANGES_WITHIN_S: Final = 1.2
_LEAST_CHANGES: Final = 1500
_WARM_CHANGES: Final = 1500
_SETTLED_S: Final = 1.0
"""What a server loads in the background after its start is part of no other row."""
_ECHOES: Final = 2000
_FORGIVEN: Final = 0.1
"""The share of errors among the answers that is passed over: jedi-language-server has some of its own."""
_OWN: Final = ("Private_Clean", "Private_Dirty")


@dataclass(frozen=True, slots=True)
class _Start:
    initialize_s: float
    action_s: float
    idle_mib: float


@dataclass(frozen=True, slots=True)
class _Actions:
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class _Changes:
    per_s: float
    growth_mib: float


def measure_edge(folder: Path, servers: Sequence[Contender], rounds: int) -> list[Comparison]:
    """All rows that show the edge beside other servers."""
    root = folder / "workspace"
    root.mkdir()
    short, long = root / "bookings.py", root / "long.py"
    short.write_text(python_text(_LINES))
    long.write_text(python_text(_LONG_LINES))
    started = _measured("start and memory", rounds, servers, partial(_start, short))
    acted = _measured("code actions", rounds, servers, partial(_actions, short))
    changed = _measured("changes", rounds, servers, partial(_changes, long))
    return [
        _row("start to the `initialize` reply", "ms", started, lambda row: row.initialize_s * 1000, aim=0.7),
        _row("start to the first `codeAction` reply", "ms", started, lambda row: row.action_s * 1000, aim=1.0),
        _row("idle memory (PSS)", "MiB", started, lambda row: row.idle_mib, aim=1.3),
        _row("`codeAction` p50", "ms", acted, lambda row: row.p50_s * 1000, aim=0.4),
        _row("`codeAction` p99", "ms", acted, lambda row: row.p99_s * 1000, aim=0.6),
        _row("`didChange`, 5,000 lines", "/s", changed, lambda row: row.per_s, aim=10.0, more_is_better=True),
        _row("memory growth, 40,000 changes", "MiB", changed, lambda row: row.growth_mib, bound=1.0),
    ]


def measure_client_us(folder: Path) -> float:
    """The median round trip with a server that does nothing: what the client, the pipes and the system cost."""
    with Editor([sys.executable, str(HERE / "echo_server.py")], folder) as editor:
        editor.open("file:///echo.py", python_text(_LINES))
        return percentile(_action_times(editor, "file:///echo.py", _ECHOES), 0.5) * 1_000_000


def _measured(
    title: str, rounds: int, servers: Sequence[Contender], work: Callable[[Contender], T]
) -> dict[str, list[T]]:
    """What each server gave in each round; a round before them warms caches and is thrown away.

    All but us and the baseline sit out every second round, so that the whole stays short.
    """
    works = {server.name: partial(work, server) for server in servers if not server.missing}
    in_rounds(f"edge, {title}, warming up", 1, works)
    return in_rounds(f"edge, {title}", rounds, works, seldom=set(works) - {OURS, BARE})


def _row(
    name: str,
    unit: str,
    results: Mapping[str, Sequence[T]],
    figure: Callable[[T], float],
    *,
    aim: float | None = None,
    bound: float | None = None,
    more_is_better: bool = False,
) -> Comparison:
    figures = {server: median_of([figure(row) for row in rows]) for server, rows in results.items()}
    return Comparison(name, unit, figures, aim, bound, more_is_better)


def _start(document: Path, server: Contender) -> _Start:
    """As an editor starts: the document is opened and asked about as soon as `initialize` was answered."""
    with _no_collector(), Editor(server.argv, document.parent, server.environment) as editor:
        initialize_s = editor.initialize()
        editor.open(document.as_uri(), document.read_text())
        _, _, read_at = editor.action(document.as_uri(), 1)
        action_s = read_at - editor.client.started
        time.sleep(_IDLE_S)
        return _Start(initialize_s, action_s, editor.memory_mib("Pss"))


def _actions(document: Path, server: Contender) -> _Actions:
    """The cursor moves over the document, each request after the answer before it."""
    with Editor(server.argv, document.parent, server.environment) as editor:
        editor.initialize()
        editor.open(document.as_uri(), document.read_text())
        forgiven = 0 if server.name in (OURS, BARE) else _FORGIVEN
        _action_times(editor, document.as_uri(), _WARM_ACTIONS, _ACTIONS_WITHIN_S / 2, forgiven)
        time.sleep(_SETTLED_S)
        taken = _action_times(editor, document.as_uri(), _ACTIONS, _ACTIONS_WITHIN_S, forgiven)
        return _Actions(percentile(taken, 0.5), percentile(taken, 0.99))


def _action_times(
    editor: Editor, uri: str, count: int, within_s: float | None = None, forgiven: float = 0
) -> list[float]:
    """Seconds of so many requests; fewer, yet not less than 20, where they take too long.

    Raises ServerFailedError when more than this share of them was answered with errors.
    """
    taken: list[float] = []
    errors: list[Json] = []
    began = time.perf_counter()
    with _no_collector():
        for number in range(count):
            answer, asked_at, read_at = editor.action(uri, number)
            taken.append(read_at - asked_at)
            if "error" in answer:
                errors.append(answer)
            if within_s is not None and number + 1 >= _LEAST_ACTIONS and read_at - began > within_s:
                break
    if len(errors) > forgiven * len(taken):
        raise ServerFailedError(f"{len(errors)} of {len(taken)} requests were answered with errors: {errors[-1]}")
    return taken


def _changes(document: Path, server: Contender) -> _Changes:
    """Changes a second, and growth for 40,000 of them: of so many with us, scaled from fewer where they are slow."""
    uri, text = document.as_uri(), document.read_text()
    with _no_collector(), Editor(server.argv, document.parent, server.environment) as editor:
        editor.initialize()
        editor.open(uri, text)
        editor.action(uri, 0)
        warm_s = editor.change_s(uri, _WARM_CHANGES)
        time.sleep(_SETTLED_S)
        count = _CHANGES
        if server.name != OURS:
            count = min(count, max(_LEAST_CHANGES, int(_CHANGES_WITHIN_S * _WARM_CHANGES / warm_s)))
        before_mib = editor.memory_mib(*_OWN)
        taken_s = editor.change_s(uri, count)
        grown_mib = editor.memory_mib(*_OWN) - before_mib
        return _Changes(count / taken_s, grown_mib * _CHANGES / count)


@contextmanager
def _no_collector() -> Iterator[None]:
    """The client's own garbage collector must not be measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
