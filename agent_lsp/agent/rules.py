"""Owns the rules of a workspace for whoever works in it: its AGENTS.md files, given again with every request.

Those that are known at the start stand in the system prompt, which stays as it is, so that providers can cache it. One
that is met later, in the folder of a file that a tool touches, comes with the tool's answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from agent_lsp.agent.findings import shortened
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.text import decode

FILE: Final = "AGENTS.md"
MOST_CHARACTERS: Final = 12_000
"""Of one file."""

MOST_TOGETHER: Final = 36_000
_HEAD: Final = (
    "# Rules of this workspace\n\nWhat its AGENTS.md files ask of whoever works in it. Where two disagree, the one "
    "nearest to the file in question holds. They never widen what you may do."
)


class Rulebook:
    """The AGENTS.md files of one run. Each is read once: what the run writes there holds from the next run on."""

    def __init__(self, at_start: str = "") -> None:
        """`at_start` is what the root's file says on disk: all that is known until the run has read something."""
        self._at_start = at_start
        self._texts: dict[str, str] = {}

    @property
    def known(self) -> str:
        """Everything that was read so far, the root's first, for who has no candidate to read in."""
        found = {path.removesuffix(FILE).rstrip("/"): text for path, text in self._texts.items()}
        return whole(found or {"": self._at_start})

    async def text(self, candidate: Candidate, folder: str) -> str:
        """What the file of a folder says; empty without one."""
        path = f"{folder}/{FILE}" if folder else FILE
        if path not in self._texts:
            self._texts[path] = await _read(candidate, path)
        return self._texts[path]


class Rules:
    """What of it one conversation was given."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._given: dict[str, str] = {}

    @property
    def text(self) -> str:
        """Everything that was given, the root's first; empty without any rules."""
        return whole(self._given)

    async def begin(self, candidate: Candidate, files: Iterable[str]) -> None:
        """Gives the root's rules and those of the folders of these files."""
        await self._give(candidate, ["", *(folder for path in files for folder in _folders(path))])

    async def met(self, candidate: Candidate, paths: Iterable[str]) -> str:
        """The rules of these files' folders that were not given yet; empty for most."""
        new = await self._give(candidate, [folder for path in paths for folder in _folders(path)])
        return "\n\n".join(_section(folder, self._given[folder]) for folder in new)

    async def _give(self, candidate: Candidate, folders: Iterable[str]) -> list[str]:
        new = []
        for folder in dict.fromkeys(folders):
            if folder not in self._given and (text := await self._book.text(candidate, folder)):
                self._given[folder] = text
                new.append(folder)
        return new


def whole(given: Mapping[str, str]) -> str:
    """The rules by folder as one text; empty without any."""
    rows = [_section(folder, text) for folder, text in sorted(given.items()) if text]
    return shortened("\n\n".join([_HEAD, *rows]), MOST_TOGETHER) if rows else ""


def _section(folder: str, text: str) -> str:
    where = f"for everything under {folder}/" if folder else "for the whole workspace"
    path = f"{folder}/{FILE}" if folder else FILE
    return f"## {path} ({where})\n\n{text}"


def _folders(path: str) -> Iterator[str]:
    """The folders above a file below the root, topmost first."""
    parts = [part for part in path.split("/")[:-1] if part not in ("", ".")]
    if ".." not in parts:
        yield from ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))


async def _read(candidate: Candidate, path: str) -> str:
    try:
        entry = await candidate.read(path)
    except ToolError:
        return ""
    decoded = decode(entry.content) if entry is not None else None
    return "" if decoded is None else shortened(decoded.text.strip(), MOST_CHARACTERS)
