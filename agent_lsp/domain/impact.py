"""Owns which tests a change can affect, in what order they are worth running, and how many fit into a budget."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from agent_lsp.domain.changes import ChangeKind, FileEdit, HunkClass, classify
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.import_graph import ImportGraph
from agent_lsp.domain.imports import FileImports, holds_tests, is_test_file

GUESSED_CASE_S: Final = 0.08
"""What a test takes of which nothing is known, when the whole suite is guessed."""

CAUTIOUS_CASE_S: Final = 0.25
"""The same when tests are chosen for a budget: what is cut off in the middle was run for nothing."""

GUESSED_FILE_S: Final = 0.15
"""What importing one more test file takes."""

_PROSE: Final = (".md", ".rst", ".txt", ".adoc")
_FAR: Final = 1_000
_ENOUGH: Final = 10


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """What earlier runs showed of a workspace's tests.

    `durations_s` are per test; `ran_by` maps source files to the tests that ran code of them; `touched` are the files
    that the last whole run read (None: there was none). `whole_s` is how long a whole run takes, at least that long
    when `unended`. `missed_by` maps changed files to tests that a selection for them once left out wrongly.
    """

    durations_s: Mapping[CaseId, float] = field(default_factory=dict)
    ran_by: Mapping[str, frozenset[CaseId]] = field(default_factory=dict)
    touched: frozenset[str] | None = None
    whole_s: float | None = None
    unended: bool = False
    missed_by: Mapping[str, frozenset[CaseId]] = field(default_factory=dict)

    @property
    def pace_s(self) -> float:
        """What a test takes on which nothing is recorded: as the others do, once there are enough of them."""
        known = len(self.durations_s)
        return CAUTIOUS_CASE_S if known < _ENOUGH else max(GUESSED_CASE_S, sum(self.durations_s.values()) / known)


@dataclass(frozen=True, slots=True)
class Selection:
    """Tests to run, the worthiest first. `affected` of `files` test files can be affected, `chosen` of them are asked.

    `wide` says why all of them count as affected, empty where the imports tell. `share` is a guess of how much of the
    whole suite's time they take.
    """

    tests: tuple[str, ...]
    chosen: int
    affected: int
    files: int
    wide: str = ""
    share: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it is the whole suite."""
        return self.chosen == self.files

    def sentences(self) -> tuple[str, ...]:
        """What a person should know of what was run and what was not."""
        if self.whole:
            return ()
        why = f" ({self.wide})" if self.wide else ""
        if self.chosen >= self.affected:
            return (f"Ran the {self.chosen} of {self.files} test files that the change can affect{why}.",)
        told = (
            f"Ran {self.chosen} of the {self.affected} test files that the change can affect{why}, those nearest to it"
        )
        return (f"{told}; the other {self.affected - self.chosen} did not fit into the time for a first verdict.",)


def case_files(files: Mapping[str, FileImports], facts: SuiteFacts, changed: Collection[str] = ()) -> list[str]:
    """The files that hold tests: those that the last whole run had tests of, else those that look so."""
    held = {case.partition("::")[0] for case in facts.durations_s}
    if held and facts.touched is not None:
        return [path for path, said in files.items() if path in held or (path in changed and holds_tests(path, said))]
    return [path for path, said in files.items() if path in held or holds_tests(path, said)]


def widening(edits: Sequence[FileEdit], graph: ImportGraph, facts: SuiteFacts) -> str:
    """Why the imports cannot tell what a change affects, or empty."""
    for edit in edits:
        for path in dict.fromkeys((edit.base_path, edit.path)):
            if reason := _unseen(path, edit, graph, facts):
                return reason
    return ""


def select(
    edits: Sequence[FileEdit], graph: ImportGraph, facts: SuiteFacts, goals: Sequence[CaseId], budget_s: float
) -> Selection:
    """The goal tests, then what is worth running of what can be affected, as far as the time goes."""
    paths = frozenset(path for edit in edits for path in (edit.path, edit.base_path))
    gone = {edit.base_path for edit in edits if edit.after is None or edit.old_path}
    files = [path for path in case_files(graph.files, facts, paths) if path not in gone]
    held = _held(facts)
    wide = widening(edits, graph, facts)
    order = _Order(paths, graph.dependents(paths), facts, held)
    affected = [path for path in files if wide or path in order.distances or path in paths or order.recorded(path)]
    if not affected:
        wide, affected = "no test is seen to import it", files
    chosen: dict[str, None] = dict.fromkeys(goals)
    spent_s = sum(facts.durations_s.get(goal, facts.pace_s) for goal in goals)
    taken, pace_s = 0, facts.pace_s
    for path in sorted(affected, key=order.key):
        cost_s = _cost_s(path, graph, held, pace_s)
        if spent_s + cost_s <= budget_s or path in paths:
            chosen[path] = None
            taken += 1
            spent_s += cost_s
        elif known := order.recorded(path):
            cases = sorted(known, key=lambda case: facts.durations_s.get(case, pace_s))
            for case in cases:
                case_s = facts.durations_s.get(case, pace_s)
                if spent_s + case_s <= budget_s:
                    chosen[case] = None
                    spent_s += case_s
    share = spent_s / max(spent_s, sum(_cost_s(path, graph, held, pace_s) for path in files), GUESSED_CASE_S)
    return Selection(tuple(chosen), taken, len(affected), len(files), wide, share)


def guessed_whole_s(graph: ImportGraph, facts: SuiteFacts) -> float:
    """How long the whole suite takes: as recorded, else by the number of its tests."""
    if facts.whole_s is not None:
        return facts.whole_s
    held = _held(facts)
    files = case_files(graph.files, facts)
    pace_s = facts.pace_s if len(facts.durations_s) >= _ENOUGH else GUESSED_CASE_S
    return sum(_cost_s(path, graph, held, pace_s) for path in files)


@dataclass(frozen=True, slots=True)
class _Held:
    """The recorded tests of each file, and how long they take together."""

    cases: Mapping[str, frozenset[CaseId]]
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Order:
    paths: frozenset[str]
    distances: Mapping[str, int]
    facts: SuiteFacts
    held: _Held

    def key(self, path: str) -> tuple[int, bool, int, int, float, str]:
        """Changed tests, tests that were once missed or seen to run the changed files, their namesakes, the nearest.

        Of those that were seen to run the changed files the namesakes go first.
        """
        distance = self.distances.get(path, _FAR)
        if path in self.paths:
            rank = 0
        elif self.recorded(path):
            rank = 1
        elif self._named_after(path):
            rank = 2
        else:
            rank = 3
        named, seconds = self._named_after(path), self.held.seconds.get(path, 0.0)
        return rank, not named, distance, -self._closeness(path), seconds, path

    def recorded(self, path: str) -> frozenset[CaseId]:
        """The tests of a file that ran code of a changed file before, or were missed once."""
        seen: set[CaseId] = set()
        for changed in self.paths:
            seen |= self.facts.ran_by.get(changed, frozenset()) | self.facts.missed_by.get(changed, frozenset())
        return frozenset(seen & self.held.cases.get(path, frozenset()))

    def _named_after(self, path: str) -> bool:
        stem = PurePosixPath(path).stem.removeprefix("test_").removesuffix("_test").lower()
        for changed in self.paths:
            pure = PurePosixPath(changed)
            own = pure.parent.name if pure.stem == "__init__" else pure.stem
            word = own.lower().strip("_")
            if word and (stem == word or stem == f"{pure.parent.name.lower()}_{word}" or stem.endswith(f"_{word}")):
                return True
        return False

    def _closeness(self, path: str) -> int:
        """How many leading folders a test shares with a changed file."""
        own = PurePosixPath(path).parts[:-1]
        return max((_shared(own, PurePosixPath(changed).parts[:-1]) for changed in self.paths), default=0)


def _unseen(path: str, edit: FileEdit, graph: ImportGraph, facts: SuiteFacts) -> str:
    name = path.rpartition("/")[2]
    if name == "conftest.py":
        return "" if "/" in path else "it changes the conftest.py of all tests"
    if classify(path) is HunkClass.CONFIG:
        return f"{path} configures the tests"
    if path.endswith(".py"):
        new = edit.kind is ChangeKind.CREATE
        if is_test_file(path) or graph.importers(path) or (new and not name.startswith("__init__")):
            return ""
        return f"nothing is seen to import {path}"
    if path.endswith(_PROSE) and facts.touched is not None and path not in facts.touched:
        return ""
    return f"the imports cannot tell who reads {path}"


def _held(facts: SuiteFacts) -> _Held:
    cases: dict[str, set[CaseId]] = {}
    seconds: dict[str, float] = {}
    for case, duration_s in facts.durations_s.items():
        path = case.partition("::")[0]
        cases.setdefault(path, set()).add(case)
        seconds[path] = seconds.get(path, 0.0) + duration_s
    return _Held({path: frozenset(held) for path, held in cases.items()}, seconds)


def _cost_s(path: str, graph: ImportGraph, held: _Held, pace_s: float) -> float:
    """Of a file of which only some tests were seen, the others are guessed."""
    unseen = max(0, graph.files[path].tests - len(held.cases.get(path, ())))
    return GUESSED_FILE_S + held.seconds.get(path, 0.0) + unseen * pace_s


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
