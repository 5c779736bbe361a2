"""Owns the open documents: the text an editor shows, kept as lines and changed by the size of the edit.

Stands in the place of pygls' workspace, whose text document counts form feeds and U+2028 as line ends, keeps the
text as one string, and is off by one past the end of a last line without a newline.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types

from agent_lsp.domain.text import split_lines
from agent_lsp.server.positions import Encoding, content_of, index_of, units_of
from agent_lsp.server.uris import path_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineChange:
    """Which lines an edit replaced: `[start, end)` of the old text became `lines_after` lines.

    Lines that the edit left as they were are not counted, even where its range ran over them.
    """

    start: int
    end: int
    lines_after: int

    @property
    def delta(self) -> int:
        """By how many lines everything below has moved."""
        return self.lines_after - (self.end - self.start)


def lines_of(text: str) -> list[str]:
    """Lines with their ends; the last one has none and may be empty, as LSP counts lines."""
    lines = split_lines(text)
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


class Document:
    """One open document. `uri` is the client's own spelling."""

    def __init__(self, uri: str, path: Path | None, version: int, text: str, encoding: Encoding) -> None:
        self.uri, self.path, self.version, self.encoding = uri, path, version, encoding
        self.lines = lines_of(text)
        self._text: str | None = text

    @property
    def text(self) -> str:
        """The whole text, joined again only after a change."""
        if self._text is None:
            self._text = "".join(self.lines)
        return self._text

    def apply(self, change: types.TextDocumentContentChangeEvent) -> LineChange:
        """Applies one content change. Positions beyond a line or the file mean its end."""
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return self._replace(0, len(self.lines), lines_of(change.text))
        start_line, start_index = self._clamp(change.range.start)
        end_line, end_index = self._clamp(change.range.end)
        if (end_line, end_index) < (start_line, start_index):
            (start_line, start_index), (end_line, end_index) = (end_line, end_index), (start_line, start_index)
        text = self.lines[start_line][:start_index] + change.text + self.lines[end_line][end_index:]
        if start_line > 0 and text.startswith("\n") and self.lines[start_line - 1].endswith("\r"):
            start_line -= 1
            text = self.lines[start_line] + text
        fresh = split_lines(text)
        if end_line == len(self.lines) - 1 and (not fresh or fresh[-1].endswith(("\n", "\r"))):
            fresh.append("")
        return self._replace(start_line, end_line + 1, fresh)

    def position(self, line: int, index: int) -> types.Position:
        """The client's position of a character index, clamped to the text."""
        if line >= len(self.lines):
            line, index = len(self.lines) - 1, len(self.lines[-1])
        return types.Position(line=line, character=units_of(content_of(self.lines[line])[:index], self.encoding))

    def line_range(self, start: int, end: int) -> types.Range:
        """The range of whole lines `[start, end)`; for the last lines of the file it ends with the text."""
        return types.Range(start=self.position(start, 0), end=self.position(end, 0))

    def _clamp(self, position: types.Position) -> tuple[int, int]:
        if position.line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        return position.line, index_of(self.lines[position.line], position.character, self.encoding)

    def _replace(self, start: int, end: int, fresh: Sequence[str]) -> LineChange:
        old = self.lines[start:end]
        self.lines[start:end] = fresh
        self._text = None
        head = 0
        while head < min(len(old), len(fresh)) and old[head] == fresh[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(fresh)) - head and old[-1 - tail] == fresh[-1 - tail]:
            tail += 1
        return LineChange(start + head, end - tail, len(fresh) - head - tail)


class Documents:
    """Every open document, found by URI in any spelling or by path."""

    def __init__(self, encoding: Encoding, home: Callable[[Path], Path] = lambda path: path) -> None:
        self.encoding, self._home = encoding, home
        self._documents: dict[str, Document] = {}

    def open(self, uri: str, version: int, text: str) -> Document:
        """A document that was opened; one that is open already is replaced."""
        path = path_of(uri)
        document = Document(uri, None if path is None else self._home(path), version, text, self.encoding)
        self._documents[self._key(uri)] = document
        return document

    def change(self, params: types.DidChangeTextDocumentParams) -> tuple[Document, list[LineChange]] | None:
        """The changed document with what changed in it; None if it is not open."""
        document = self.get(params.text_document.uri)
        if document is None:
            logger.warning("a change of a document that is not open: %s", params.text_document.uri)
            return None
        changes = [document.apply(change) for change in params.content_changes]
        document.version = params.text_document.version
        return document, changes

    def close(self, uri: str) -> Document | None:
        """The document that was closed, if it was open."""
        return self._documents.pop(self._key(uri), None)

    def get(self, uri: str) -> Document | None:
        """The open document of this URI."""
        return self._documents.get(self._key(uri))

    def at(self, path: Path) -> Document | None:
        """The open document of this absolute path."""
        return self._documents.get(str(path))

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._documents.values()))

    def _key(self, uri: str) -> str:
        path = path_of(uri)
        return uri if path is None else str(self._home(path))
