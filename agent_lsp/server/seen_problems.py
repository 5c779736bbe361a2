"""Owns what is known of other servers' diagnostics: those that the editor sent along as it asked for actions.

LSP has no request for the diagnostics that an editor shows, but it sends those of the place with every request for
code actions. They are kept for the text that they were about, and told to a run as what its person sees.
"""

from collections.abc import Sequence
from typing import Final

from agent_lsp.server.board import Json
from agent_lsp.server.documents import Document

MOST_TOLD: Final = 20
"""Diagnostics that a run is told."""

_MOST_OF_A_FILE: Final = 20
_MOST_FILES: Final = 100
_MOST_CHARACTERS: Final = 1_000


class SeenProblems:
    """By document, for the revision of its text at which they were seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, list[Json]]] = {}

    def note(self, document: Document, first_line: int, last_line: int, problems: Sequence[Json]) -> None:
        """These are all diagnostics of these lines (zero-based, both included), as the editor shows them now."""
        revision, known = self._seen.get(document.uri, (document.revision, []))
        if revision != document.revision:
            known = []
        elif not problems and not known:
            return
        others = [row for row in known if not first_line <= row["range"]["start"]["line"] <= last_line]
        fresh = [row for row in problems if row not in others]
        self._seen.pop(document.uri, None)
        self._seen[document.uri] = (document.revision, [*fresh, *others][:_MOST_OF_A_FILE])
        if len(self._seen) > _MOST_FILES:
            del self._seen[next(iter(self._seen))]

    def of(self, path: str, document: Document) -> list[Json]:
        """What was seen of a document's present text, as the `run` call tells it."""
        revision, known = self._seen.get(document.uri, (-1, []))
        if revision != document.revision:
            return []
        return [
            {
                "path": path,
                "line": row["range"]["start"]["line"],
                "message": row["message"][:_MOST_CHARACTERS],
                "source": row["source"],
                "code": row["code"],
            }
            for row in sorted(known, key=lambda row: row["range"]["start"]["line"])
        ]
