"""Owns the edits of open documents: the smallest text edits, versioned requests, and belief in the text alone.

Editors answer `applied: true` for edits that they refused (Neovim), false without a reason (VS Code), an error
(eglot), or nothing; what counts is the text that comes back with `didChange`, up to 150 ms after the answer.
"""

import asyncio
import contextlib
import difflib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import BadArgumentError
from agent_lsp.server.desk import Desk
from agent_lsp.server.documents import Document, LineChange, lines_of
from agent_lsp.server.protocol import EditorRefusedError
from agent_lsp.server.session import Session

logger = logging.getLogger(__name__)

_TEXT_S: Final = 2.0
"""How long the text may take to show the edit after the editor said that it applied it."""

_REFUSED_TEXT_S: Final = 0.4
"""The same after it said that it did not, or answered wrongly."""

_DIFF_LIMIT: Final = 250_000
"""Lines of one side times lines of the other above which changed lines go as one edit, to keep the loop free."""


STATE_PREFIX: Final = ".agent-lsp/"

_NOT_WANTED: Final = "its text is not the wanted one afterwards"

_NO_EDITS: Final = (
    "the editor does not take edits from a server (workspace/applyEdit). Save and close the file, then accept again: "
    "what is not open is written on disk"
)


class EditorHand:
    """Lets runtimes read and edit what the editor holds; the edge's side of the link."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, tuple[str, asyncio.Event]] = {}
        session.listeners.on_text(self._on_text)

    async def buffers(self, desk: Desk, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every open document under the root; the text is left out where the runtime has this very revision of it.

        Versions are the editor's own and prove nothing: one may be repeated, or begin anew when a document is reopened.
        """
        known = args.get("known")
        revisions = known if isinstance(known, Mapping) else {}
        rows = []
        for path, document in self._session.documents_of(desk):
            if path.startswith(STATE_PREFIX):
                continue  # drafts of ours are no part of the person's work
            row: dict[str, Any] = {"path": path, "version": document.version, "revision": document.revision}
            if revisions.get(path) != document.revision:
                row["text"] = document.text
            rows.append(row)
        return {"buffers": rows}

    async def edit(self, desk: Desk, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """One versioned `workspace/applyEdit` for one document, then what the document holds."""
        path, new_text = args.get("path"), args.get("newText")
        if not isinstance(path, str) or not isinstance(new_text, str):
            raise BadArgumentError("`path` and `newText` must be texts.")
        async with self._locks.setdefault(str(desk.path(path)), asyncio.Lock()):
            document = self._session.document(desk, path)
            if document is None:
                return {"applied": False, "version": None, "text": None, "reason": f"{path} is not open in the editor"}
            reason = self._moved(document, args)
            if reason is None and document.text != new_text:
                reason = await self._apply([(document, new_text)], str(args.get("label") or "agent-lsp"))
            held = self._session.document(desk, path)
        return _outcome(held, reason)

    async def edit_together(self, desk: Desk, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Several documents in one `workspace/applyEdit`, which is one undo; no outcomes where that is not so."""
        edits = args.get("edits")
        if not isinstance(edits, list) or not all(_is_edit(row) for row in edits):
            raise BadArgumentError("`edits` must be a list of objects with `path` and `newText`.")
        if not self._session.traits.transactional:
            return {"outcomes": None}
        async with contextlib.AsyncExitStack() as stack:
            for path in sorted({row["path"] for row in edits}):
                await stack.enter_async_context(self._locks.setdefault(str(desk.path(path)), asyncio.Lock()))
            documents = [self._session.document(desk, row["path"]) for row in edits]
            reasons = [
                f"{row['path']} is not open in the editor" if document is None else self._moved(document, row)
                for row, document in zip(edits, documents, strict=True)
            ]
            if not any(reasons):
                pairs = [(doc, row["newText"]) for doc, row in zip(documents, edits, strict=True) if doc is not None]
                reason = await self._apply(pairs, str(edits[0].get("label") or "agent-lsp"))
                reasons = [None if doc.text == text else reason or _NOT_WANTED for doc, text in pairs]
            held = [self._session.document(desk, row["path"]) for row in edits]
        return {"outcomes": [_outcome(document, reason) for document, reason in zip(held, reasons, strict=True)]}

    def _moved(self, document: Document, args: Mapping[str, Any]) -> str | None:
        if not self._session.traits.apply_edit:
            return _NO_EDITS
        if not document.in_step:
            return "the editor sent a change that could not be understood; close the document and open it again"
        version, old_text = args.get("version"), args.get("oldText")
        if isinstance(version, int) and version != document.version:
            return f"the document is at version {document.version}, the edit was made for version {version}"
        if isinstance(old_text, str) and old_text != document.text:
            return "the document's text is not the text that the edit was made for"
        return None

    async def _apply(self, wanted: Sequence[tuple[Document, str]], label: str) -> str | None:
        """None when the text of every document became the wanted one; else what was seen."""
        edit = self._workspace_edit([(document, minimal_edits(document, text)) for document, text in wanted])
        before = [document.version for document, _ in wanted]
        seen = [asyncio.Event() for _ in wanted]
        self._waiting |= {doc.uri: (text, event) for (doc, text), event in zip(wanted, seen, strict=True)}
        params = types.ApplyWorkspaceEditParams(label=label, edit=edit)
        asking = self._session.client.in_background(self._ask(params))
        waiting = asyncio.ensure_future(asyncio.gather(*(event.wait() for event in seen)))
        try:
            await asyncio.wait([asking, waiting], return_when=asyncio.FIRST_COMPLETED)
            if all(event.is_set() for event in seen):
                return None
            refused: str | None = asking.result()
            await asyncio.wait([waiting], timeout=_TEXT_S if refused is None else _REFUSED_TEXT_S)
            if all(event.is_set() for event in seen):
                return None
            late = next(number for number, event in enumerate(seen) if not event.is_set())
            return _what_was_seen(wanted[late][0], before[late], refused)
        finally:
            waiting.cancel()
            for document, _ in wanted:
                del self._waiting[document.uri]

    async def _ask(self, params: types.ApplyWorkspaceEditParams) -> str | None:
        """What the editor said against the edit; None when it said that it applied it."""
        try:
            answer = await self._session.client.ask(types.WORKSPACE_APPLY_EDIT, params)
        except TimeoutError:
            return "the editor did not answer workspace/applyEdit"
        except EditorRefusedError as error:
            return f"the editor answered with an error: {error.message}"
        if isinstance(answer, Mapping) and answer.get("applied") is True:
            return None
        why = answer.get("failureReason") if isinstance(answer, Mapping) else None
        return f"the editor did not apply the edit{f': {why}' if isinstance(why, str) and why else ''}"

    def _workspace_edit(self, edits: Sequence[tuple[Document, Sequence[types.TextEdit]]]) -> types.WorkspaceEdit:
        if not self._session.traits.takes_document_changes:
            return types.WorkspaceEdit(changes={document.uri: list(rows) for document, rows in edits})
        return types.WorkspaceEdit(document_changes=[_versioned(document, rows) for document, rows in edits])

    def _on_text(self, _desk: Desk, document: Document, _changes: Sequence[LineChange]) -> None:
        waiting = self._waiting.get(document.uri)
        if waiting is not None and document.text == waiting[0]:
            waiting[1].set()


def _is_edit(row: Any) -> bool:
    return isinstance(row, Mapping) and isinstance(row.get("path"), str) and isinstance(row.get("newText"), str)


def _outcome(held: Document | None, reason: str | None) -> Mapping[str, Any]:
    return {
        "applied": reason is None,
        "version": held.version if held else None,
        "text": held.text if held else None,
        "reason": reason or "",
    }


def _versioned(document: Document, edits: Sequence[types.TextEdit]) -> types.TextDocumentEdit:
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.TextDocumentEdit(text_document=identifier, edits=list(edits))


def _what_was_seen(document: Document, before: int, refused: str | None) -> str:
    if document.version == before:
        return refused or "the editor said that it applied the edit, but the text did not change"
    return f"{refused or 'the editor said that it applied the edit'}, and the document now holds another text"


def minimal_edits(document: Document, new_text: str) -> list[types.TextEdit]:
    """The changes from the document's text to `new_text`, as small as they can be, so that cursors stay."""
    old, new = document.lines, lines_of(new_text)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_part, new_part = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(old_part) * len(new_part) > _DIFF_LIMIT:
        spans = [(0, len(old_part), 0, len(new_part))]
    else:
        matcher = difflib.SequenceMatcher(None, old_part, new_part, autojunk=False)
        spans = [span for tag, *span in matcher.get_opcodes() if tag != "equal"]  # type: ignore[misc]
    return [
        _text_edit(document, head + i1, "".join(old_part[i1:i2]), "".join(new_part[j1:j2])) for i1, i2, j1, j2 in spans
    ]


def _text_edit(document: Document, line: int, old: str, new: str) -> types.TextEdit:
    """One edit that replaces `old`, which begins at `line`, without what both texts begin and end with."""
    limit = min(len(old), len(new))
    head = 0
    while head < limit and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < limit - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    head -= _splits_line_end(old, head) or _splits_line_end(new, head)
    tail -= _splits_line_end(old, len(old) - tail) or _splits_line_end(new, len(new) - tail)
    stop = len(old) - tail
    return types.TextEdit(
        range=types.Range(start=_place(document, line, old[:head]), end=_place(document, line, old[:stop])),
        new_text=new[head : len(new) - tail],
    )


def _splits_line_end(text: str, index: int) -> bool:
    return text[max(index - 1, 0) : index + 1] == "\r\n"


def _place(document: Document, line: int, before: str) -> types.Position:
    """The position after `before`, which begins at the start of `line`."""
    passed = lines_of(before)
    return document.position(line + len(passed) - 1, len(passed[-1]))
