"""Owns how the text of a patch is read: unified diffs as models write them, and the `*** Begin Patch` form.

Counts and line numbers of hunk headers are hints, prose and fences around the patch are skipped. What the hunks say is
kept as it was written; whether it fits is not judged here.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.text import split_lines

NOWHERE: Final = "/dev/null"

_HUNK = re.compile(r"@@+(?:\s+-(?P<line>\d+)(?:,\d+)?\s+\+\d+(?:,\d+)?(?:\s+@@+)?)?(?P<rest>.*)")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_HEADER = re.compile(r"\s*(?:diff --git |--- |\+\+\+ |@@|\*\*\* (?:Begin Patch|Update File|Add File|Delete File))")
_STARRED = re.compile(r"\*\*\* (?P<verb>Begin Patch|End Patch|End of File|Update File|Add File|Delete File|Move to)")
_NO_NEWLINE = re.compile(r"\\ ?no newline", re.IGNORECASE)
_GIT_NAMES = re.compile(r'diff --git (?P<old>"(?:[^"\\]|\\.)*"|\S+) (?P<new>"(?:[^"\\]|\\.)*"|\S+)$')
_NOISE: Final = ("index ", "old mode ", "new mode ", "similarity index ", "dissimilarity index ", "====")


@dataclass(frozen=True, slots=True)
class Op:
    """One line of a hunk. `marked` is False where the line had no marker; `open_end` where it has no line ending."""

    mark: str
    text: str
    marked: bool = True
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One hunk as written: its lines, and its hints (one-based line, headings, whether it ends the file).

    `at` is the one-based line of the patch where it starts.
    """

    at: int
    ops: tuple[Op, ...] = ()
    line: int | None = None
    headings: tuple[str, ...] = ()
    ends_file: bool = False


@dataclass(frozen=True, slots=True)
class FilePatch:
    """What a patch says of one file. Names are as written; None where the patch does not say one.

    `literal` names have none of git's prefixes.
    """

    old: str | None = None
    new: str | None = None
    created: bool = False
    deleted: bool = False
    renamed: bool = False
    literal: bool = False
    sections: tuple[Section, ...] = field(default_factory=tuple)


def read_patch(patch: str) -> list[FilePatch]:
    """The files of a patch in order. Raises ToolError for a text that is no patch or changes binary content."""
    reader = _Reader(_unwrapped(patch))
    reader.run()
    if not reader.files:
        raise ToolError(
            "This is no patch: it names no file. Write a unified diff with `--- a/PATH`, `+++ b/PATH` and `@@` lines."
        )
    return reader.files


def endings_are_deliberate(patch: str) -> bool:
    """Whether CRLF in added lines is meant: they have it and the patch's other lines do not."""
    lines = patch.split("\n")
    added = [line for line in lines if line.startswith("+") and not line.startswith("+++")]
    others = [line for line in lines if not line.startswith("+") and line.strip()]
    return bool(added) and all(line.endswith("\r") for line in added) and not any(o.endswith("\r") for o in others)


def _unwrapped(patch: str) -> list[str]:
    """Lines without carriage returns at their ends, without fences around the patch and without common indent."""
    lines = [line.removesuffix("\r") for line in patch.removesuffix("\n").split("\n")]
    first = next((at for at, line in enumerate(lines) if _HEADER.match(line)), None)
    if first is None:
        return lines
    if any(_FENCE.match(line) for line in lines[:first]):
        lines = _inside_fences(lines)
    elif lines and _FENCE.fullmatch(lines[-1]):
        lines = lines[:-1]
    indent = min((len(line) - len(line.lstrip(" ")) for line in lines[first:] if line.strip()), default=0)
    if indent and lines[first].startswith(" " * indent):
        lines = [line[indent:] for line in lines]
    return lines


def _inside_fences(lines: list[str]) -> list[str]:
    """Lines outside of fences are blanked, so that line numbers stay; a fence inside a hunk carries a marker."""
    out, inside = [], False
    for line in lines:
        if _FENCE.match(line) and (not inside or not line.strip().strip("`~")):
            inside = not inside
            out.append(_BREAK)
        else:
            out.append(line if inside else _BREAK)
    return out


_BREAK: Final = "\0"
"""Stands for a line that is not part of the patch and ends a hunk."""


class _Reader:
    """Walks over the lines once; `files` is what was read."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._headings: tuple[str, ...] = ()
        self.files: list[FilePatch] = []

    def run(self) -> None:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith("@@"):
                self._hunk(line)
            elif not self._header(line) and self._opens_bare_hunk(line):
                self._body(Section(self._at + 1))
            else:
                self._at += 1

    # --- headers of files ---

    def _header(self, line: str) -> bool:
        """Takes a line that speaks of a file; False for any other line."""
        if line.startswith("diff --git "):
            names = _GIT_NAMES.match(line.rstrip())
            self._start(FilePatch(names["old"], names["new"]) if names else FilePatch())
        elif line.startswith("Index: "):
            self._start(FilePatch(line[7:], line[7:]))
        elif line.startswith("--- "):
            self._old_name(line[4:])
        elif line.startswith("+++ "):
            self._new_name(line[4:])
        elif (starred := _STARRED.match(line)) is not None:
            self._starred(starred["verb"], line[starred.end() :].lstrip(": ").strip())
        else:
            return self._extended(line)
        return True

    def _extended(self, line: str) -> bool:
        if not self.files:
            return False
        if line.startswith(("GIT binary patch", "Binary files ")):
            raise ToolError("The patch changes a binary file; apply_patch takes text only.")
        if line.startswith(("copy from ", "copy to ")):
            raise ToolError("The patch copies a file; write the new file with write_file instead.")
        if line.startswith("new file mode"):
            self._amend(created=True)
        elif line.startswith("deleted file mode"):
            self._amend(deleted=True)
        elif line.startswith("rename from "):
            self._amend(old=line[12:], renamed=True)
        elif line.startswith("rename to "):
            self._amend(new=line[10:], renamed=True)
        else:
            return line.startswith(_NOISE)
        return True

    def _old_name(self, name: str) -> None:
        if self.files and not self.files[-1].sections and self._announced():
            self._amend(old=name if not self.files[-1].renamed else self.files[-1].old)
        else:
            self._start(FilePatch(old=name))
        if _is_nowhere(name):
            self._amend(created=True)

    def _new_name(self, name: str) -> None:
        current = self.files[-1] if self.files else None
        if current is None or current.sections:
            self._start(FilePatch())
        self._amend(new=name if not self.files[-1].renamed else self.files[-1].new)
        if _is_nowhere(name):
            self._amend(deleted=True)

    def _announced(self) -> bool:
        """Whether the current file was opened by `diff --git` or `Index:` and still waits for its `---`."""
        back = self._at - 1
        while back >= 0 and self._lines[back].startswith((*_NOISE, "new file", "deleted file", "rename ")):
            back -= 1
        return back >= 0 and self._lines[back].startswith(("diff --git ", "Index: "))

    def _starred(self, verb: str, name: str) -> None:
        match verb:
            case "Update File":
                self._start(FilePatch(name, name, literal=True))
            case "Add File":
                self._start(FilePatch(NOWHERE, name, created=True, literal=True))
            case "Delete File":
                self._start(FilePatch(name, NOWHERE, deleted=True, literal=True))
            case "Move to" if self.files:
                self._amend(new=name, renamed=True)

    def _start(self, file: FilePatch) -> None:
        self.files.append(file)
        self._headings = ()

    def _amend(self, **changes: object) -> None:
        self.files[-1] = replace(self.files[-1], **changes)  # type: ignore[arg-type]

    # --- hunks ---

    def _hunk(self, line: str) -> None:
        if not self.files:
            raise ToolError("The patch names no file before its first `@@`; add `--- a/PATH` and `+++ b/PATH` lines.")
        header = _HUNK.match(line)
        rest = header["rest"].strip() if header else ""
        number = header["line"] if header else None
        headings = (*self._headings, rest.removesuffix("@@").strip()) if rest.strip("@. ") else self._headings
        self._at += 1
        self._body(Section(self._at, line=int(number) if number else None, headings=headings))

    def _opens_bare_hunk(self, line: str) -> bool:
        """A file's lines that start without any `@@`."""
        return bool(self.files) and line[:1] in ("+", "-") and not self.files[-1].sections

    def _body(self, section: Section) -> None:
        ops: list[Op] = []
        ends_file = False
        while self._at < len(self._lines) and not self._ends_hunk():
            line = self._lines[self._at]
            self._at += 1
            if line.startswith("*** End of File"):
                ends_file = True
            elif _NO_NEWLINE.match(line):
                ops[-1:] = [replace(op, open_end=True) for op in ops[-1:]]
            else:
                ops += _ops(line)
        if not any(op.text or op.marked for op in ops):
            self._headings = section.headings
            return
        self._headings = ()
        whole = replace(section, ops=tuple(ops), ends_file=ends_file)
        self._amend(sections=(*self.files[-1].sections, whole))

    def _ends_hunk(self) -> bool:
        line = self._lines[self._at]
        if line.startswith(("@@", "diff --git ", _BREAK)):
            return True
        if (starred := _STARRED.match(line)) is not None:
            return starred["verb"] != "End of File"
        return self._signature() or self._names_next_file()

    def _signature(self) -> bool:
        """git format-patch ends a mail with `-- ` and its version."""
        if self._lines[self._at] not in ("-- ", "--"):
            return False
        rest = [line for line in self._lines[self._at + 1 :] if line.strip()]
        return len(rest) <= 1 and all(re.match(r"\d+\.\d", line) for line in rest)

    def _names_next_file(self) -> bool:
        """`---` with `+++` below it: removed and added comments look alike, so a `@@` or equal names must follow."""
        here = self._lines[self._at : self._at + 3]
        if len(here) < 2 or not here[0].startswith("--- ") or not here[1].startswith("+++ "):
            return False
        if len(here) > 2 and here[2].startswith("@@"):
            return True
        old, new = here[0][4:].strip(), here[1][4:].strip()
        return old.removeprefix("a/") == new.removeprefix("b/") or _is_nowhere(old) or _is_nowhere(new)


def _is_nowhere(name: str) -> bool:
    return name.split(maxsplit=1)[:1] == [NOWHERE]


def _ops(line: str) -> list[Op]:
    """A line of a hunk. A carriage return inside it ends a line of the file too."""
    mark = line[:1] if line[:1] in (" ", "+", "-") else ""
    texts = [part.rstrip("\r\n") for part in split_lines(line[len(mark) :])] or [""]
    return [Op(mark or " ", text, marked=bool(mark)) for text in texts]
