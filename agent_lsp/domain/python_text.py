"""Owns Python text and its syntax tree together: where nodes lie, and the same bytes with one edit."""

import ast
import re
import tokenize
import warnings
from bisect import bisect_right
from dataclasses import dataclass

from agent_lsp.domain.text import split_lines

_COMMENT = re.compile(r"#[^\r\n]*")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class ParsedText:
    """Text that was parsed. Offsets count characters of `text`; lines are one-based, as the tracer reports them."""

    text: str
    tree: ast.Module
    lines: tuple[str, ...]
    starts: tuple[int, ...]

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node's own text begins and ends, without parentheses around it."""
        at: ast.expr = node  # type: ignore[assignment]
        assert at.end_lineno is not None
        assert at.end_col_offset is not None
        return self._offset(at.lineno, at.col_offset), self._offset(at.end_lineno, at.end_col_offset)

    def segment(self, node: ast.AST) -> str:
        """A node's own text."""
        start, end = self.span(node)
        return self.text[start:end]

    def between(self, left: ast.AST, right: ast.AST, pattern: str) -> tuple[int, int] | None:
        """Where an operator lies between two operands; comments and parentheses are skipped."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = _COMMENT.sub(lambda found: " " * len(found[0]), self.text[start:end])
        found = re.search(pattern, gap)
        return None if found is None else (start + found.start(), start + found.end())

    def line_of(self, offset: int) -> int:
        """The line that an offset lies in."""
        return max(1, bisect_right(self.starts, offset))

    def _offset(self, line: int, column: int) -> int:
        """The tree counts columns in bytes of UTF-8."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        width = column
        if not text.isascii():
            width = len(text.encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))
        return self.starts[line - 1] + width if line <= len(self.starts) else len(self.text)


@dataclass(frozen=True, slots=True)
class PythonText(ParsedText):
    """One parsed file with the encoding of its bytes."""

    encoding: str

    def edited(self, start: int, end: int, new: str) -> bytes | None:
        """The file's bytes with one edit; None where its encoding cannot hold them."""
        try:
            return (self.text[:start] + new + self.text[end:]).encode(self.encoding)
        except UnicodeEncodeError:
            return None


def python_text(content: bytes) -> PythonText | None:
    """The file; None where this Python cannot read it, or its bytes would not come back the same."""
    try:
        encoding, _ = tokenize.detect_encoding(iter(content.splitlines(keepends=True)).__next__)
        text = content.decode(encoding)
        tree = syntax(text)
    except (SyntaxError, ValueError, LookupError):
        return None
    if tree is None or text.encode(encoding) != content:
        return None
    return PythonText(text, tree, *lines_of(text), encoding)


def lines_of(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The lines of a text with their ends, and the offset at which each begins."""
    lines, starts, total = split_lines(text), [], 0
    for line in lines:
        starts.append(total)
        total += len(line)
    return tuple(lines), tuple(starts)


def syntax(text: str) -> ast.Module | None:
    """The syntax tree of a text that also compiles, or None."""
    tree = parsed(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if tree is not None:
                compile(tree, "<text>", "exec", dont_inherit=True)
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a text, or None. Doubtful literals in somebody's code are not our warnings to give."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def one_line(text: str, limit: int) -> str:
    """Text without its line ends and runs of blanks, cut at the limit."""
    flat = _BLANKS.sub(" ", text).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
