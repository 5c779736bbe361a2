"""Owns the pushed diagnostics of source `agent-lsp`: one for each proposed hunk, and the problems that runs report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.task import RunState
from agent_lsp.server.board import Card, Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.features.code_actions import SOURCE_NAME
from agent_lsp.server.hints import Hint, hints
from agent_lsp.server.offers import goal_of
from agent_lsp.server.public import hunk_title, hunk_verdict, refusal, still_fits
from agent_lsp.server.session import Session

_SEVERITIES: Final = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
    "info": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}
_TOUCHED: Final = "stale: these lines were edited"
_LINE_END: Final = 2**31 - 1


class Diagnostics:
    """Publishes for each file what changed since the last time, for open and closed files alike."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._published: dict[Path, dict[str, tuple[str, list[types.Diagnostic]]]] = {}
        session.listeners.on_change(self.publish)
        session.listeners.on_event(lambda desk, event, _: self.publish(desk) if event == "blocked" else None)
        session.listeners.on_text(lambda desk, _document, changes: None if changes else self.publish(desk))

    def publish(self, desk: Desk) -> None:
        """Brings the editor up to date for one folder."""
        wanted = self._collect(desk)
        before = self._published.get(desk.root, {})
        for path in {**before, **wanted}:
            uri = self._session.uri(desk, path)
            old_uri, old = before.get(path, (uri, []))
            new = wanted.get(path, [])
            if old_uri != uri and old:
                self._send(old_uri, [])
                old = []
            if new != old:
                self._send(uri, new)
        self._published[desk.root] = {path: (self._session.uri(desk, path), rows) for path, rows in wanted.items()}

    def clear(self, root: Path) -> None:
        """A folder is no longer served."""
        for uri, _ in self._published.pop(root, {}).values():
            self._send(uri, [])

    def _send(self, uri: str, diagnostics: list[types.Diagnostic]) -> None:
        self._session.client.notify(
            types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS,
            types.PublishDiagnosticsParams(uri=uri, diagnostics=diagnostics),
        )

    def _collect(self, desk: Desk) -> dict[str, list[types.Diagnostic]]:
        found: dict[str, list[types.Diagnostic]] = {}
        for card in desk.board.open_cards():
            state = desk.board.state_of(card.run_id)
            for row, hunk in card.hunks():
                title = hunk_verdict(card, hunk)
                way = refusal(card, state, hunk) or "Accept or discard it with a code action."
                path = str(row.get("path"))
                place = card.places.get(str(hunk.get("id")))
                start, end = (place.start, place.end) if place else (int(hunk["startLine"]), int(hunk["endLine"]))
                touched = place is not None and place.touched
                found.setdefault(path, []).append(
                    types.Diagnostic(
                        range=self._range(desk, path, start, end),
                        severity=types.DiagnosticSeverity.Information,
                        source=SOURCE_NAME,
                        code=str(hunk["id"]),
                        message=f"Proposed: {hunk_title(hunk)} ({_TOUCHED if touched else title}). {way}",
                        data=self._data(desk, card, hunk),
                    )
                )
            for hint in hints(card):
                found.setdefault(hint.path, []).append(self._hint(desk, hint))
        for problems in desk.board.problems.values():
            for problem in problems:
                found.setdefault(str(problem.get("path")), []).append(self._problem(desk, problem))
        for row in desk.board.unfinished():
            origin, waits = desk.board.origins.get(row["runId"]), _waits_for(desk, row)
            if origin is not None and waits is not None:
                found.setdefault(origin, []).append(self._waiting(desk, origin, row, waits))
        return found

    def _data(self, desk: Desk, card: Card, hunk: Json) -> Json | None:
        if not self._session.traits.diagnostic_data:
            return None
        data: Json = {"proposalId": card.id, "hunkId": str(hunk["id"]), "verdictTitle": hunk_verdict(card, hunk)}
        if card.stale and not still_fits(card, hunk):
            data["stale"] = True
        refused = refusal(card, desk.board.state_of(card.run_id), hunk)
        return data if refused is None else {**data, "refused": refused}

    def _hint(self, desk: Desk, hint: Hint) -> types.Diagnostic:
        return types.Diagnostic(
            range=self._line(desk, hint.path, hint.line),
            severity=types.DiagnosticSeverity.Hint,
            source=SOURCE_NAME,
            message=hint.message,
        )

    def _waiting(self, desk: Desk, path: str, row: Json, message: str) -> types.Diagnostic:
        """A run that waits for the person, shown where its goal stands, or else on the first line."""
        document, goal = self._session.document(desk, path), str(row.get("goal", ""))
        lines = document.lines if document is not None else []
        line = next((number for number, text in enumerate(lines) if goal in text and goal_of(text) == goal), 0)
        return types.Diagnostic(
            range=self._range(desk, path, line, line + 1),
            severity=types.DiagnosticSeverity.Information,
            source=SOURCE_NAME,
            code=str(row["runId"]),
            message=message,
        )

    def _problem(self, desk: Desk, problem: Json) -> types.Diagnostic:
        path = str(problem.get("path"))
        diagnostic = types.Diagnostic(
            range=self._line(desk, path, problem.get("line")),
            severity=_SEVERITIES.get(str(problem.get("severity")), types.DiagnosticSeverity.Error),
            source=SOURCE_NAME,
            message=str(problem.get("message", "")),
        )
        related = [row for row in problem.get("related") or () if isinstance(row, Mapping)]
        if related and self._session.traits.related_information:
            diagnostic.related_information = [self._related(desk, row) for row in related]
        return diagnostic

    def _related(self, desk: Desk, row: Mapping[str, Any]) -> types.DiagnosticRelatedInformation:
        path = str(row.get("path"))
        location = types.Location(uri=self._session.uri(desk, path), range=self._line(desk, path, row.get("line")))
        return types.DiagnosticRelatedInformation(location=location, message=str(row.get("message", "")))

    def _line(self, desk: Desk, path: str, line: Any) -> types.Range:
        number = line if isinstance(line, int) and line >= 0 else 0
        return self._range(desk, path, number, number + 1)

    def _range(self, desk: Desk, path: str, start: int, end: int) -> types.Range:
        """Whole lines, to the end of the last one's text; an insertion marks the line it goes before."""
        last = max(end - 1, start)
        document = self._session.document(desk, path)
        if document is None:
            return types.Range(
                start=types.Position(line=start, character=0), end=types.Position(line=last, character=_LINE_END)
            )
        return types.Range(start=document.position(start, 0), end=document.position(last, _LINE_END))


def _waits_for(desk: Desk, row: Json) -> str | None:
    """What a run waits for, with how to go on; None for one that waits for nobody."""
    if row.get("state") == RunState.AWAITING_APPROVAL:
        steps = desk.board.plans.get(row["runId"], {}).get("steps") or ()
        titles = "; ".join(str(step.get("title", "")) for step in steps if isinstance(step, Mapping))
        return f"Plan: {titles}. Approve or reject it with a code action."
    question = desk.board.questions.get(row["runId"])
    if row.get("state") == RunState.BLOCKED and question is not None:
        how = "with a code action" if question.get("options") else "by a comment line `agent: your answer`"
        return f"Question: {question.get('question', '')} Answer {how}."
    return None
