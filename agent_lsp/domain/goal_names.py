"""Owns reading the names by which people and reports call tests, and finding the files that they mean.

A test may be asked for as pytest writes it (`tests/test_a.py::Case::test_x[1]`), as unittest does
(`test_x (tests.test_a.Case)`, or the first line of its docstring), by a dotted name, or by its bare name.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.ids import CaseId

_AROUND = "`'\""
"""What copying leaves around a name."""

_UNITTEST = re.compile(r"(\w+) \(([\w.]+)\)")


@dataclass(frozen=True, slots=True)
class AskedName:
    """A name's parts, and the parameters that stood behind it (`[1-a]`). At least `file_parts` of it name the file."""

    parts: tuple[str, ...]
    parameters: str = ""
    file_parts: int = 1

    def ids(self, path: str, names: Iterable[str]) -> list[CaseId]:
        """What it means in a file of these qualified names (`Case::test_x`); empty if nothing."""
        wanted = "::".join(self.parts)
        return [f"{path}::{name}{self.parameters}" for name in names if ("::" + name).endswith("::" + wanted)]


@dataclass(frozen=True, slots=True)
class Placed:
    """A name whose file is known; `inside` is what it names in there, empty for the whole file."""

    path: str
    inside: AskedName

    @property
    def id(self) -> CaseId:
        """As pytest writes it."""
        return "::".join((self.path, *self.inside.parts)) + self.inside.parameters


def tidy(goal: str) -> str:
    """A test id without what copying leaves around it."""
    text = goal.strip().strip(_AROUND).removeprefix("./")
    path, mark, rest = text.partition("::")
    return path.replace("\\", "/") + mark + rest


def has_place(goal: str, paths: Collection[str]) -> bool:
    """Whether what stands before the first `::` is a file or folder of these paths."""
    path = goal.partition("::")[0].rstrip("/")
    return path in ("", ".") or path in paths or any(known.startswith(path + "/") for known in paths)


def asked_name(goal: str) -> AskedName:
    """The parts of a name: folders, file (without `.py`), classes, function."""
    head, bracket, rest = goal.partition("[")
    written = _UNITTEST.fullmatch(head.strip())
    if written:
        name, place = written.groups()
        head = place if place.endswith("." + name) else f"{place}.{name}"
    path, mark, names = head.partition("::")
    if "/" in path or path.endswith(".py"):
        file = [part for part in path.removesuffix(".py").split("/") if part]
        return AskedName((*file, *(names.split("::") if names else [])), bracket + rest, len(file))
    parts = [*path.split("."), *names.split("::")] if mark else path.split(".")
    return AskedName(tuple(part for part in parts if part), bracket + rest)


def is_sentence(goal: str) -> bool:
    """Whether it is no name but words, as unittest tells of a test that has a docstring."""
    head = goal.partition("[")[0].strip()
    return " " in head and "::" not in goal and _UNITTEST.fullmatch(head) is None


def described(content: bytes, words: str) -> list[str]:
    """The tests (`Case::test_x`) of a file whose docstrings begin with a line of these words; none of no Python."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [name for name, line in _descriptions(tree, "") if line.strip(_AROUND) == words.strip(_AROUND)]


def _descriptions(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _descriptions(child, f"{prefix}{child.name}::")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test"):
            told = (ast.get_docstring(child) or "").strip()
            if told:
                yield prefix + child.name, told.splitlines()[0].strip()


def placed(asked: AskedName, paths: Iterable[str]) -> list[Placed]:
    """Every test file that a beginning of the name can mean: `tests.test_a.Case` is `Case` in `tests/test_a.py`.

    The longest such beginning wins; files of that very path win over those that end with it.
    """
    files = {PurePosixPath(path).with_suffix("").parts: path for path in paths if path.endswith(".py")}
    for size in range(len(asked.parts), asked.file_parts - 1, -1):
        head, rest = asked.parts[:size], AskedName(asked.parts[size:], asked.parameters)
        if head in files:
            return [Placed(files[head], rest)]
        found = [path for parts, path in files.items() if parts[-size:] == head or _ends_in(head, parts)]
        tests = [path for path in found if classify(path) is HunkClass.TEST]
        if tests:
            return [Placed(path, rest) for path in tests]
    return []


def _ends_in(head: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether a name that begins above the workspace ends in a file's path; a file's bare name is too little."""
    return len(parts) > 1 and head[-len(parts) :] == parts


def cut_off(goal: str) -> bool:
    """Whether an id's parameters end in the middle, as they do in reports that are split at blanks."""
    return "[" in goal and not goal.endswith("]")


def selection_of(goal: str) -> str:
    """What to ask a runner for, to be sure that a goal test is among what runs."""
    return goal.partition("[")[0] if cut_off(goal) else goal
