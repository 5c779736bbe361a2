"""Owns what a source file defines and which names it uses, read by patterns: quick, the same for many languages.

A syntax tree would know more and take about four times as long (docs/benchmarks.md); for telling which files matter
to a goal this is enough. What stands in a string or a comment may count as a use.
"""

import re
import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Definition:
    """`line` counts from 0; `text` is the line as it stands, without what follows the signature."""

    name: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class FileSymbols:
    """What one file says."""

    definitions: tuple[Definition, ...] = ()
    uses: tuple[str, ...] = ()


MOST_DEFINITIONS: Final = 400
MOST_USES: Final = 4000
LONGEST_TEXT: Final = 100

_NAME: Final = r"(?P<name>[A-Za-z_$][\w$]*)"
_PYTHON = re.compile(rf"^(?P<text>[ \t]*(?:async[ \t]+def|def|class)[ \t]+{_NAME}[^\n]*)", re.MULTILINE)
_SCRIPT = re.compile(
    rf"^(?P<text>[ \t]*(?:export[ \t]+)?(?:default[ \t]+)?(?:declare[ \t]+)?(?:abstract[ \t]+)?(?:async[ \t]+)?"
    rf"(?:(?:function\*?|class|interface|enum|type|namespace)[ \t]+{_NAME}[^\n]*"
    r"|(?:const|let|var)[ \t]+(?P<bound>[A-Za-z_$][\w$]*)[^=\n]*=[^\n]*(?:=>|function)[^\n]*))",
    re.MULTILINE,
)
_GO = re.compile(rf"^(?P<text>(?:func(?:[ \t]*\([^)\n]*\))?|type)[ \t]+{_NAME}[^\n]*)", re.MULTILINE)
_RUST = re.compile(
    r"^(?P<text>[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?(?:(?:unsafe|async|const|extern(?: \"\w+\")?)[ \t]+)*"
    rf"(?:fn|struct|enum|trait|type|mod|macro_rules!)[ \t]+{_NAME}[^\n]*)",
    re.MULTILINE,
)
_JAVA = re.compile(
    r"^(?P<text>[ \t]*(?:(?:public|protected|private|internal|static|final|abstract|override|open|data|sealed|async"
    rf"|virtual|partial|suspend)[ \t]+)*(?:class|interface|enum|record|struct|object|fun)[ \t]+{_NAME}[^\n]*)",
    re.MULTILINE,
)
_C = re.compile(
    rf"^(?P<text>(?:(?:struct|class|enum|union|namespace)[ \t]+{_NAME}[ \t]*[:{{]?[^\n;(]*"
    r"|[A-Za-z_][\w \t*&:<>,]*?[ \t*&](?P<bound>[A-Za-z_]\w*)[ \t]*\([^;\n]*))$",
    re.MULTILINE,
)
_RUBY = re.compile(rf"^(?P<text>[ \t]*(?:def|class|module)[ \t]+(?:self\.)?{_NAME}[^\n]*)", re.MULTILINE)
_PHP = re.compile(
    r"^(?P<text>[ \t]*(?:(?:public|protected|private|static|final|abstract)[ \t]+)*"
    rf"(?:function|class|interface|trait|enum)[ \t]+{_NAME}[^\n]*)",
    re.MULTILINE,
)
_BY_SUFFIX: Final = {
    suffix: pattern
    for pattern, suffixes in (
        (_PYTHON, "py pyi pyx"),
        (_SCRIPT, "js jsx mjs cjs ts tsx mts cts vue svelte"),
        (_GO, "go"),
        (_RUST, "rs"),
        (_JAVA, "java kt kts cs scala swift"),
        (_C, "c h cc cpp cxx hpp hh"),
        (_RUBY, "rb"),
        (_PHP, "php"),
    )
    for suffix in suffixes.split()
}
_USED = re.compile(r"[A-Za-z_$][\w$]{2,}")


def is_source(path: str) -> bool:
    """Whether a file is of a language that is read here."""
    return path.rpartition(".")[2].lower() in _BY_SUFFIX


def read_symbols(suffix: str, text: str) -> FileSymbols:
    """What a file with this suffix says (`py`, `ts`, …); nothing for an unknown one."""
    pattern = _BY_SUFFIX.get(suffix.lower())
    if pattern is None:
        return FileSymbols()
    definitions = []
    line = at = 0
    for match in pattern.finditer(text):
        start = match.start("text")
        line += text.count("\n", at, start)
        at = start
        groups = match.groupdict()
        name = sys.intern(groups["name"] or groups["bound"])
        definitions.append(Definition(name, line, _signature(match["text"])))
        if len(definitions) >= MOST_DEFINITIONS:
            break
    uses = dict.fromkeys(_USED.findall(text))
    return FileSymbols(tuple(definitions), tuple(map(sys.intern, list(uses)[:MOST_USES])))


def _signature(text: str) -> str:
    shown = text.rstrip().removesuffix("{").rstrip().removesuffix(":")
    return shown if len(shown) <= LONGEST_TEXT else shown[: LONGEST_TEXT - 1] + "…"
