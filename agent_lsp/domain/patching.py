"""Owns how a patch that a model wrote becomes new texts of files: all of them or none."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.matching import Shift, ending_at, with_ending, without_ending
from agent_lsp.domain.patch_finding import Placed, no_effect
from agent_lsp.domain.patch_placing import fits, place_all
from agent_lsp.domain.patch_reading import NOWHERE, FilePatch, Op, Section, endings_are_deliberate, read_patch
from agent_lsp.domain.policy import inside_root
from agent_lsp.domain.text import split_lines

Read = Callable[[str], str | None]

_STAMP = re.compile(r"\s+(?:\d{4}-\d\d-\d\d|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z][a-z] |\(revision |\(working )")
_PREFIXES: Final = (("a/", "b/"), ("i/", "w/"), ("c/", "w/"), ("c/", "i/"), ("o/", "w/"), ("1/", "2/"))
_ESCAPE = re.compile(r'\\([0-7]{3}|[\\"nt])')


def apply_patch(patch: str, read: Read) -> dict[str, str | None]:
    """New texts by path; None is a deleted file, a rename is the old path with None and the new one with text.

    `read` gives a file's present text, or None where there is none; paths are clean, POSIX and inside the root.
    Two names of one file that differ (`--- before.c`, `+++ after.c`) mean a rename only where the patch says so;
    else the one that exists is changed. Raises ToolError, with nothing done, for anything that does not fit.
    """
    texts: dict[str, str | None] = {}

    def current(path: str) -> str | None:
        return texts[path] if path in texts else read(path)

    ending = "\r\n" if endings_are_deliberate(patch) else "\n"
    for file in read_patch(patch):
        texts.update(_file(file, current, ending))
    changed = {path: text for path, text in texts.items() if text != read(path)}
    if not changed:
        raise ToolError("The patch changes nothing: its new lines are the lines that are there.")
    return changed


# --- one file ----------------------------------------------------------------------------------------------


def _file(file: FilePatch, read: Read, ending: str) -> dict[str, str | None]:
    source, target = _paths(file, read)
    if file.created and not file.deleted:
        return {target: _created(file, target, read(target), ending)}
    text = read(source)
    if text is None:
        raise ToolError(f"{source} does not exist. To make a new file, patch it from {NOWHERE} or use write_file.")
    if file.deleted:
        _check_deletion(file, source, text)
        return {source: None}
    if not file.sections and source == target:
        raise ToolError(f"The patch names {source} but holds no changed lines for it.")
    new_text = _patched(text, file.sections, source)
    if source == target:
        return {source: new_text}
    if read(target) is not None:
        raise ToolError(f"{source} cannot be renamed to {target}: that file exists.")
    return {source: None, target: new_text}


def _created(file: FilePatch, path: str, present: str | None, ending: str) -> str:
    if present:
        raise ToolError(f"{path} exists already; patch its present lines, or overwrite it with write_file.")
    ops = [op for section in file.sections for op in section.ops]
    while ops and not ops[-1].marked and not ops[-1].text:
        ops.pop()
    wrong = next((op for op in ops if op.mark != "+" and op.text.strip()), None)
    if wrong is not None:
        raise ToolError(f"{path} is new, so each of its lines must start with `+`; this one does not: {wrong.text!r}")
    text = "".join(op.text + ending for op in ops)
    return text.removesuffix(ending) if ops and ops[-1].open_end else text


def _check_deletion(file: FilePatch, path: str, text: str) -> None:
    """A deletion that shows the file's lines must show them all."""
    if file.sections and _patched(text, file.sections, path).strip():
        raise ToolError(
            f"The patch deletes {path} but removes only some of its lines; use delete_file, or show them all."
        )


# --- names ---------------------------------------------------------------------------------------------------


def _paths(file: FilePatch, read: Read) -> tuple[str, str]:
    """Where the file is and where it will be, clean and inside the root."""
    old, new = _name(file.old), _name(file.new)
    old, new = old or new, new or old
    if old is None or new is None:
        raise ToolError("The patch does not say which file it changes; add `--- a/PATH` and `+++ b/PATH` lines.")
    if NOWHERE in (old, new):
        side = 1 if old == NOWHERE else 0
        name = (old, new)[side]
        forms = [name] if file.literal else [name.removeprefix(("a/", "b/")[side]), name]
        path = inside_root(forms[0]) if file.created and not file.deleted else _existing(forms, read)
        return path, path
    if file.renamed:
        return _existing(_forms(old, new, 0), read), inside_root(_forms(old, new, 1)[0])
    if file.created and not file.deleted:
        target = inside_root(_forms(old, new, 1)[0])
        return target, target
    forms = [*_forms(old, new, 0), *_forms(old, new, 1)]
    present = list(dict.fromkeys(path for path in map(inside_root, forms) if read(path) is not None))
    if len(present) > 1 and inside_root(forms[0]) != inside_root(_forms(old, new, 1)[0]):
        raise ToolError(
            f"The patch names two files that exist ({', '.join(present)}); name the one it changes in both."
        )
    path = present[0] if present else inside_root(forms[0])
    return path, path


def _existing(forms: Sequence[str], read: Read) -> str:
    paths = [inside_root(form) for form in forms]
    return next((path for path in paths if read(path) is not None), paths[0])


def _name(raw: str | None) -> str | None:
    """A name as written in a header, without time stamp and quotes."""
    if raw is None:
        return None
    name = raw.split("\t")[0].strip()
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        return _unquoted(name[1:-1])
    stamp = _STAMP.search(name)
    return name[: stamp.start()] if stamp and stamp.start() else name


def _unquoted(name: str) -> str:
    """git's C quoting: octal bytes of UTF-8, and a few letters."""
    letters = {"n": b"\n", "t": b"\t", '"': b'"', "\\": b"\\"}
    parts, at = [], 0
    for found in _ESCAPE.finditer(name):
        code = found.group(1)
        parts += [name[at : found.start()].encode(), letters[code] if code in letters else bytes([int(code, 8) & 255])]
        at = found.end()
    return b"".join([*parts, name[at:].encode()]).decode("utf-8", "replace")


def _forms(old: str, new: str, side: int) -> list[str]:
    """What one side's name may mean, likeliest first: git's prefixes are taken away where both sides have them."""
    name = (old, new)[side]
    paired = any(old.startswith(a) and new.startswith(b) for a, b in _PREFIXES)
    alone = old == new and name.startswith(("a/", "b/"))
    stripped = name[2:] if paired or alone or name.startswith(("a/", "b/")) else name
    forms = [stripped, name] if paired else [name, stripped]
    if " " in name:
        forms.append(forms[0].split(" ")[0])
    return forms


# --- text -----------------------------------------------------------------------------------------------------


_LAST: Final = Op(" ", "")
"""Ends the last run of changed lines."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `[start, end)` of the file become `new`; `old` are those lines as the patch wrote them."""

    start: int
    end: int
    old: tuple[str, ...]
    new: tuple[Op, ...]
    shift: Shift
    closes: bool


def _patched(text: str, sections: Sequence[Section], path: str) -> str:
    """All hunks against the text as it is; those that show what others made, against what the others made of it."""
    useful = [section for section in sections if section.ops]
    if useful and not any(op.mark != " " for section in useful for op in section.ops):
        raise ToolError(f"The patch has no added or removed lines for {path}; start them with `+` and `-`.")
    lines = split_lines(text)
    bare = [without_ending(line) for line in lines]
    late = [section for section in useful if not fits(bare, section)]
    if not late or len(late) == len(useful):
        return _applied(text, useful, path)
    new_text = _applied(text, [section for section in useful if section not in late], path)
    try:
        for section in late:
            new_text = _applied(new_text, [section], path)
    except ToolError:
        place_all(lines, late, path)
        raise
    return new_text


def _applied(text: str, sections: Sequence[Section], path: str) -> str:
    lines = split_lines(text)
    placed = place_all(lines, sections, path)
    changes = sorted(
        (change for place in placed if not no_effect(place.ops) for change in _changes(place)),
        key=lambda change: (change.start, change.end),
    )
    for one, two in pairwise(changes):
        if two.start < one.end or (one.start, one.end) == (two.start, two.end):
            raise ToolError(
                f"Two hunks change line {two.start + 1} of {path}; join them into one. No file was changed."
            )
    out, at = [], 0
    for change in changes:
        out += lines[at : change.start]
        out += _new_lines(text, lines, change)
        at = change.end
    out += lines[at:]
    return _joined(out, text, changes, len(lines))


def _changes(place: Placed) -> Iterator[_Change]:
    """The runs of removed and added lines of a placed hunk."""
    at = place.start
    rows = iter(place.rows)
    removed: list[tuple[int, str]] = []
    added: list[Op] = []
    closes = False
    for op in (*place.ops, _LAST):
        if op.mark == "+":
            added.append(op)
        elif op.mark == "-":
            removed.append((next(rows), op.text))
            at = removed[-1][0] + 1
            closes = closes or op.open_end
        else:
            if removed or added:
                start = removed[0][0] if removed else at
                yield _Change(start, at, tuple(text for _, text in removed), tuple(added), place.shift, closes)
            removed, added, closes = [], [], False
            at = next(rows, at) + 1


def _new_lines(text: str, lines: Sequence[str], change: _Change) -> list[str]:
    """What is written: lines that are removed and added alike stay the file's own, byte for byte."""
    offset = sum(map(len, lines[: change.start]))
    span = sum(map(len, lines[change.start : change.end]))
    ending = ending_at(text, offset, offset + span)
    written = [op.text for op in change.new]
    out: list[str] = []
    matcher = difflib.SequenceMatcher(None, change.old, written, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            out += lines[change.start + i1 : change.start + i2]
        else:
            out += [with_ending(_moved(line, change.shift) + "\n", ending) for line in written[j1:j2]]
    return out


def _moved(line: str, shift: Shift) -> str:
    moved = shift(line)
    if moved is None:
        raise ToolError(f"The context fits only with less indent, but an added line has too little: {line!r}.")
    return moved


def _joined(out: list[str], text: str, changes: Sequence[_Change], count: int) -> str:
    """The lines as a text. All but the last are ended; a new last line is, if the old one was or the patch says so."""
    if not out:
        return ""
    ending = ending_at(text, 0, len(text))
    *head, tail = [line if line != without_ending(line) else line + ending for line in out]
    last = changes[-1] if changes and changes[-1].end == count else None
    ended = text != without_ending(text) or not text
    if last is None or not last.new:
        ended = out[-1] != without_ending(out[-1])
    elif last.new[-1].open_end:
        ended = False
    elif last.closes:
        ended = True
    return "".join(head) + (tail if ended else without_ending(tail))
