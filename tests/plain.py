"""Owns the simplest things that honour the ports of the workspace: a folder as a candidate, a dict of trees.

They run real files and real processes but give no isolation; the contract tests in tests/workspace/ hold them and
the real adapters to the same behaviour.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent_lsp.domain.changes import Entry, FileEdit, FileMode
from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.ports import Buffer, Command, CommandResult, SandboxKind, Snapshot
from agent_lsp.domain.text import encode_like

SKIPPED = {".git", ".agent-lsp", "__pycache__", ".pytest_cache", ".venv"}


def files_under(root: Path) -> dict[str, Entry]:
    """Every file below a folder that a plain snapshot keeps."""
    found = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED]
        for name in files:
            path = Path(folder, name)
            mode = FileMode.EXECUTABLE if os.access(path, os.X_OK) else FileMode.FILE
            found[path.relative_to(root).as_posix()] = Entry(path.read_bytes(), mode)
    return found


class PlainTrees:
    """Trees as dictionaries, named by the hash of what is in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stored: dict[str, dict[str, Entry]] = {}

    def keep(self, files: Mapping[str, Entry]) -> str:
        """Stores a tree and gives its id."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path in sorted(files):
            digest.update(f"{path}\0{files[path].mode}\0{files[path].sha256}\0".encode())
        self.stored[digest.hexdigest()] = dict(files)
        return digest.hexdigest()

    async def snapshot(self, buffers: Sequence[Buffer]) -> Snapshot:
        files = files_under(self.root)
        for buffer in buffers:
            base = files.get(buffer.path)
            mode = base.mode if base else FileMode.FILE
            files[buffer.path] = Entry(encode_like(buffer.text, base.content if base else None), mode)
        return Snapshot(self.keep(files), {buffer.path: buffer.version for buffer in buffers})

    async def read(self, tree: str, path: str) -> Entry | None:
        return self.stored[tree].get(path)

    async def contents(self, tree: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        files = self.stored[tree]
        return {path: files[path].content for path in paths if path in files}

    async def paths(self, tree: str) -> Sequence[str]:
        return sorted(self.stored[tree])

    async def hashes(self, tree: str, paths: Sequence[str]) -> Mapping[str, str]:
        files = self.stored[tree]
        return {path: files[path].sha256 for path in paths if path in files}

    async def write(self, tree: str, edits: Sequence[FileEdit]) -> str:
        files = dict(self.stored[tree])
        for edit in edits:
            if edit.old_path is not None:
                files.pop(edit.old_path, None)
            if edit.after is None:
                files.pop(edit.path, None)
            else:
                files[edit.path] = edit.after
        return self.keep(files)

    async def diff(self, old: str, new: str) -> tuple[FileEdit, ...]:
        before, after = self.stored[old], self.stored[new]
        return tuple(
            FileEdit(path, before.get(path), after.get(path))
            for path in sorted(before.keys() | after.keys())
            if before.get(path) != after.get(path)
        )

    async def merge_text(self, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            names = [Path(folder, name) for name in ("ours", "base", "theirs")]
            for path, content in zip(names, (ours, base, theirs), strict=True):
                path.write_bytes(content)
            process = await asyncio.create_subprocess_exec(
                "git", "merge-file", "-p", *map(str, names), stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            return out if process.returncode == 0 else None


class PlainCandidate:
    """A folder of its own; commands run in it with no sandbox."""

    kind = SandboxKind.CLONE

    def __init__(self, trees: PlainTrees, tree: str) -> None:
        self._trees, self.tree = trees, tree
        self._home = Path(tempfile.mkdtemp(prefix="plain-"))
        self._root = self._home / "work"
        self._scratch = self._home / "scratch"
        self._scratch.mkdir()
        self._root.mkdir()
        for path, entry in trees.stored[tree].items():
            self._put(path, entry)

    @property
    def root(self) -> str:
        return str(self._root)

    @property
    def scratch(self) -> str:
        return str(self._scratch)

    def _put(self, path: str, entry: Entry | None) -> None:
        target = self._root / path
        if entry is None:
            target.unlink(missing_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(entry.content)
        target.chmod(0o755 if entry.mode is FileMode.EXECUTABLE else 0o644)
        os.utime(target, (time.time(), 1_000_000_000 + int(entry.sha256[:6], 16)))

    async def read(self, path: str) -> Entry | None:
        target = self._root / path
        if not target.is_file():
            return None
        mode = FileMode.EXECUTABLE if os.access(target, os.X_OK) else FileMode.FILE
        return Entry(target.read_bytes(), mode)

    async def write(self, path: str, entry: Entry | None) -> None:
        self._put(path, entry)

    async def paths(self, under: str = ".") -> Sequence[str]:
        prefix = "" if under == "." else under.rstrip("/") + "/"
        return sorted(path for path in files_under(self._root) if path.startswith(prefix) or path == under)

    async def run(self, command: Command) -> CommandResult:
        started = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                cwd=self._root / command.cwd,
                env={**os.environ, **command.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CandidateError(f"could not start {command.argv[0]}: {error}") from error
        try:
            out, _ = await asyncio.wait_for(process.communicate(), command.timeout_s)
        except BaseException as error:
            os.killpg(process.pid, 9)
            await process.wait()
            if not isinstance(error, TimeoutError):
                raise
            return CommandResult(None, "", True, time.monotonic() - started)
        return CommandResult(process.returncode, out.decode(errors="replace"), False, time.monotonic() - started)

    async def harvest(self) -> tuple[FileEdit, ...]:
        return await self._trees.diff(self.tree, self._trees.keep(files_under(self._root)))

    async def close(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)


class PlainPool:
    """Opens plain candidates."""

    kind = SandboxKind.CLONE

    def __init__(self, trees: PlainTrees) -> None:
        self._trees = trees

    async def open(self, tree: str) -> PlainCandidate:
        return PlainCandidate(self._trees, tree)
