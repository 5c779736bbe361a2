"""Owns `textDocument/codeAction` and its resolve: the offers of a place, in the words of this client."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from agent_lsp.server.board import Json
from agent_lsp.server.offers import Offer, Spot, offers_at
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session

SOURCE_NAME: Final = "agent-lsp"
_TAGS: Final = [types.CodeActionTag.LlmGenerated]


class CodeActions:
    """Everything comes from the board; no runtime is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction | types.Command] | None:
        """What can be done at the range, filtered by the kinds that the client wants."""
        spot = self._spot(params)
        if spot is None:
            return None
        only = params.context.only
        found = []
        for offer in offers_at(spot):
            kind = _kind(offer, only)
            action = None if kind is None else self._action(offer, kind)
            if action is not None:
                found.append(action)
        return found

    def resolve(self, action: types.CodeAction) -> types.CodeAction:
        """Fills in the command that was left out."""
        data: Any = action.data
        if isinstance(data, Mapping) and isinstance(data.get("command"), str):
            action.command = types.Command(
                title=action.title, command=data["command"], arguments=[data.get("argument") or {}]
            )
        return action

    def _spot(self, params: types.CodeActionParams) -> Spot | None:
        located = self._session.folders.try_locate(params.text_document.uri)
        if located is None:
            return None
        desk, path = located
        start, end = params.range.start, params.range.end
        selected = (start.line, start.character) != (end.line, end.character)
        last = end.line - 1 if selected and end.character == 0 else end.line
        problems, hunks = [], {}
        for diagnostic in params.context.diagnostics:
            if diagnostic.source == SOURCE_NAME and str(diagnostic.code or "").startswith("h_"):
                hunks[str(diagnostic.code)] = diagnostic
            else:
                problems.append((diagnostic.message, diagnostic))
        return Spot(
            desk=desk,
            path=path,
            uri=params.text_document.uri,
            document=self._session.document(desk, path),
            start=start.line,
            end=max(last, start.line),
            selected=selected,
            range=plain_range(params.range),
            problems=problems,
            plain_problems=[_plain_problem(diagnostic) for _, diagnostic in problems],
            hunks=hunks,
        )

    def _action(self, offer: Offer, kind: str) -> types.CodeAction | types.Command | None:
        traits = self._session.traits
        command = types.Command(title=offer.title, command=offer.command, arguments=[dict(offer.argument)])
        if offer.refused is not None and not traits.action_disabled:
            return None
        if not traits.action_literals:
            return None if offer.refused is not None else command
        action = types.CodeAction(title=offer.title, kind=kind)
        if offer.diagnostics:
            action.diagnostics = list(offer.diagnostics)
        if traits.action_tags:
            action.tags = _TAGS
        if offer.preferred and offer.refused is None and traits.action_preferred:
            action.is_preferred = True
        if offer.refused is not None:
            action.disabled = types.CodeActionDisabled(reason=offer.refused)
        elif traits.action_resolves_command and traits.action_data:
            action.data = {"command": offer.command, "argument": dict(offer.argument)}
        else:
            action.command = command
        return action


def register(server: EdgeServer, session: Session) -> None:
    """Registers the feature."""
    actions = CodeActions(session)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction | types.Command] | None:
        return actions.actions(params)

    @server.feature(types.CODE_ACTION_RESOLVE)
    def resolve(action: types.CodeAction) -> types.CodeAction:
        return actions.resolve(action)


def plain_range(value: types.Range) -> Json:
    """An LSP range as plain data."""
    return {
        "start": {"line": value.start.line, "character": value.start.character},
        "end": {"line": value.end.line, "character": value.end.character},
    }


def _kind(offer: Offer, only: Sequence[types.CodeActionKind | str] | None) -> str | None:
    """The first kind of the offer that the filter lets through; a filter names a kind or the start of its path."""
    if not only:
        return offer.kinds[0]
    wanted = [str(getattr(kind, "value", kind)) for kind in only]
    for kind in offer.kinds:
        if any(want == "" or kind == want or kind.startswith(want + ".") for want in wanted):
            return kind
    return None


def _plain_problem(diagnostic: types.Diagnostic) -> Json:
    return {
        "range": plain_range(diagnostic.range),
        "message": diagnostic.message,
        "source": diagnostic.source or "",
        "code": str(diagnostic.code if diagnostic.code is not None else ""),
    }
