"""Owns the tool apply_patch: all files of a patch or none."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, encoded
from agent_lsp.domain.changes import Entry
from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.patching import apply_patch
from agent_lsp.domain.policy import Effect, inside_root
from agent_lsp.domain.text import Decoded, decode


class ApplyPatch(ToolInput):
    """A patch."""

    patch: str = Field(min_length=1, description="A unified diff of one or several files.")


class _NotReadYetError(Exception):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _Reader:
    """Gives a synchronous caller the files that were read; asks for one more by raising."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry | None] = {}

    def read(self, path: str) -> str | None:
        path = inside_root(path)
        if path not in self.entries:
            raise _NotReadYetError(path)
        entry = self.entries[path]
        return None if entry is None else _decoded(path, entry).text


def _decoded(path: str, entry: Entry) -> Decoded:
    decoded = decode(entry.content)
    if decoded is None:
        raise ToolError(f"{path} is binary; a text patch cannot change it.")
    return decoded


async def _run(given: ApplyPatch, bench: Bench) -> Answer:
    reader = _Reader()
    while True:
        try:
            texts = apply_patch(given.patch, reader.read)
            break
        except _NotReadYetError as wanted:
            reader.entries[wanted.path] = await bench.candidate.read(wanted.path)
    before: dict[str, Entry | None] = {}
    after: dict[str, Entry | None] = {}
    for name, text in texts.items():
        path = inside_root(name)
        old = reader.entries.get(path)
        before[path] = old
        after[path] = None if text is None else _entry(path, old, text)
    changed = {path: entry for path, entry in after.items() if entry != before[path]}
    if not changed:
        raise ToolError("The patch changes nothing: its files already read so.")
    await _write_all(bench, before, changed)
    rows = [f"{_verb(before[path], entry)} {path}" for path, entry in changed.items()]
    return Answer("Applied: " + ", ".join(rows) + ".")


def _entry(path: str, old: Entry | None, text: str) -> Entry:
    if old is None:
        return Entry(text.encode("utf-8", "replace"))
    return replace(old, content=encoded(path, _decoded(path, old), text))


def _verb(old: Entry | None, new: Entry | None) -> str:
    if old is None:
        return "created"
    return "deleted" if new is None else "changed"


async def _write_all(bench: Bench, before: Mapping[str, Entry | None], after: Mapping[str, Entry | None]) -> None:
    written: list[str] = []
    try:
        for path, entry in after.items():
            await bench.candidate.write(path, entry)
            written.append(path)
    except ToolError as error:
        for path in written:
            await bench.candidate.write(path, before[path])
        raise ToolError(f"Nothing was applied, since one file could not be written: {error.message}") from error


TOOL: Final = Tool(
    name="apply_patch",
    description=(
        "Applies a unified diff to one or several files, all or none. Line numbers may be wrong; the context lines "
        "must be in the file. Use /dev/null for created and deleted files."
    ),
    effect=Effect.EDIT,
    input_model=ApplyPatch,
    run=_run,
)
