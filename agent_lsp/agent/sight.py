"""Owns the look at the person's text as it is now: open documents over files on disk, as bytes."""

import hashlib
from collections.abc import Iterable, Mapping

from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.ports import Buffer, Editor, Files
from agent_lsp.domain.text import decode, decode_like, encode_like


class Sight:
    """What the person sees, read once: make a new one to look again."""

    def __init__(self, files: Files, buffers: Iterable[Buffer]) -> None:
        self._files = files
        self._buffers = {buffer.path: buffer for buffer in buffers}
        self._disk: dict[str, Entry | None] = {}

    def buffer(self, path: str) -> Buffer | None:
        """The open document of a path, if it is open."""
        return self._buffers.get(path)

    async def disk(self, path: str) -> Entry | None:
        """What lies on disk."""
        if path not in self._disk:
            self._disk[path] = await self._files.read(path)
        return self._disk[path]

    async def entry(self, path: str) -> Entry | None:
        """What the person sees, as the bytes that saving it would write."""
        disk, buffer = await self.disk(path), self.buffer(path)
        if buffer is None or (disk is not None and disk.mode is FileMode.SYMLINK):
            return disk
        mode = FileMode.FILE if disk is None else disk.mode
        return Entry(encode_like(buffer.text, None if disk is None else disk.content), mode)

    async def moved(self, witness: Mapping[str, str]) -> frozenset[str]:
        """Paths whose bytes are not the witnessed ones; an empty hash stands for a file that is not there."""
        gone: set[str] = set()
        for path, sha256 in witness.items():
            entry = await self.entry(path)
            if ("" if entry is None else hashlib.sha256(entry.content).hexdigest()) != sha256:
                gone.add(path)
        return frozenset(gone)


async def look(files: Files, editor: Editor) -> Sight:
    """A fresh look."""
    return Sight(files, await editor.buffers())


def text_like(entry: Entry, base: Entry | None) -> str | None:
    """The text of an entry, read in the encoding of `base` where that gives these very bytes; None if not text."""
    if entry.mode is FileMode.SYMLINK:
        return None
    read = decode_like(entry.content, None if base is None else decode(base.content))
    return None if read is None else read.text
