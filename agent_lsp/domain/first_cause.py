"""Owns reading a failure's text: what was raised first, in which files, and how that is told in a few words."""

import re
from collections.abc import Sequence
from typing import Final

from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import CaseResult, SuiteReport

_SHOWN_CHARACTERS: Final = 160
"""Of a message that a reason quotes."""

_MARKED = re.compile(r"^E +(?P<words>\S.*)$", re.MULTILINE)
"""What was raised, as pytest marks it."""

_RAISED = re.compile(r"[A-Za-z_][\w.]*(?::\s.*|$)")
"""`Name: words`, or a name alone: an exception, and not the lines of source that a syntax error shows."""

_FRAME = re.compile(
    r"^(?P<short>[^\s:][^:\n]*):(?P<at>\d+): |^ *File \"(?P<long>[^\"\n]+)\", line (?P<on>\d+)", re.MULTILINE
)
"""A line that says where: pytest's short form, or Python's own."""

_ENDED = re.compile(r"^\S+:\d+: (\w+)$", re.MULTILINE)
"""The last line of a failure, where it only says of which kind it is."""

_VARYING = re.compile(r"0x[0-9a-f]+|/\S*/|\d+")
"""Addresses, folders and numbers: they differ from run to run."""

INSTALLED: Final = re.compile(r"site-packages|dist-packages|/lib/python\d")
"""Where what is not the workspace's own lies."""

_STOPPED = re.compile(r"did not end within \d+ s")


def cause_of(text: str) -> str:
    """What was raised first: of chained exceptions the first one is the cause. Empty for an empty text."""
    marked = [found["words"].rstrip() for found in _MARKED.finditer(text)]
    lines = marked or [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    told = next((line for line in lines if _RAISED.match(line)), "")
    ended = _ENDED.search(text)
    return told or (ended[1] if ended and not marked else "") or next(iter(lines), "")


def files_of(text: str) -> tuple[str, ...]:
    """The files that the text's frames name, as it names them, the innermost last."""
    return tuple(found["short"] or found["long"] for found in _FRAME.finditer(text))


def same_cause(one: str, other: str) -> bool:
    """Whether two failures were caused alike; a kept text may have lost its head."""
    rows = [[_VARYING.sub("#", words) for words in (cause_of(text), _last(text))] for text in (one, other)]
    return any(first == second for first, second in zip(*rows, strict=True))


def passes_through(text: str, path: str) -> bool:
    """Whether a frame lies in this file of the workspace, however its folder is told."""
    return any(_is_same_file(file.replace("\\", "/"), path) for file in files_of(text))


def ends_in(text: str, path: str) -> bool:
    """Whether this file of the workspace is the innermost one that is not installed."""
    own = [file for file in files_of(text) if not INSTALLED.search(file)]
    return bool(own) and _is_same_file(own[-1], path)


def place_of_first(report: SuiteReport, ids: Sequence[CaseId]) -> str:
    """`at FILE:LINE: what was raised` of the first of these tests that says it; empty where none does."""
    for case_id in sorted(ids):
        case = report.cases.get(case_id)
        told = _place_of_case(case) if case is not None else _place_of_file(report, case_id)
        if told:
            return told
    return ""


def shown(words: str) -> str:
    """A message as a reason quotes it: one line, short, without a full stop of its own."""
    line = " ".join(words.split())
    return (line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "...").rstrip(".:")


def _place_of_case(case: CaseResult) -> str:
    cause = cause_of(case.message)
    if not cause or not case.path or _STOPPED.search(case.message):
        return ""
    place = case.path if case.line is None else f"{case.path}:{case.line + 1}"
    return f"at {place}: {shown(cause)}"


def _place_of_file(report: SuiteReport, case_id: CaseId) -> str:
    """Of a test whose file could not be collected."""
    for place, text in report.collection_errors.items():
        if case_id == place or case_id.startswith((place + "::", place + "/")):
            cause = cause_of(text)
            return f"at {_inside(text, place)}: {shown(cause)}" if cause else ""
    return ""


def _inside(text: str, place: str) -> str:
    """The innermost line that lies in the uncollected file itself, else the file."""
    found = [row for row in _FRAME.finditer(text) if _is_same_file(row["short"] or row["long"], place)]
    return f"{place}:{found[-1]['at'] or found[-1]['on']}" if found else place


def _last(text: str) -> str:
    marked = _MARKED.findall(text)
    rest = [line for line in text.splitlines() if line.strip()]
    return marked[-1].strip() if marked else rest[-1].strip() if rest else ""


def _is_same_file(told: str, path: str) -> bool:
    if told.startswith(("/", "..")):
        return told.endswith("/" + path) and not INSTALLED.search(told.removesuffix(path))
    return told == path or path.endswith("/" + told)
