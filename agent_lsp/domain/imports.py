"""Owns what one Python file's text says of other modules: its imports, the names it mentions, the tests it holds."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

_STATEMENT: Final = re.compile(
    rb"(?:^|[;:])[ \t]*((?:from[ \t]*\.*[\w.]*(?:[ \t]|\\\r?\n)+import|import)\b)", re.MULTILINE
)
_DYNAMIC: Final = re.compile(
    rb"\b(?:import_module|__import__|import_string|iter_modules|walk_packages|entry_points|iter_entry_points"
    rb"|spec_from_file_location|load_setuptools_entrypoints|find_spec|load_module(?:_from_\w+)?|register_plugins)\b"
)
_DOTTED: Final = re.compile(rb"""["']([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)[:"']""")
_TEST: Final = re.compile(rb"^[ \t]*(?:async[ \t]+)?def[ \t]+test", re.MULTILINE)
_TEST_NAMES: Final = ("test_*.py", "*_test.py")
_USUAL_NAMES: Final = re.compile(r"(?:unit)?tests?(?:_\w+)?\.py|\w+_tests\.py")
_FRAMEWORKS: Final = frozenset({"unittest", "django", "pytest", "twisted", "testtools"})
_NOT_COLLECTED: Final = frozenset({"build", "dist", "venv", "node_modules", "site-packages"})
_LONGEST_STATEMENT: Final = 20_000
_MOST_MENTIONS: Final = 400


@dataclass(frozen=True, slots=True)
class Imported:
    """One `import` or `from`: `level` counts its leading dots, `names` are what is taken from the module."""

    module: str
    level: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileImports:
    """What a file says. `mentions` are dotted names in its strings; `dynamic`: it may import by computed names."""

    imports: tuple[Imported, ...] = ()
    mentions: tuple[str, ...] = ()
    dynamic: bool = False
    tests: int = 0


def read_imports(source: bytes) -> FileImports:
    """Reads any text, of any version of Python, whether it can be compiled or not.

    Statements are found by their first word and parsed one by one: a whole syntax tree would take twenty times as
    long. What stands in a docstring counts too, which can only select more.
    """
    found: dict[Imported, None] = {}
    for match in _STATEMENT.finditer(source):
        for imported in _parsed(_statement(source, match.start(1))):
            found[imported] = None
    mentions = dict.fromkeys(name.decode() for name in _DOTTED.findall(source))
    return FileImports(
        tuple(found), tuple(mentions)[:_MOST_MENTIONS], _DYNAMIC.search(source) is not None, len(_TEST.findall(source))
    )


def is_test_file(path: str) -> bool:
    """Whether a file is collected for its name."""
    *folders, name = path.split("/")
    return not _is_hidden(folders) and any(fnmatch(name, pattern) for pattern in _TEST_NAMES)


def _is_hidden(folders: Sequence[str]) -> bool:
    return any(folder in _NOT_COLLECTED or folder.startswith(".") for folder in folders)


def holds_tests(path: str, said: FileImports) -> bool:
    """Whether a file is one of tests: by its name, or by a name that many projects have their tests in.

    Only the text tells of the latter: Django's `tests.py` from a `tests.py` that a package ships.
    """
    if is_test_file(path):
        return True
    *folders, name = path.split("/")
    if not said.tests or not _USUAL_NAMES.fullmatch(name) or _is_hidden(folders):
        return False
    return "tests" in folders or any(row.module.partition(".")[0] in _FRAMEWORKS for row in said.imports)


def _statement(source: bytes, start: int) -> str:
    """The statement that begins here, to the end of its parenthesis or of its (continued) line."""
    end = _line_end(source, start)
    while source[start:end].rstrip().endswith(b"\\") and end < len(source):
        end = _line_end(source, end + 1)
    line = source[start:end]
    if b"(" in line and b")" not in line:
        close = source.find(b")", end, start + _LONGEST_STATEMENT)
        end = len(source) if close < 0 else close + 1
    return source[start : min(end, start + _LONGEST_STATEMENT)].decode("utf-8", "replace")


def _line_end(source: bytes, start: int) -> int:
    end = source.find(b"\n", start)
    return len(source) if end < 0 else end


def _parsed(text: str) -> list[Imported]:
    try:
        nodes = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[Imported] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [Imported(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(Imported(node.module or "", node.level, tuple(alias.name for alias in node.names)))
    return found
