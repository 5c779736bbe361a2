"""Owns where the old lines of one hunk stand in a file, by rules that grow less strict and never by likeness.

In order: the lines as they are; without blanks at their ends; with one prefix of indent more or less; with the same
words where context differs in indent and blank lines only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent_lsp.domain.matching import Shift, indent_shift
from agent_lsp.domain.patch_reading import Op, Section

Ops = tuple[Op, ...]
_Pairs = list[tuple[Op, int | None]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A hunk and the line of the file (zero-based) of each of its old lines; `shift` gives added lines its indent."""

    ops: Ops
    rows: tuple[int, ...]
    shift: Shift

    @property
    def start(self) -> int:
        """The first old line."""
        return self.rows[0]

    @property
    def end(self) -> int:
        """The line after the last old line."""
        return self.rows[-1] + 1


def old_lines(ops: Sequence[Op]) -> list[str]:
    """The lines that a hunk says are in the file."""
    return [op.text for op in ops if op.mark != "+"]


def no_effect(ops: Sequence[Op]) -> bool:
    """Whether a hunk leaves the text as it is."""
    old, new = ([(op.text, op.open_end) for op in ops if op.mark != mark] for mark in ("+", "-"))
    return old == new


def places_of(lines: Sequence[str], section: Section) -> tuple[Placed, ...]:
    """All places of the strictest rule that gives any."""
    readings = [ops for ops in _readings(section.ops) if any(line.strip() for line in old_lines(ops))]
    if not readings:
        return ()
    for exact in (True, False):
        keyed = lines if exact else [line.rstrip(" \t") for line in lines]
        for ops in readings:
            wanted = old_lines(ops)
            starts = where_same(keyed, wanted if exact else [line.rstrip(" \t") for line in wanted])
            if starts:
                return tuple(Placed(ops, tuple(range(at, at + len(wanted))), as_is) for at in starts)
    for ops in readings:
        moved = tuple(_indented(lines, ops))
        if moved:
            return moved
    return tuple(_by_words(lines, without_outer_blanks(section.ops)))


def _readings(ops: Ops) -> Iterator[Ops]:
    """What the hunk may mean, most literal first: blank lines around it may not belong to it, and its context may
    lack the marker, so that the first blank is already text."""
    yield ops
    inner = without_outer_blanks(ops)
    if inner != ops:
        yield inner
    if any(op.mark == " " and op.marked and op.text for op in inner):
        yield _unmarked(inner)


def without_outer_blanks(ops: Ops) -> Ops:
    """The hunk without blank lines at its ends that had no marker: they may belong to the text around the patch."""
    start, end = 0, len(ops)
    while start < end and not ops[start].marked and not ops[start].text.strip():
        start += 1
    while end > start and not ops[end - 1].marked and not ops[end - 1].text.strip():
        end -= 1
    return ops[start:end]


def as_is(line: str) -> str:
    """The shift that moves nothing."""
    return line


def where_same(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where `wanted` stands in `lines`."""
    starts: list[int] = []
    block, at, last = list(wanted), 0, len(lines) - len(wanted) + 1
    while at < last:
        try:
            at = lines.index(block[0], at, last)
        except ValueError:
            break
        if list(lines[at : at + len(block)]) == block:
            starts.append(at)
        at += 1
    return starts


def _indented(lines: Sequence[str], ops: Ops) -> Iterator[Placed]:
    wanted = old_lines(ops)
    for start in where_same([line.strip() for line in lines], [line.strip() for line in wanted]):
        rows = range(start, start + len(wanted))
        shift = indent_shift(wanted, [lines[row] for row in rows])
        if shift is not None:
            yield Placed(ops, tuple(rows), shift)


def _unmarked(ops: Ops) -> Ops:
    """The hunk read as if its context had no marker."""
    return tuple(replace(op, text=" " + op.text) if op.mark == " " and op.marked else op for op in ops)


def _by_words(lines: Sequence[str], ops: Ops) -> Iterator[Placed]:
    """Places where every line has the same words: context may differ in indent and in blank lines between.

    Removed lines must stand together, and one shift of indent must serve them and the context next to added lines.
    """
    first = next((op.text.strip() for op in ops if op.mark != "+" and op.text.strip()), None)
    for start, line in enumerate(lines):
        if line.strip() == first:
            pairs = _walk(lines, ops, start)
            if pairs is not None:
                shift = _words_shift(lines, pairs)
                if shift is not None:
                    kept = tuple(op for op, row in pairs if op.mark == "+" or row is not None)
                    yield Placed(kept, tuple(row for _, row in pairs if row is not None), shift)


def _walk(lines: Sequence[str], ops: Ops, start: int) -> _Pairs | None:
    """Each line of the hunk with its line of the file; None for added lines and for blank context that is not there."""
    pairs: _Pairs = []
    at = start
    for op in ops:
        row: int | None = None
        if op.mark != "+":
            if op.text.strip() and not (pairs and pairs[-1][0].mark == "-" == op.mark):
                while at < len(lines) and not lines[at].strip() and pairs:
                    at += 1
            if at < len(lines) and lines[at].strip() == op.text.strip():
                row, at = at, at + 1
            elif op.mark == "-" or op.text.strip():
                return None
        pairs.append((op, row))
    return pairs


def _words_shift(lines: Sequence[str], pairs: _Pairs) -> Shift | None:
    """One shift for all lines that decide the indent of what is added."""
    telling = [(op, lines[row]) for op, row in _telling(pairs)]
    found = [line for _, line in telling]
    as_written = _unmarked(tuple(op for op, _ in telling))
    if all(op.text.rstrip() == line.rstrip() for op, line in zip(as_written, found, strict=True)):
        return as_is
    return indent_shift([op.text for op, _ in telling], found)


def _telling(pairs: _Pairs) -> Iterator[tuple[Op, int]]:
    """Removed lines, and the context just before and after added lines that replace none of them."""
    worded = [(index, op, row) for index, (op, row) in enumerate(pairs) if op.mark != "+" and op.text.strip()]
    yield from ((op, row) for _, op, row in worded if op.mark == "-" and row is not None)
    for index, (op, _) in enumerate(pairs):
        if op.mark == "+":
            before = [entry for entry in worded if entry[0] < index][-1:]
            after = [entry for entry in worded if entry[0] > index][:1]
            near = [(other, row) for _, other, row in (*before, *after) if row is not None]
            if all(other.mark == " " for other, _ in near):
                yield from near
