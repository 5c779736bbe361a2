"""Owns the open documents: the text an editor shows, kept as lines and changed by the size of the edit.

Stands in the place of pygls' workspace, whose text document counts form feeds and U+2028 as line ends, keeps the
text as one string, and is off by one past the end of a last line without a newline.

The client is the truth: its changes are followed whatever it says of versions, and what cannot be understood is
logged, never raised. A document that may have lost a change is not `in_step` until its whole text comes again.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.text import split_lines
from agent_lsp.server.positions import Encoding, content_of, index_of, units_of
from agent_lsp.server.uris import name_of, path_of

logger = logging.getLogger(__name__)

_KEPT_STRANGERS: Final = 100
"""Documents that are not open and whose changes were logged; each is logged once."""


class MalformedChangeError(Exception):
    """A content change that says nothing; the document is as it was."""


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
    """One open document. `uri` is the client's own spelling, `version` the client's own count.

    `revision` is ours: no two texts that were ever held have the same, whatever the client does with its versions.
    """

    def __init__(self, uri: str, path: Path | None, version: int, text: str, encoding: Encoding) -> None:
        self.uri, self.path, self.version, self.encoding = uri, path, version, encoding
        self.revision = 0
        self.in_step = True
        self.lines = lines_of(text)
        self._text: str | None = text
        self._told: set[str] = set()

    @property
    def text(self) -> str:
        """The whole text, joined again only after a change."""
        if self._text is None:
            self._text = "".join(self.lines)
        return self._text

    def apply(self, change: Mapping[str, Any]) -> LineChange:
        """Applies one content change as it came off the wire. Raises MalformedChangeError.

        Positions beyond a line or the file mean its end; a range that ends before it starts is taken the right way.
        """
        start, end, text = _parts_of(change)
        if start is None or end is None:
            self.in_step = True
            return self._replace(0, len(self.lines), lines_of(text))
        if end < start:
            start, end = end, start
        (start_line, start_index), (end_line, end_index) = self._clamp(start), self._clamp(end)
        head, tail = self.lines[start_line][:start_index], self.lines[end_line][end_index:]
        if not start_index and start_line and (text or tail)[:1] == "\n" and self.lines[start_line - 1][-1:] == "\r":
            start_line -= 1
            head, text = self.lines[start_line][:-1], "\r" + text
        if text[-1:] == "\r" and tail[:1] == "\n":
            text, tail = text + "\n", tail[1:]
        fresh = lines_of(text)
        fresh[0] = _joined(head, fresh[0])
        fresh[-1] = _joined(fresh[-1], tail)
        if not fresh[-1] and end_line < len(self.lines) - 1:
            fresh.pop()
        return self._replace(start_line, end_line + 1, fresh)

    def follow(self, version: object) -> None:
        """Takes the version that came with a change; what is odd about it is logged once."""
        if not isinstance(version, int) or isinstance(version, bool):
            self._tell_once(logging.WARNING, "came without a version, which is counted on")
            self.version += 1
            return
        if version <= self.version:
            self._tell_once(logging.WARNING, "went back in its versions, or repeated one; the text is followed")
        elif version > self.version + 1:
            self._tell_once(logging.INFO, "leaves gaps in its versions, which it may")
        self.version = version

    def position(self, line: int, index: int) -> types.Position:
        """The client's position of a character index, clamped to the text."""
        if line >= len(self.lines):
            line, index = len(self.lines) - 1, len(self.lines[-1])
        return types.Position(line=line, character=units_of(content_of(self.lines[line])[:index], self.encoding))

    def line_range(self, start: int, end: int) -> types.Range:
        """The range of whole lines `[start, end)`; for the last lines of the file it ends with the text."""
        return types.Range(start=self.position(start, 0), end=self.position(end, 0))

    def _clamp(self, place: tuple[int, int]) -> tuple[int, int]:
        line, character = place
        if line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        return line, index_of(self.lines[line], character, self.encoding)

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

    def _tell_once(self, level: int, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.log(level, "a change of %s %s (this is said once)", self.uri, what)


class Documents:
    """Every open document: by the client's spelling of its URI, by any other spelling, by path.

    An editor may hold one file twice, through a symlink and without: two documents, each with its own changes. What
    counts as the text of that file is the one that was touched last.
    """

    def __init__(self, encoding: Encoding, home: Callable[[Path], Path] = lambda path: path) -> None:
        self.encoding, self._home = encoding, home
        self._revisions = itertools.count(1)
        self._spelled: dict[str, Document] = {}
        self._named: dict[str, Document] = {}
        self._at: dict[Path, list[Document]] = {}
        self._strangers: set[str] = set()

    def open(self, uri: str, version: int, text: str) -> Document:
        """A document that was opened; one that is open already is replaced."""
        if self.close(uri) is not None:
            logger.warning("%s was opened a second time; what came last counts", uri)
        document = Document(uri, self._path(uri), version, text, self.encoding)
        document.revision = next(self._revisions)
        self._spelled[uri] = self._named[name_of(uri)] = document
        if document.path is not None:
            self._at.setdefault(document.path, []).append(document)
        return document

    def change(self, params: Any) -> tuple[Document, list[LineChange]] | None:
        """Applies the params of a `didChange` as they came off the wire: the document and what changed in it.

        None if they name no open document.
        """
        identifier = params.get("textDocument") if isinstance(params, dict) else None
        uri = identifier.get("uri") if isinstance(identifier, dict) else None
        document = self.get(uri) if isinstance(uri, str) else None
        if identifier is None or document is None:
            self._log_stranger(uri)
            return None
        changes = self._apply_all(document, params.get("contentChanges"))
        document.follow(identifier.get("version"))
        document.revision = next(self._revisions)
        self._put_last(document)
        return document, changes

    def close(self, uri: str) -> Document | None:
        """The document that was closed, if it was open."""
        document = self._named.pop(name_of(uri), None)
        if document is not None:
            del self._spelled[document.uri]
            self._leave(document)
        return document

    def get(self, uri: str) -> Document | None:
        """The open document of this URI, in whatever spelling."""
        return self._spelled.get(uri) or self._named.get(name_of(uri))

    def at(self, path: Path) -> Document | None:
        """The open document of this absolute path; of several the one that was touched last."""
        held = self._at.get(path)
        return held[-1] if held else None

    def find_homes(self) -> None:
        """Workspace folders came or went: a path through a symlink may belong to another folder now."""
        for document in self._named.values():
            self._leave(document)
            document.path = self._path(document.uri)
            if document.path is not None:
                self._at.setdefault(document.path, []).append(document)

    def __iter__(self) -> Iterator[Document]:
        """Every open file once; documents that are no files are left out."""
        return iter([held[-1] for held in self._at.values()])

    def _path(self, uri: str) -> Path | None:
        path = path_of(uri)
        return None if path is None else self._home(path)

    def _apply_all(self, document: Document, rows: Any) -> list[LineChange]:
        changes: list[LineChange] = []
        try:
            if not isinstance(rows, list):
                raise MalformedChangeError("contentChanges is no list")
            for row in rows:
                changes.append(document.apply(row))  # noqa: PERF401  # what came before a malformed one is kept
        except MalformedChangeError as error:
            document.in_step = False
            logger.warning("a change of %s is lost (%s); its text is not sure until it is opened again or sent whole",
                           document.uri, error)  # fmt: skip
        return changes

    def _put_last(self, document: Document) -> None:
        held = self._at.get(document.path) if document.path is not None else None
        if held is not None and held[-1] is not document:
            held.remove(document)
            held.append(document)

    def _leave(self, document: Document) -> None:
        if document.path is not None:
            held = self._at[document.path]
            held.remove(document)
            if not held:
                del self._at[document.path]

    def _log_stranger(self, uri: object) -> None:
        name = f"{uri:.300}" if isinstance(uri, str) else "nothing"
        if name not in self._strangers and len(self._strangers) < _KEPT_STRANGERS:
            self._strangers.add(name)
            logger.warning("a change of %s, which is not open, is ignored (this is said once)", name)


def _parts_of(change: Any) -> tuple[tuple[int, int] | None, tuple[int, int] | None, str]:
    """Start, end and text; no start and no end for a change of the whole document."""
    if not isinstance(change, dict) or not isinstance(text := change.get("text"), str):
        raise MalformedChangeError("a content change has no text")
    range_ = change.get("range")
    if range_ is None:
        return None, None, text
    if not isinstance(range_, dict):
        raise MalformedChangeError("a range is no object")
    return _place_of(range_.get("start")), _place_of(range_.get("end")), text


def _place_of(position: Any) -> tuple[int, int]:
    if isinstance(position, dict):
        line, character = position.get("line"), position.get("character")
        if type(line) is int and type(character) is int and line >= 0 and character >= 0:
            return line, character
    raise MalformedChangeError("a position is not two whole numbers from zero")


def _joined(left: str, right: str) -> str:
    """Both in one. Halves of a surrogate pair that meet are the character that they are for the client."""
    if "\ud800" <= left[-1:] <= "\udbff" and "\udc00" <= right[:1] <= "\udfff":
        pair = (left[-1] + right[0]).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        return left[:-1] + pair + right[1:]
    return left + right
