"""Owns the candidate: files, commands and the change set of one place, the same for every kind of sandbox."""

import asyncio
import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.errors import CandidateError, SnapshotError, ToolError
from agent_lsp.domain.policy import inside_root
from agent_lsp.domain.ports import Command, CommandResult, SandboxKind
from agent_lsp.workspace import git
from agent_lsp.workspace.listing import excluded
from agent_lsp.workspace.objects import Leaf, object_id
from agent_lsp.workspace.place import Changes, Place
from agent_lsp.workspace.session import kill_marked
from agent_lsp.workspace.snapshot import GitTrees
from agent_lsp.workspace.statcache import load

_FILE_BYTES: Final = 256 << 20


class HeldCandidate:
    """A candidate of one tree. Every operation raises CandidateError once its holder is gone."""

    def __init__(self, trees: GitTrees, tree: str, place: Place) -> None:
        self._trees, self._tree, self._place = trees, tree, place
        self._session = place.session
        self._closing: asyncio.Task[None] | None = None

    @property
    def tree(self) -> str:
        """The tree that this candidate started from."""
        return self._tree

    @property
    def kind(self) -> SandboxKind:
        """How it is made."""
        return self._place.kind

    @property
    def root(self) -> str:
        """Where commands see the workspace."""
        return self._place.root

    @property
    def scratch(self) -> str:
        """A writable folder outside the root, at the same path inside and outside."""
        return self._place.scratch

    @property
    def reaches_hosts(self) -> bool:
        """Whether commands reach the hosts that the settings list."""
        return self._session.door is not None

    async def read(self, path: str) -> Entry | None:
        """A file as the candidate sees it (ignored files included), or None."""
        answer = await self._session.call("read", path=inside_root(path))
        return None if answer is None else Entry(base64.b64decode(answer["content"]), FileMode(answer["mode"]))

    async def write(self, path: str, entry: Entry | None) -> None:
        """Writes, creates with folders, or (None) deletes. Raises ToolError for a path that may not be written."""
        clean = inside_root(path)
        follow = entry is not None and entry.mode is not FileMode.SYMLINK
        target: str = await self._session.call("resolve", path=clean, follow=follow)
        await self._may_write(target)
        if entry is None:
            await self._session.call("remove", path=target)
        else:
            content = base64.b64encode(entry.content).decode("ascii")
            await self._session.call("write", path=target, content=content, mode=entry.mode.value)

    async def _may_write(self, path: str) -> None:
        if path == ".":
            raise ToolError("The workspace root is a folder; give the path of a file.")
        if self._in_nested(path):
            raise ToolError(f"{path} belongs to a nested repository, which can be read but not written.")
        manifest = await self._trees.objects.manifest(self._tree)
        if path not in manifest and path in await self._ignored([path]):
            raise ToolError(f"{path} is ignored by the workspace's rules; ignored files can be read but not written.")

    def _in_nested(self, path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self._place.nested for depth in range(1, len(parts) + 1))

    async def _ignored(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that the ignore rules, as they now are in the candidate, leave out."""
        rows = list(paths)
        hits = {path for path in rows if excluded(path) or self._in_nested(path)}
        asked = [path for path in rows if path not in hits]
        if not asked:
            return hits
        options = (*git.SAFE_OPTIONS, *self._trees.listing.options)
        answer = await self._session.command(
            argv=("git", *options, "check-ignore", "--no-index", "-z", "--stdin"),
            cwd=".",
            env=git.clean_env(self._trees.private.env(Path(self._place.top))),
            timeout_s=60.0,
            limit=1 << 40,
            quiet=True,
            stdin=base64.b64encode(b"".join(os.fsencode(path) + b"\0" for path in asked)).decode("ascii"),
        )
        if answer["status"] not in (0, 1):
            raise CandidateError(f"git check-ignore failed in the candidate ({answer['status']})")
        return hits | {os.fsdecode(row) for row in base64.b64decode(answer["output"]).split(b"\0") if row}

    async def paths(self, under: str = ".") -> Sequence[str]:
        """Files that are not ignored, as they now are in the candidate, sorted."""
        folder = inside_root(under)
        files, gone = await self._changed()
        manifest = await self._trees.objects.manifest(self._tree)
        present = (manifest.keys() - gone) | files.keys()
        if folder != ".":
            present = {path for path in present if path == folder or path.startswith(folder + "/")}
        return sorted(present)

    async def run(self, command: Command) -> CommandResult:
        """Runs in the sandbox; cancelling kills it.

        Raises CandidateError if it cannot be started, or if a large file that it may have read was changed meanwhile.
        """
        ahead = command.prepared
        prepared = {} if ahead is None else {"prepared": {"key": ahead.key, "argv": ahead.argv}}
        door = self._session.door
        before = 0 if door is None else door.refusals
        answer = await self._session.command(
            argv=command.argv,
            cwd=inside_root(command.cwd),
            env=dict(command.env),
            timeout_s=command.timeout_s,
            limit=command.output_limit_bytes,
            **prepared,
        )
        if self._place.large:
            try:
                await asyncio.to_thread(self._trees.in_place.check, self._place.large)
            except SnapshotError as error:
                raise CandidateError(error.message, hint=error.hint) from error
        return _result(answer, () if door is None else door.refused_since(before))

    async def harvest(self) -> tuple[FileEdit, ...]:
        """What differs from `tree` now, ignored files left out."""
        files, gone = await self._changed()
        manifest = await self._trees.objects.manifest(self._tree)
        before = {path: manifest[path] for path in (*gone, *files) if path in manifest}
        after = {}
        for path, entry in files.items():
            leaf = Leaf(entry.mode.value, object_id("blob", entry.content))
            if before.get(path) != leaf:
                await asyncio.to_thread(self._trees.objects.put, "blob", entry.content)
            after[path] = leaf
        return await self._trees.edits_between(before, after)

    async def _changed(self) -> tuple[dict[str, Entry], set[str]]:
        """Files that may differ from the tree with their content, and files of the tree that are gone."""
        if self._closing is not None:
            raise CandidateError("the candidate is closed")
        self._session.check()
        manifest = await self._trees.objects.manifest(self._tree)
        changes = await asyncio.to_thread(self._place.look)
        created = [path for path in changes.present if path not in manifest]
        ignored = await self._ignored(created)
        kept = Changes({path: file for path, file in changes.present.items() if path not in ignored}, changes.gone)
        files = await asyncio.to_thread(_load, kept)
        return files, changes.gone - files.keys()

    async def close(self) -> None:
        """Kills everything in it and removes it; safe to repeat and after a crash of the holder."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            in_order = await self._session.end()
            if not in_order:
                self._place.spoil()
            # bubblewrap ends before its namespace has died.
            if not in_order or self.kind is SandboxKind.BUBBLEWRAP:
                await asyncio.to_thread(kill_marked, self._place.mark)
        finally:
            await asyncio.to_thread(self._place.forget)


def _load(changes: Changes) -> dict[str, Entry]:
    files = {}
    for path, file in changes.present.items():
        size_bytes = os.lstat(file).st_size if os.path.lexists(file) else 0
        if size_bytes > _FILE_BYTES:
            limit = f"files above {_FILE_BYTES >> 20} MiB are never part of a change"
            raise CandidateError(f"{path} has {size_bytes >> 20} MiB; {limit}", hint="Add it to .gitignore.")
        loaded = load(str(file))
        if loaded is not None:
            files[path] = Entry(loaded.content, FileMode(loaded.mode))
    return files


def _result(answer: Mapping[str, Any], refused: tuple[str, ...]) -> CommandResult:
    output = base64.b64decode(answer["output"]).decode("utf-8", errors="replace")
    return CommandResult(
        answer["status"],
        output,
        bool(answer["timed_out"]),
        float(answer["duration_s"]),
        forked=bool(answer.get("forked", False)),
        note=str(answer.get("note", "")),
        skipped=answer.get("skipped", {}),
        refused=refused,
    )
