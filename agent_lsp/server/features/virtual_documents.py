"""Owns the documents that are not files: `agent-lsp:/proposal/<id>/<path>`, `/proposed/<id>/<path>`, `/plan/<run>.md`.

A plan also answers as `/plan/<run>/<name>.md`, for a client whose tabs show the name.

A client that knows `workspace/textDocumentContent` reads them from here; for others they are read-only files in a
private temporary directory that goes with the server.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError, UnknownIdError
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.proposed_text import proposed_text
from agent_lsp.server.protocol import EdgeServer, RequestError
from agent_lsp.server.public import verdict_title
from agent_lsp.server.session import Session
from agent_lsp.server.threads import in_thread
from agent_lsp.server.uris import uri_of

logger = logging.getLogger(__name__)

SCHEME: Final = "agent-lsp"
WHOLE: Final = "all.diff"
"""The path of a proposal's whole diff."""

_KEPT_CHECKPOINTS: Final = 20

_LOG: Final = ".agent-lsp/copilot_console.log"
_INVALID_PARAMS: Final = -32602


class VirtualDocuments:
    """Serves the texts, and opens them in front of the person."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder: Path | None = None
        self._read: set[str] = set()
        self._plans_written: set[str] = set()
        self._writing = asyncio.Lock()
        self._checkpoints: dict[str, str] = {}
        session.listeners.on_event(self._on_event)

    async def offer(self) -> None:
        """Registers the scheme where the client can use it."""
        if self._session.traits.text_content:
            await register_capability(
                self._session, types.WORKSPACE_TEXT_DOCUMENT_CONTENT, {"schemes": [SCHEME], "id": SCHEME}
            )

    async def content(self, uri: str) -> str:
        """The text behind one of our URIs. Raises UnknownIdError."""
        kind, _, rest = unquote(uri.partition(":")[2]).lstrip("/").partition("/")
        if kind == "plan":
            text = self.plan_text(rest.partition("/")[0].removesuffix(".md"))
            self._read.add(uri)
            return text
        if kind == "proposal":
            proposal_id, _, path = rest.partition("/")
            _, card = self._session.folders.card_of(proposal_id)
            self._read.add(uri)
            return self.diff_text(card, None if path in ("", WHOLE) else path)
        if kind == "checkpoint" and uri in self._checkpoints:
            return self._checkpoints[uri]
        if kind == "proposed":
            proposal_id, _, path = rest.partition("/")
            desk, card = self._session.folders.card_of(proposal_id)
            self._read.add(uri)
            return await proposed_text(self._session, desk, card, path)
        raise UnknownIdError(f"There is no document {uri}.")

    def plan_text(self, run_id: str) -> str:
        """The plan of a run as Markdown. Raises UnknownIdError."""
        desk = self._session.folders.desk_of_run(run_id)
        plan = desk.board.plans.get(run_id)
        if plan is None:
            raise UnknownIdError(f"The run {self._session.folders.name_of(run_id)} has no plan yet.")
        return str(plan.get("markdown", ""))

    def diff_text(self, card: Card, path: str | None) -> str:
        """The diff of one file or of all, under its verdict and reasons. Raises UnknownIdError."""
        diff = str(card.data.get("diff", ""))
        if path is not None:
            diff = file_diff(diff, path)
            if not diff:
                raise UnknownIdError(f"The proposal {card.id} does not change {path}.")
        lines = [f"Proposal {card.id}: {card.data.get('summary', '')}", f"Verdict: {verdict_title(card)}"]
        lines += [f"  {reason}" for reason in card.verdict.get("reasons") or ()]
        return "\n".join(lines) + "\n\n" + diff

    async def show_proposal(self, card: Card, path: str | None) -> str:
        """Opens a diff; the URI that was opened."""
        text = self.diff_text(card, path)
        uri = f"{SCHEME}:/proposal/{card.id}/{quote(path or WHOLE)}"
        self._read.add(uri)
        return await self._show(uri, f"{card.id}.diff", text)

    async def show_plan(self, run_id: str) -> str:
        """Opens a plan; the URI that was opened."""
        self._plans_written.add(run_id)
        return await self._show(f"{SCHEME}:/plan/{run_id}.md", f"{run_id}.md", self.plan_text(run_id))

    async def show_checkpoint(self, checkpoint_id: str, text: str) -> str:
        """Opens what rolling a checkpoint back would do; the URI that was opened."""
        uri = f"{SCHEME}:/checkpoint/{checkpoint_id}/{WHOLE}"
        self._checkpoints[uri] = text
        if len(self._checkpoints) > _KEPT_CHECKPOINTS:
            del self._checkpoints[next(iter(self._checkpoints))]
        return await self._show(uri, f"{checkpoint_id}.diff", text)

    async def show_log(self, desk: Desk) -> str:
        """Opens the console log of a folder; the URI that was opened. Raises UnknownIdError."""
        path = desk.root / _LOG
        if not await in_thread(path.exists):
            raise UnknownIdError(f"There is no log in {path.parent} yet.", hint="It begins with the first run.")
        return self.show_file(path, "The log is")

    def remove_files(self) -> None:
        """Takes the temporary directory away."""
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _show(self, uri: str, name: str, text: str) -> str:
        session = self._session
        if not (session.traits.text_content and session.traits.show_document):
            return self.show_file(await in_thread(lambda: self._write(name, text)), "agent-lsp wrote it to")
        session.client.in_background(self._open(uri, uri))
        return uri

    def show_file(self, path: Path, told: str, place: types.Range | None = None) -> str:
        """Opens a file, at a place; an editor that cannot is told where it is."""
        session, uri = self._session, uri_of(path)
        if session.traits.show_document:
            session.client.in_background(self._open(uri, f"{told} {path}", place))
        else:
            session.show(types.MessageType.Info, f"{told} {path}")
        return uri

    async def _open(self, uri: str, told: str, place: types.Range | None = None) -> None:
        params = types.ShowDocumentParams(uri=uri, take_focus=True, selection=place)
        try:
            answer: Any = await self._session.client.ask(types.WINDOW_SHOW_DOCUMENT, params)
        except (AgentLspError, TimeoutError) as error:
            logger.info("the editor did not open %s: %s", uri, error or "no answer")
            answer = {"success": False}
        if isinstance(answer, dict) and answer.get("success") is False:
            self._session.show(types.MessageType.Warning, f"The editor did not open it by itself. {told}")

    def _write(self, name: str, text: str) -> Path:
        if self._folder is None:
            import tempfile

            self._folder = Path(tempfile.mkdtemp(prefix="agent-lsp-"))
        path, new = self._folder / name, self._folder / f".{name}"
        new.unlink(missing_ok=True)
        new.write_text(text, encoding="utf-8", newline="")
        new.chmod(0o400)
        return new.replace(path)

    def _on_event(self, _desk: Desk, event: str, data: Json) -> None:
        """Documents that were read from here are read again when their proposal or their plan changes.

        A plan that was written as a file is written anew: editors look whether a file on disk has changed.
        """
        if event == "plan" and self._folder is not None and data.get("runId") in self._plans_written:
            self._session.client.in_background(self._write_plan(str(data["runId"])))
        if event not in ("proposal", "plan") or not self._session.traits.text_content:
            return
        if event == "plan":
            prefixes: tuple[str, ...] = tuple(f"{SCHEME}:/plan/{data.get('runId')}{end}" for end in (".md", "/"))
        else:
            prefixes = tuple(f"{SCHEME}:/{kind}/{data.get('proposalId')}/" for kind in ("proposal", "proposed"))
        for uri in self._read:
            if uri.startswith(prefixes):
                self._session.client.in_background(self._refresh(uri))

    async def _write_plan(self, run_id: str) -> None:
        async with self._writing:
            try:
                text = self.plan_text(run_id)
                await in_thread(lambda: self._write(f"{run_id}.md", text))
            except (OSError, UnknownIdError) as error:
                logger.info("the plan of %s was not written anew: %s", run_id, error)

    async def _refresh(self, uri: str) -> None:
        params = types.TextDocumentContentRefreshParams(uri=uri)
        try:
            await self._session.client.ask(types.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH, params)
        except (AgentLspError, TimeoutError) as error:
            logger.info("the editor did not read %s again: %s", uri, error or "no answer")


def register(server: EdgeServer, session: Session) -> VirtualDocuments:
    """Registers the feature."""
    documents = VirtualDocuments(session)

    @server.feature(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
    async def text_document_content(params: types.TextDocumentContentParams) -> types.TextDocumentContentResult:
        try:
            return types.TextDocumentContentResult(text=await documents.content(params.uri))
        except UnknownIdError as error:
            raise RequestError(_INVALID_PARAMS, error.message) from None

    return documents


async def register_capability(session: Session, method: str, options: Json) -> None:
    """Registers one method dynamically; a client that refuses goes without."""
    registration = types.Registration(id=f"{SCHEME}-{method}", method=method, register_options=options)
    try:
        await session.client.ask(
            types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams(registrations=[registration])
        )
    except (AgentLspError, TimeoutError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError):
            raise
        logger.info("the editor did not register %s: %s", method, error or "no answer")


def file_diff(diff: str, path: str) -> str:
    """The part of a diff in git's style that is about one file; empty if it is not in there."""
    parts: list[list[str]] = []
    for line in diff.splitlines(keepends=True):
        if line.startswith("diff --git ") or not parts:
            parts.append([])
        parts[-1].append(line)
    return "".join("".join(part) for part in parts if _is_about(part, path))


def _is_about(part: Sequence[str], path: str) -> bool:
    return any(line.rstrip("\n").endswith((f" b/{path}", f"--- a/{path}")) for line in part[:6])
