"""Owns `textDocument/codeAction` and its resolve: the offers of a place, in the words of this client.

Editors ask at every move of the cursor, so these messages are plain data both ways (server/plain_data.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from agent_lsp.server.board import Json
from agent_lsp.server.offer import Offer
from agent_lsp.server.offers import Spot, offers_at, offers_outside
from agent_lsp.server.plain_data import plain
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session

SOURCE_NAME: Final = "agent-lsp"
_TAGS: Final = [types.CodeActionTag.LlmGenerated.value]


class CodeActions:
    """Everything comes from the board; no runtime is asked."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def actions(self, params: Mapping[str, Any]) -> list[Json]:
        """What can be done at the range, filtered by the kinds that the client wants. Never null: eglot trips on it."""
        spot = self._spot(params)
        only = params["context"].get("only")
        found = []
        for offer in offers_at(spot) if spot is not None else offers_outside(params["textDocument"]["uri"]):
            kind = _kind(offer, only)
            action = None if kind is None else self._action(offer, kind)
            if action is not None:
                found.append(action)
        return found

    def resolve(self, action: Mapping[str, Any]) -> Json:
        """Fills in the command that was left out."""
        resolved = {key: value for key, value in action.items() if value is not None}
        data: Any = action.get("data")
        if isinstance(data, Mapping) and isinstance(data.get("command"), str):
            arguments = [data.get("argument") or {}]
            resolved["command"] = {"title": action["title"], "command": data["command"], "arguments": arguments}
        return resolved

    def _spot(self, params: Mapping[str, Any]) -> Spot | None:
        uri, place = params["textDocument"]["uri"], params["range"]
        located = self._session.folders.try_locate(uri)
        if located is None:
            return None
        desk, path = located
        start, end = _position(place["start"]), _position(place["end"])
        selected = start != end
        last = end[0] - 1 if selected and end[1] == 0 else end[0]
        problems, plain_problems, hunks = [], [], {}
        for diagnostic in params["context"]["diagnostics"]:
            code = diagnostic.get("code")
            if diagnostic.get("source") == SOURCE_NAME and isinstance(code, str) and code.startswith("h_"):
                hunks[code] = diagnostic
            else:
                problem = _plain_problem(diagnostic)
                problems.append((problem["message"], diagnostic))
                plain_problems.append(problem)
        document = self._session.documents.get(uri)
        if document is not None:
            theirs = [problem for problem in plain_problems if problem["source"] != SOURCE_NAME]
            self._session.seen_problems.note(document, start[0], max(last, start[0]), theirs)
        return Spot(
            desk=desk,
            path=path,
            uri=uri,
            document=document,
            start=start[0],
            end=max(last, start[0]),
            selected=selected,
            range=_range(place),
            problems=problems,
            plain_problems=plain_problems,
            hunks=hunks,
        )

    def _action(self, offer: Offer, kind: str) -> Json | None:
        traits = self._session.traits
        if offer.refused is not None and not (traits.action_disabled and traits.action_literals):
            return None
        command = {"title": offer.title, "command": offer.command, "arguments": [dict(offer.argument)]}
        if not traits.action_literals:
            return command
        action: Json = {"title": offer.title, "kind": kind}
        if offer.diagnostics:
            action["diagnostics"] = list(offer.diagnostics)
        if traits.action_tags:
            action["tags"] = _TAGS
        if offer.preferred and offer.refused is None and traits.action_preferred:
            action["isPreferred"] = True
        if offer.refused is not None:
            action["disabled"] = {"reason": offer.refused}
        elif traits.action_resolves_command and traits.action_data:
            action["data"] = {"command": offer.command, "argument": dict(offer.argument)}
        else:
            action["command"] = command
        return action


def register(server: EdgeServer, session: Session) -> None:
    """Registers the feature."""
    actions = CodeActions(session)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
    @plain
    def code_action(params: Mapping[str, Any]) -> list[Json]:
        return actions.actions(params)

    @server.feature(types.CODE_ACTION_RESOLVE)
    @plain
    def resolve(action: Mapping[str, Any]) -> Json:
        return actions.resolve(action)


def _position(value: Mapping[str, Any]) -> tuple[int, int]:
    return value["line"], value["character"]


def _range(value: Mapping[str, Any]) -> Json:
    """The same range without what a client may have added to it."""
    start, end = value["start"], value["end"]
    return {
        "start": {"line": start["line"], "character": start["character"]},
        "end": {"line": end["line"], "character": end["character"]},
    }


def _kind(offer: Offer, only: Sequence[str] | None) -> str | None:
    """The first kind of the offer that the filter lets through; a filter names a kind or the start of its path."""
    if not only:
        return offer.kinds[0]
    for kind in offer.kinds:
        if any(want == "" or kind == want or kind.startswith(want + ".") for want in only):
            return kind
    return None


def _plain_problem(diagnostic: Mapping[str, Any]) -> Json:
    """What a run is told of a diagnostic; it comes from another server and may be odd beyond range and message."""
    message, source, code = diagnostic["message"], diagnostic.get("source"), diagnostic.get("code")
    return {
        "range": _range(diagnostic["range"]),
        "message": message if isinstance(message, str) else message["value"],
        "source": source if isinstance(source, str) else "",
        "code": str(code) if isinstance(code, int | str) else "",
    }
