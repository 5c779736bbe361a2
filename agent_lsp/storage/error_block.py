"""Owns the error block of the console log: what is captured where an error is logged, and how it reads."""

import linecache
import logging
import platform
import re
import sys
import textwrap
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Final

from agent_lsp.storage.error_causes import Symptom, advise

START: Final = "=== COPILOT ERROR START ==="
END: Final = "=== COPILOT ERROR END ==="

CONTEXT_LINES: Final = 4
MESSAGE_CHARS: Final = 16_000
STACK_CHARS: Final = 60_000
LINE_CHARS: Final = 400
_CHAIN_LIMIT: Final = 50
_MEMBERS_LIMIT: Final = 5
_FRAMES_LIMIT: Final = 30

_PACKAGE: Final = str(Path(__file__).parent.parent)
_DISTRIBUTIONS: Final = ("agent-lsp-server", "pygls", "lsprotocol", "pytest", "anthropic", "pydantic", "apsw")
_RAISED = re.compile(
    r"^(?:E\s+)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failed|Warning|Exit|Interrupt|Group))\b", re.M
)
_ASSERTION = re.compile(r"^(?:E\s.*|\s*assert\b.*|\s*AssertionError\b.*|.*\bassert\s.+)$", re.M)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of source, counted from one."""

    path: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" + (f" in {self.function}" if self.function else "")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is kept of an error at the moment it is logged: no live exception, no frame, no argument."""

    type: str
    message: str
    symptoms: Sequence[Symptom]
    trace: traceback.TracebackException | None = None
    logged_from: Sequence[traceback.FrameSummary] = ()
    root_cause: str = ""
    case: Mapping[str, str] = field(default_factory=dict)


def capture(record: logging.LogRecord, message: str) -> Trouble:
    """The error of a record. Cheap enough for an event loop: source lines are read later, by `body`."""
    case = getattr(record, "case", None)
    if isinstance(case, Mapping):
        return _case_trouble(case, message)
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        symptom = Symptom(("LoggedError",), message)
        return Trouble("LoggedError", message, (symptom,), logged_from=_logged_from(record))
    text = clip(_text(error), MESSAGE_CHARS)
    trace = traceback.TracebackException.from_exception(error, lookup_lines=False, compact=True)
    beneath = _beneath(error)
    symptoms = tuple(map(_symptom, (error, *beneath)))
    root_cause = _told(beneath[0]) if beneath and not isinstance(error, BaseExceptionGroup) else ""
    return Trouble(_type_name(error), text, symptoms, trace, _logged_from(record), root_cause)


def body(trouble: Trouble, head: Mapping[str, str], root: Path) -> str:
    """The block without its two marker lines; see docs/copilot-log.md for the grammar."""
    place = _place(trouble, root)
    fields: dict[str, str] = {**head, "type": trouble.type, "message": trouble.message}
    if place is not None:
        fields["location"] = str(place)
        fields["code"] = code_context(place)
        own = _own_place(trouble, root)
        if own is not None and own != place:
            fields["project_location"] = str(own)
            fields["project_code"] = code_context(own)
    if trouble.root_cause:
        fields["root_cause"] = trouble.root_cause
    if trouble.case:
        fields |= _case_fields(trouble.case, root)
    fields["stack"] = _stack(trouble)
    advice = advise(trouble.symptoms)
    fields["likely_causes"] = "\n".join(f"- {line}" for line in advice.causes)
    fields["possible_fixes"] = "\n".join(f"- {line}" for line in advice.fixes)
    fields["versions"] = versions()
    return "\n".join(_field(name, value) for name, value in fields.items() if value)


def clip(text: str, limit_chars: int) -> str:
    """Head and tail of a text that is too long, cut between words so that no secret is cut in two."""
    if len(text) <= limit_chars:
        return text
    head = text[: limit_chars * 2 // 3]
    tail = text[-(limit_chars // 3) :]
    head = head[: max(head.rfind(" "), head.rfind("\n"), len(head) - 500)]
    gaps = [at for at in (tail.find(" "), tail.find("\n")) if 0 <= at < 500]
    tail = tail[min(gaps) :] if gaps else tail
    return f"{head}\n[... {len(text) - len(head) - len(tail)} characters left out ...]\n{tail}"


def code_context(place: Place) -> str:
    """The lines around a place with their numbers, the place marked; empty where the source cannot be read."""
    lines = linecache.getlines(place.path)
    first = max(place.line - CONTEXT_LINES, 1)
    shown = lines[first - 1 : place.line + CONTEXT_LINES]
    if not 1 <= place.line <= len(lines):
        return ""
    return "\n".join(
        f"{'>' if number == place.line else ' '} {number:5d} | {line.rstrip()[:LINE_CHARS]}"
        for number, line in enumerate(shown, first)
    )


@lru_cache(maxsize=1)
def versions() -> str:
    """One line each: our own version, Python, system, and the libraries whose version explains errors."""
    from importlib import metadata

    system = platform.uname()
    lines = [
        f"python: {platform.python_version()} ({sys.executable})",
        f"platform: {system.system} {system.release} {system.machine}",
    ]
    for name in _DISTRIBUTIONS:
        try:
            lines.append(f"{name}: {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    return "\n".join(lines)


def _field(name: str, value: str) -> str:
    lines = value.splitlines() or [""]
    if len(lines) == 1 and name not in ("code", "project_code", "stack", "likely_causes", "possible_fixes", "versions"):
        return f"{name}: {lines[0]}"
    return "\n".join((f"{name}:", *(f"  {line}" for line in lines)))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - an error whose text cannot be made must still be logged
        return f"<str() of it raised {type(failure).__name__}>"


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _details(error: BaseException) -> dict[str, str]:
    found = {}
    for name in ("errno", "filename", "name", "hint", "code", "status_code"):
        value = _attribute(error, name)
        if isinstance(value, str | int | bytes) and value not in ("", None):
            found[name] = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return found


def _attribute(error: BaseException, name: str) -> object:
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a property of a foreign error may raise anything
        return None


def _symptom(error: BaseException) -> Symptom:
    lineage = tuple(kind.__name__ for kind in type(error).__mro__)
    return Symptom(lineage, clip(_text(error), LINE_CHARS), _details(error))


def _beneath(error: BaseException) -> list[BaseException]:
    """The members of a group, or what an error came from, the first cause first."""
    if isinstance(error, BaseExceptionGroup):
        return list(error.exceptions[:_MEMBERS_LIMIT])
    found: list[BaseException] = []
    seen = {id(error)}
    current = error
    for _ in range(_CHAIN_LIMIT):
        below = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if below is None or id(below) in seen:
            break
        seen.add(id(below))
        found.insert(0, below)
        current = below
    return found


def _told(error: BaseException) -> str:
    where, trace = "", error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        code = trace.tb_frame.f_code
        where = f" at {Place(code.co_filename, trace.tb_lineno, code.co_name)}"
    return f"{_type_name(error)}: {clip(_text(error), LINE_CHARS)}{where}"


def _logged_from(record: logging.LogRecord) -> Sequence[traceback.FrameSummary]:
    """The frames that led to the logging call, innermost last."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not (
        frame.f_code.co_filename == record.pathname and frame.f_code.co_name == record.funcName
    ):
        frame = frame.f_back
    if frame is None:
        return [traceback.FrameSummary(record.pathname, record.lineno, record.funcName, lookup_line=False)]
    walked = traceback.walk_stack(frame)
    return list(reversed(traceback.StackSummary.extract(walked, limit=_FRAMES_LIMIT, lookup_lines=False)))


def _place(trouble: Trouble, root: Path) -> Place | None:
    if trouble.case:
        line = trouble.case.get("line", "")
        path = trouble.case.get("path", "")
        function = trouble.case.get("id", "").rpartition("::")[2]
        return Place(str(root / path), int(line) + 1, function) if path and line.isdigit() else None
    trace = trouble.trace
    if trace is not None:
        source, at = getattr(trace, "filename", None), str(getattr(trace, "lineno", None) or "")
        if "SyntaxError" in trouble.symptoms[0].lineage and source and at.isdigit():
            return Place(str(source), int(at))
    return next((place for place in _frames(trouble)), None)


def _own_place(trouble: Trouble, root: Path) -> Place | None:
    """The innermost frame that lies in this package or in the workspace, and in no installed library."""
    for place in _frames(trouble):
        in_project = place.path.startswith((_PACKAGE, str(root)))
        if in_project and "site-packages" not in place.path.removeprefix(_PACKAGE):
            return place
    return None


def _frames(trouble: Trouble) -> Iterator[Place]:
    """Innermost first; of the error where it has a stack, else of the logging call."""
    frames: Sequence[traceback.FrameSummary] = trouble.trace.stack if trouble.trace is not None else ()
    for frame in reversed(frames or trouble.logged_from):
        yield Place(frame.filename, frame.lineno or 0, frame.name)


def _stack(trouble: Trouble) -> str:
    if trouble.case:
        return clip(trouble.case.get("message", ""), STACK_CHARS)
    if trouble.trace is not None:
        text = "".join(trouble.trace.format()).rstrip("\n")
        if trouble.trace.stack:
            return clip(text, STACK_CHARS)
        return clip(text, STACK_CHARS) + "\nLogged from:\n" + _format(trouble.logged_from)
    return "Logged from (most recent call last):\n" + _format(trouble.logged_from)


def _format(frames: Sequence[traceback.FrameSummary]) -> str:
    return "".join(traceback.StackSummary.from_list(list(frames)).format()).rstrip("\n")


def _case_trouble(case: Mapping[Any, Any], message: str) -> Trouble:
    plain = {str(key): "" if value is None else str(value) for key, value in case.items()}
    text = plain.get("message", "")
    raised = _RAISED.search(text)
    details = {"raised": raised.group(1)} if raised else {}
    first = assertion(text).splitlines()
    shown = (first[0] if first else message) or message
    identity = plain.get("id", "a test")
    symptom = Symptom(("TestFailure",), shown, details)
    return Trouble("TestFailure", clip(f"{identity}: {shown}", MESSAGE_CHARS), (symptom,), case=plain)


def assertion(text: str) -> str:
    """The lines of a test's failure text that tell what was expected: pytest's `E` lines, else the assertion."""
    lines = [match.group() for match in _ASSERTION.finditer(text)]
    marked = [line for line in lines if line.startswith("E")]
    found = [re.sub(r"^E\s", " ", line).rstrip() for line in (marked or lines)]
    return textwrap.dedent("\n".join(found or text.strip().splitlines()[:1]))


def _case_fields(case: Mapping[str, str], root: Path) -> dict[str, str]:
    fields = {"test": case.get("id", ""), "assertion": clip(assertion(case.get("message", "")), MESSAGE_CHARS)}
    source = case.get("source", "")
    if source:
        fields["test_source"] = clip(source, MESSAGE_CHARS)
    fields["workspace"] = str(root)
    return fields
