"""Owns the small edit: a piece of text that a template would replace, and the order in which edits are tried."""

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent_lsp.agent.repair.pieces import NO_PIECES, Pieces
from agent_lsp.agent.repair.source import Site, Source, sites
from agent_lsp.domain.python_text import parsed


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Characters `[start, end)` of the file become `text`. `prior` in (0, 1]: how often such a slip is the bug."""

    start: int
    end: int
    text: str
    prior: float


Template = Callable[[Site], Iterable[Rewrite]]
"""One family of slips: all the ways in which the code at a site may have been meant otherwise."""


@dataclass(frozen=True, slots=True)
class SmallEdit:
    """One edit to try. `line` is one-based; `score` is suspicion times prior.

    `also` is its other half, in another file.
    """

    path: str
    start: int
    end: int
    text: str
    line: int
    template: str
    score: float
    also: "SmallEdit | None" = None

    @property
    def parts(self) -> tuple["SmallEdit", ...]:
        """What is edited in each file."""
        return (self,) if self.also is None else (self, *self.also.parts)

    def size(self, texts: Mapping[str, str]) -> int:
        """How many characters differ, taken from what both texts begin and end with."""
        total = 0
        for part in self.parts:
            old = texts[part.path][part.start : part.end]
            total += max(len(old), len(part.text)) - sum(alike(old, part.text))
        return total

    def told(self, texts: Mapping[str, str]) -> str:
        """What a person is told: each touched line before and after, and the kind of slip."""
        said = []
        for part in self.parts:
            old, new = part.shown(texts[part.path])
            said.append(f"{part.path}, line {part.line}: `{old}` became `{new}`")
        return f"{' and '.join(said)} ({self.template})"

    def apply(self, text: str) -> str:
        """The file's text with the edit in it."""
        return text[: self.start] + self.text + text[self.end :]

    def shown(self, text: str) -> tuple[str, str]:
        """The touched lines before and after, without indentation: what a person is told."""
        first = _line_start(text, self.start)
        after = self.apply(text)
        old = text[first : _line_end(text, self.end)]
        new = after[first : _line_end(after, self.start + len(self.text))]
        return _squeezed(old), _squeezed(new)


def edits_of(
    source: Source, suspicion: Mapping[int, float], templates: Mapping[str, Template], pieces: Pieces = NO_PIECES
) -> Sequence[SmallEdit]:
    """All edits of the statements on suspicious lines, in the order of the file.

    An edit weighs what its own line does where that is more than the statement that it was found for.
    """
    found = []
    for site, (first, last) in sites(source, pieces):
        weight = max((suspicion.get(line, 0.0) for line in range(first, last + 1)), default=0.0)
        if not (weight or suspicion.keys() & range(first, (site.node.end_lineno or last) + 1)):
            continue
        for name, template in templates.items():
            for rewrite in template(site):
                line = source.line_of(rewrite.start)
                score = max(weight, suspicion.get(line, 0.0)) * rewrite.prior
                if score > 0.0:
                    found.append(SmallEdit(source.path, rewrite.start, rewrite.end, rewrite.text, line, name, score))
    return found


def in_order(edits: Iterable[SmallEdit]) -> list[SmallEdit]:
    """The likeliest first; equals in an order that never changes."""
    return sorted(edits, key=lambda e: (-round(e.score, 9), e.path, e.start, e.end, e.template, e.text))


def distinct(edits: Sequence[SmallEdit], texts: Mapping[str, str], seen: set[str]) -> Iterator[SmallEdit]:
    """Leaves out what does not parse, changes nothing, or gives a tree that was `seen` before; adds to `seen`."""
    for path in dict.fromkeys(edit.path for edit in edits):
        seen.add(fingerprint(path, texts[path]) or "")
    for edit in edits:
        mark = fingerprint(edit.path, edit.apply(texts[edit.path]))
        if mark is not None and mark not in seen:
            seen.add(mark)
            yield edit


def alike(before: str, after: str) -> tuple[int, int]:
    """How many characters two texts have in common at their begin, and of the rest at their end."""
    start, limit = 0, min(len(before), len(after))
    while start < limit and before[start] == after[start]:
        start += 1
    end = 0
    while end < limit - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def fingerprint(path: str, text: str) -> str | None:
    """What two texts of a file share when they mean the same to Python; None if it is not Python."""
    tree = parsed(text)
    if tree is None:
        return None
    return hashlib.sha256(f"{path}\0{ast.dump(tree)}".encode("utf-8", "surrogatepass")).hexdigest()


def _line_start(text: str, offset: int) -> int:
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def _line_end(text: str, offset: int) -> int:
    ends = [place for place in (text.find("\n", offset), text.find("\r", offset)) if place >= 0]
    return min(ends, default=len(text))


def _squeezed(text: str) -> str:
    return " ".join(text.split())
