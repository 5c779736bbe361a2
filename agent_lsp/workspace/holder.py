"""Owns a candidate from inside: the process that lives in its namespaces and does what is asked over stdin.

Run by session.py as `python -I -S -c "...; main()"`; standard library only. One JSON object a line:
the first line in is the configuration, the first out `{"ready": true}` or `{"failed": text}`, then
`{"id", "op", ...}` in and `{"id", "result"}` or `{"id", "error"}` out. Ends at the end of its input.
"""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH101, PTH103, PTH106, PTH108, PTH112, PTH114, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211

import base64
import json
import os
import selectors
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent_lsp.workspace import holder_commands, landlock, mounts

_FORBIDDEN = (".git", ".agent-lsp")
_READ_BYTES = 64 << 20


class RefusedPathError(Exception):
    """What was asked cannot be done; the text goes to the model."""


class Tree:
    """The files of the candidate, each path resolved with its symlinks and kept inside."""

    def __init__(self, root: str, aliases: list[str]) -> None:
        self._root = os.path.realpath(root)
        self._aliases = [os.path.realpath(alias) for alias in aliases]
        self._written_s: dict[str, int] = {}

    def _inside(self, absolute: str, base: str) -> str | None:
        if absolute == base:
            return "."
        return absolute[len(base) + 1 :] if absolute.startswith(base + "/") else None

    def resolve(self, path: str, *, follow: bool) -> str:
        """Where a path leads, relative to the root. Raises RefusedPathError when that is outside or forbidden."""
        joined = os.path.join(self._root, path)
        if follow:
            absolute = os.path.realpath(joined)
        else:
            parent, name = os.path.split(joined.rstrip("/"))
            absolute = os.path.join(os.path.realpath(parent), name)
        relative = self._inside(absolute, self._root)
        if relative is None:
            relative = next((r for alias in self._aliases if (r := self._inside(absolute, alias))), None)
        if relative is None:
            raise RefusedPathError(f"{path} leads out of the workspace; only files inside it can be used.")
        if relative.split("/", 1)[0] in _FORBIDDEN:
            raise RefusedPathError(f"{path} belongs to {relative.split('/', 1)[0]}, which is not yours to use.")
        return relative

    def read(self, path: str) -> dict[str, str] | None:
        """Content and mode of a file, symlinks followed; None for a folder or nothing."""
        self.resolve(path, follow=True)
        absolute = os.path.join(self._root, path)
        try:
            found = os.stat(absolute)
            if not stat.S_ISREG(found.st_mode):
                return None
            if found.st_size > _READ_BYTES:
                raise RefusedPathError(f"{path} is too large to be read whole ({found.st_size} bytes).")
            with open(absolute, "rb") as file:
                content = file.read(_READ_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RefusedPathError(f"{path} cannot be read: {error.strerror}") from error
        mode = "100755" if found.st_mode & 0o100 else "100644"
        return {"content": base64.b64encode(content).decode("ascii"), "mode": mode}

    def write(self, path: str, content: bytes, mode: str) -> None:
        """Writes a file or symlink at a resolved path, with its folders."""
        absolute = os.path.join(self._root, path)
        if os.path.isdir(absolute) and not os.path.islink(absolute):
            raise RefusedPathError(f"{path} is a folder; give the path of a file.")
        try:
            os.makedirs(os.path.dirname(absolute), exist_ok=True)
            if mode == "120000" or os.path.islink(absolute):
                self.remove(path)
                os.makedirs(os.path.dirname(absolute), exist_ok=True)
            if mode == "120000":
                os.symlink(content, os.fsencode(absolute))
                return
            self._write_file(absolute, content, executable=mode == "100755")
        except (FileExistsError, NotADirectoryError) as error:
            raise RefusedPathError(f"{path} cannot be written: a part of its path is a file.") from error
        except OSError as error:
            raise RefusedPathError(f"{path} cannot be written: {error.strerror}") from error

    def _write_file(self, absolute: str, content: bytes, *, executable: bool) -> None:
        try:
            before = os.stat(absolute)
            if not stat.S_ISREG(before.st_mode):
                raise RefusedPathError(f"{absolute} is no file: it is a pipe, a socket or a device.")
            os.chmod(absolute, stat.S_IMODE(before.st_mode) | 0o600)
            last_s = max(int(before.st_mtime), self._written_s.get(absolute, 0))
            bits = stat.S_IMODE(before.st_mode) | 0o600
        except FileNotFoundError:
            last_s, bits = self._written_s.get(absolute, 0), 0o644
        handle = os.open(absolute, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(absolute, bits | (bits & 0o444) >> 2 if executable else bits & ~0o111)
        # Byte-code and build tools compare whole seconds: no two versions of a file may have the same one.
        second = max(int(time.time()), last_s + 1)
        self._written_s[absolute] = second
        os.utime(absolute, (second, second))
        _forget_bytecode(absolute)

    def remove(self, path: str) -> None:
        """Deletes a file or symlink, and the folders that it leaves empty."""
        absolute = os.path.join(self._root, path)
        try:
            found = os.lstat(absolute)
            if stat.S_ISDIR(found.st_mode):
                raise RefusedPathError(f"{path} is a folder; delete its files one by one.")
            self._written_s[absolute] = max(self._written_s.get(absolute, 0), int(found.st_mtime))
            os.unlink(absolute)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise RefusedPathError(f"{path} cannot be deleted: {error.strerror}") from error
        _forget_bytecode(absolute)
        folder = os.path.dirname(absolute)
        while folder != self._root:
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)


def _forget_bytecode(source: str) -> None:
    folder, name = os.path.split(source)
    if not name.endswith(".py"):
        return
    cache = os.path.join(folder, "__pycache__")
    try:
        for entry in os.listdir(cache):
            if entry.startswith(name[:-2]):
                os.unlink(os.path.join(cache, entry))
        os.rmdir(cache)
    except OSError:
        return


class Holder:
    """Answers until its input ends. Single-threaded, so that it may fork."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._tree = Tree(config["root"], config["aliases"])
        self._selector = selectors.DefaultSelector()
        self._commands = holder_commands.Commands(self._selector, config, self._reply)
        self._pending = b""
        self._wake = os.pipe()

    def serve(self) -> None:
        """Runs until the end of the input, then kills everything and ends the process."""
        for end in self._wake:
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        self._selector.register(0, selectors.EVENT_READ, self._input)
        self._selector.register(self._wake[0], selectors.EVENT_READ, self._woken)
        while True:
            for key, _ in self._selector.select(self._commands.wait_s()):
                key.data(key.fd)
            self._commands.reap()
            self._commands.expire()

    def _woken(self, fd: int) -> None:
        os.read(fd, 4096)

    def _input(self, fd: int) -> None:
        chunk = os.read(fd, 1 << 20)
        if not chunk:
            self._commands.kill_everything()
            os._exit(0)
        self._pending += chunk
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        try:
            if message["op"] == "run":
                self._commands.start(message, self._tree.resolve(message["cwd"], follow=True))
                return
            with _undisturbed():
                result = self._do(message)
            self._reply({"id": message["id"], "result": result})
        except (RefusedPathError, holder_commands.NotStartedError) as error:
            kind = "refused" if isinstance(error, RefusedPathError) else "start"
            self._reply({"id": message["id"], "error": {"kind": kind, "text": str(error)}})
        except OSError as error:
            self._reply({"id": message["id"], "error": {"kind": "refused", "text": str(error)}})

    def _do(self, message: dict[str, Any]) -> object:
        path = message.get("path", "")
        match message["op"]:
            case "read":
                return self._tree.read(path)
            case "resolve":
                return self._tree.resolve(path, follow=message["follow"])
            case "write":
                self._tree.write(path, base64.b64decode(message["content"]), message["mode"])
            case "remove":
                self._tree.remove(path)
            case "kill":
                self._commands.kill(message["command"])
            case other:
                raise RefusedPathError(f"no operation named {other}")
        return None

    def _reply(self, message: dict[str, Any]) -> None:
        send(message)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The end of a child waits: it interrupts overlayfs in copying a file up, and not every call is made again."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(message: dict[str, Any]) -> None:
    """Writes one whole line to standard output."""
    data = memoryview(json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n")
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        os._exit(1)


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(1)
        line += byte
    return line


def _raise_walls(walls: dict[str, Any]) -> bool:
    """What a plain copy can have: no network where a namespace can be had, Landlock, no privileges.

    True if it has a network of its own.
    """
    mounts.become_subreaper()
    mounts.prefer_for_killing()
    apart = not walls["network"] and mounts.leave_network()
    if landlock.restrict(walls["readable"], walls["writable"], network=walls["network"] or apart):
        mounts.drop_privileges()
    return apart


def _open_door(config: dict[str, Any], *, apart: bool) -> str:
    """Why there is no door; nothing where there is one, or none was asked for."""
    handle = config.get("door")
    if handle is None:
        return ""
    try:
        if apart:
            from agent_lsp.workspace import holder_door

            holder_door.open_door(handle, config["env"])
            return ""
        os.close(handle)
    except OSError as error:
        return f"its loopback cannot be used ({error.strerror or error})"
    return "it has no network of its own"


def main() -> None:
    """Reads the configuration, enters the namespaces where the kind has some, and serves."""
    config = json.loads(_first_line())
    apart = bool(config["wrapped"])
    try:
        if config["namespaces"] is not None:
            mounts.enter(config["namespaces"])
            config["limits"]["disk"] = config["namespaces"]["disk"]
        elif sys.platform == "linux" and not config["wrapped"]:
            apart = _raise_walls(config["walls"])
        mounts.keep_to_oneself()
        os.makedirs(config["env"]["TMPDIR"], mode=0o700, exist_ok=True)
        os.chdir(config["root"])
        shut = _open_door(config, apart=apart)
    except OSError as error:
        send({"failed": f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"})
        os._exit(1)
    send({"ready": True, "shut": shut} if shut else {"ready": True})
    Holder(config).serve()
