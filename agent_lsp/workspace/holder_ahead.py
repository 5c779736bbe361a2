"""Owns the holder's end of a process that waits with what test runs load first: its start, orders to it, its end.

The process (runners/inject/agent_lsp_prepared.py) becomes a command by forking a child that the holder adopts. Whatever
is not as it should be ends in a reason, and the command is started like any other. Holder only.
"""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH108

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import Any

COMMANDS, REPLIES = 500, 501
"""Numbers of its descriptors: the low ones stay free for what it becomes."""

_LOAD_S = 60.0
_FORK_S = 5.0
_WORDS_BYTES = 2000


class Order:
    """A command that is to be forked: `out` is read by the holder, `into` keeps it from ending too early."""

    __slots__ = ("cancelled", "env", "folder", "into", "message", "out", "path", "until_s")

    def __init__(self, message: dict[str, Any], folder: str, env: dict[str, str], way: tuple[str, int, int]) -> None:
        self.message, self.folder, self.env = message, folder, env
        self.path, self.out, self.into = way
        self.until_s = time.monotonic() + _FORK_S
        self.cancelled = False

    def drop(self) -> None:
        """Nothing was forked for it."""
        os.close(self.out)
        os.close(self.into)
        try:
            os.unlink(self.path)
        except OSError:
            return


class Ahead:
    """At most one such process. `forked` hears of a command that runs, `refused` of one that must start by itself."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        spawn: Callable[[dict[str, Any], tuple[int, int], dict[int, int]], int],
        forked: Callable[[Order, int], None],
        refused: Callable[[Order, str], None],
    ) -> None:
        self._selector, self._spawn, self._forked, self._refused = selector, spawn, forked, refused
        self.pid = 0
        self._key, self._reason, self._ready = "", "", False
        self._skipped: dict[str, str] = {}
        self._commands = self._replies = self._words = -1
        self._until_s = 0.0
        self._pending, self._said = b"", b""
        self._orders: dict[int, Order] = {}

    @property
    def waits(self) -> bool:
        """Whether a command is about to be forked."""
        return bool(self._orders)

    @property
    def skipped(self) -> dict[str, str]:
        """What it did not load, and why."""
        return self._skipped

    def take(self, message: dict[str, Any], folder: str, env: dict[str, str]) -> str:
        """Has a command forked, or says why not; then starts what is needed for the next one."""
        wanted = message["prepared"]
        if wanted["key"] != self._key:
            self.end("another one is to be loaded")
            self._key, self._reason, self._skipped = wanted["key"], "", {}
            self._start({**message, "argv": [*wanted["argv"], str(COMMANDS), str(REPLIES)]}, folder, env)
        if self._reason:
            return self._reason
        if not self._ready:
            return "it is being loaded"
        try:
            order = _order(message, folder, env)
        except OSError as error:
            return f"no pipe could be made ({error.strerror})"
        self._orders[message["id"]] = order
        line = {"run": message["id"], "output": order.path, "argv": message["argv"], "cwd": folder, "env": env}
        try:
            data = memoryview(json.dumps(line).encode("ascii") + b"\n")
            while data:
                data = data[os.write(self._commands, data) :]
        except OSError:
            self._kill()
        return ""

    def _start(self, message: dict[str, Any], folder: str, env: dict[str, str]) -> None:
        words, words_into = os.pipe()
        orders, commands = os.pipe()
        replies, answers = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            files = {orders: COMMANDS, answers: REPLIES}
            self.pid = self._spawn({**message, "folder": folder, "env": env}, (nothing, words_into), files)
        except Exception as error:  # noqa: BLE001 - without it, everything starts by itself
            self._reason = f"it could not be started: {error}"
            for fd in (words, commands, replies):
                os.close(fd)
            return
        finally:
            for fd in (words_into, orders, answers, nothing):
                os.close(fd)
        self._commands, self._replies, self._words = commands, replies, words
        self._until_s = time.monotonic() + _LOAD_S
        for fd in (words, replies, commands):
            os.set_blocking(fd, False)
        self._selector.register(words, selectors.EVENT_READ, lambda _fd: self._listen())
        self._selector.register(replies, selectors.EVENT_READ, lambda _fd: self.read())

    def _listen(self) -> None:
        try:
            chunk = os.read(self._words, 1 << 16)
        except BlockingIOError:
            return
        self._said = (self._said + chunk)[-_WORDS_BYTES:]
        if not chunk:
            self._selector.unregister(self._words)
            os.close(self._words)
            self._words = -1

    def read(self) -> None:
        """Takes what it has answered by now."""
        if self._replies < 0:
            return
        try:
            chunk = os.read(self._replies, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._selector.unregister(self._replies)
            os.close(self._replies)
            self._replies = -1
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                self._answer(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):  # code under test may write there too
                self.end("it answered nonsense")
                return

    def _answer(self, reply: dict[str, Any]) -> None:
        if reply.get("ready"):
            self._ready, self._skipped = True, reply["skipped"]
            return
        doubt = str(reply.get("doubt", ""))
        self._reason = self._reason or doubt
        order = self._orders.pop(reply.get("run", 0), None)
        if order is None:
            return
        pid = reply.get("pid")
        if isinstance(pid, int) and _is_child(pid):
            os.close(order.into)
            self._forked(order, pid)
        else:
            order.drop()
            self._refused(order, doubt or "it forked nothing")

    def next_end(self) -> tuple[int, int]:
        """A process that has ended, with its status; (0, 0) for none. Raises ChildProcessError where there is nobody.

        What it has said before is read first, so that a child that it forked is known when it has ended.
        """
        if not self._orders:
            return os.waitpid(-1, os.WNOHANG)
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return 0, 0
        self.read()
        return os.waitpid(found.si_pid, 0)

    def cancel(self, command_id: int) -> None:
        """The command is not wanted any more, whenever it comes to run."""
        if command_id in self._orders:
            self._orders[command_id].cancelled = True

    def ended(self, pid: int) -> bool:
        """A process ended: whether it was this one."""
        if pid != self.pid:
            return False
        self.read()
        if not self._reason:
            said = self._said.decode(errors="replace").strip().splitlines()
            self._reason = f"it ended by itself: {said[-1][:200]}" if said else "it ended by itself"
        self._clear()
        return True

    def wait_s(self) -> float | None:
        """Seconds until it has taken too long for something."""
        times = [order.until_s for order in self._orders.values()]
        if self.pid and not self._ready:
            times.append(self._until_s)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def expire(self) -> None:
        """Ends it where it takes too long."""
        if self.wait_s() == 0.0:
            self.end("it took too long")

    def end(self, reason: str) -> None:
        """Kills it, with what it has forked and not told yet; commands that wait for it start by themselves."""
        self._reason = self._reason or reason
        self._kill()
        self.read()
        self._clear()

    def _kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _clear(self) -> None:
        self.pid, self._ready = 0, False
        for fd in (self._words, self._replies):
            if fd >= 0:
                self._selector.unregister(fd)
                os.close(fd)
        if self._commands >= 0:
            os.close(self._commands)
        self._commands = self._replies = self._words = -1
        self._pending = self._said = b""
        orders, self._orders = list(self._orders.values()), {}
        for order in orders:
            order.drop()
            self._refused(order, self._reason)


def _is_child(pid: int) -> bool:
    """Whether it is a child of the holder, ended or not."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (OSError, OverflowError):
        return False
    return True


def _order(message: dict[str, Any], folder: str, env: dict[str, str]) -> Order:
    path = f"{env['TMPDIR']}/.agent-lsp-{os.urandom(8).hex()}"
    os.mkfifo(path, 0o600)
    try:
        out = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        into = os.open(path, os.O_WRONLY)
    except OSError:
        os.unlink(path)
        raise
    return Order(message, folder, env, (path, out, into))
