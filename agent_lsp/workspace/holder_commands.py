"""Owns the commands that run inside a candidate: their processes, output, time-outs and ends. Holder only."""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH108, PTH118, PTH123, PTH208

import base64
import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from agent_lsp.workspace import holder_ahead, holder_watch, landlock

_PR_SET_PDEATHSIG = 1
_GRACE_S = 0.2
_FORKS, _FORK_PAUSE_S = 150, 0.02
_ROUNDS, _ROUND_PAUSE_S = 40, 0.001


class NotStartedError(Exception):
    """A program could not be started."""


class _Running:
    """One command: its process group, what it has written, and until when it may run."""

    def __init__(self, message: dict[str, Any], pid: int, out: int, *, began_s: float, note: str | None) -> None:
        self.id, self.pid, self.out = message["id"], pid, out
        self.note = note
        self.half = max(1, message["limit"] // 2)
        self.began_s = began_s
        self.until_s: float = self.began_s + message["timeout_s"]
        self.timed_out = False
        self.stopped = ""
        self.head, self.tail, self.dropped = bytearray(), bytearray(), 0

    def add(self, chunk: bytes) -> None:
        room = max(0, self.half - len(self.head))
        self.head += chunk[:room]
        self.tail += chunk[room:]
        if len(self.tail) > 2 * self.half:
            self.trim()

    def trim(self) -> None:
        extra = len(self.tail) - self.half
        if extra > 0:
            del self.tail[:extra]
            self.dropped += extra

    def output(self) -> bytes:
        self.trim()
        end = f"\n[agent-lsp stopped this command: {self.stopped}]\n".encode() if self.stopped else b""
        if not self.dropped:
            return bytes(self.head + self.tail) + end
        note = f"\n[... {self.dropped} bytes left out ...]\n".encode()
        return bytes(self.head) + note + bytes(self.tail) + end

    def kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


class Commands:
    """All commands of one candidate. `reply` sends a message to whoever asked."""

    def __init__(
        self, selector: selectors.BaseSelector, config: dict[str, Any], reply: Callable[[dict[str, Any]], None]
    ) -> None:
        self._selector, self._reply = selector, reply
        self._root, self._env = config["root"], config["env"]
        self._dies_with_holder = not config["wrapped"] and config["namespaces"] is None
        self._limits = config["limits"]
        self._watch = holder_watch.Watch(self._limits, self._others)
        self._running: dict[int, _Running] = {}
        self._ahead = holder_ahead.Ahead(selector, self._spawn, self._forked, self._refused)

    def _others(self) -> list[int]:
        return _descendants(os.getpid()) if self._dies_with_holder else holder_watch.pids_of_namespace()

    def start(self, message: dict[str, Any], cwd: str) -> None:
        """Starts a command; the reply follows when it has ended. Raises NotStartedError."""
        message["began_s"] = time.monotonic()
        env = {**self._env, **message["env"]}
        folder = os.path.normpath(os.path.join(self._root, cwd))
        if message.get("prepared") is None:
            self._execute(message, folder, env)
            return
        env["PWD"] = folder
        if self._dies_with_holder:
            note = "a plain copy has no process namespace of its own"
        else:
            note = self._ahead.take(message, folder, env)
        if note:
            self._execute(message, folder, env, note)

    def _execute(self, message: dict[str, Any], folder: str, env: dict[str, str], note: str | None = None) -> None:
        out, into = os.pipe()
        source = _input_file(message.get("stdin"))
        try:
            pid = self._spawn({**message, "folder": folder, "env": env}, (source, into), {})
        except BaseException:
            os.close(out)
            raise
        finally:
            for fd in (into, source):
                os.close(fd)
        self._add(message, pid, out, note)

    def _add(self, message: dict[str, Any], pid: int, out: int, note: str | None) -> None:
        os.set_blocking(out, False)
        if not self._running:
            self._watch.begin()
        self._running[pid] = _Running(message, pid, out, began_s=message["began_s"], note=note)
        self._selector.register(out, selectors.EVENT_READ, lambda _fd: self._output(pid))

    def _forked(self, order: holder_ahead.Order, pid: int) -> None:
        self._add(order.message, pid, order.out, "")
        if order.cancelled:
            self._running[pid].kill_group()

    def _refused(self, order: holder_ahead.Order, note: str) -> None:
        try:
            self._execute(order.message, order.folder, order.env, note)
            if order.cancelled:
                self.kill(order.message["id"])
        except NotStartedError as error:
            self._reply({"id": order.message["id"], "error": {"kind": "start", "text": str(error)}})

    def _spawn(self, message: dict[str, Any], files: tuple[int, int], kept: dict[int, int]) -> int:
        """A process in `folder` with `env`; `kept` are further descriptors by the numbers that they get."""
        trouble, trouble_into = os.pipe()
        try:
            pid = self._fork()
        except NotStartedError:
            os.close(trouble)
            os.close(trouble_into)
            raise
        if pid == 0:
            try:
                for fd, number in kept.items():
                    os.dup2(fd, number)
                self._become(message, files, message["folder"], message["env"])
            except BaseException as error:  # noqa: BLE001 - a forked child must not return
                os.write(trouble_into, str(getattr(error, "strerror", None) or error).encode()[:1000])
            os._exit(127)
        os.close(trouble_into)
        text = os.read(trouble, 4096).decode(errors="replace")
        os.close(trouble)
        if text:
            os.waitpid(pid, 0)
            raise NotStartedError(f"could not start {message['argv'][0]}: {text}")
        return pid

    def _fork(self) -> int:
        """A new process. Those that were killed for being too many may take a moment to be gone."""
        for _ in range(_FORKS):
            try:
                return os.fork()
            except BlockingIOError:
                if self._running:
                    break
                self._kill_others()
                self._reap_quietly()
                time.sleep(_FORK_PAUSE_S)
        raise NotStartedError("no more processes can be started in this candidate")

    def _become(self, message: dict[str, Any], files: tuple[int, int], folder: str, env: dict[str, str]) -> None:
        os.setsid()
        if self._dies_with_holder and sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(files[0], 0)
        os.dup2(files[1], 1)
        if message.get("quiet"):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        else:
            os.dup2(files[1], 2)
        if self._dies_with_holder:
            landlock.spare_the_holder()
        holder_watch.limit_own(self._limits, in_namespace=not self._dies_with_holder)
        os.chdir(folder)
        os.execvpe(message["argv"][0], message["argv"], {**env, "PWD": folder})  # noqa: S606 - no shell, on purpose

    def _output(self, pid: int) -> bool:
        """Reads what there is; False at the end."""
        running = self._running[pid]
        if running.out < 0:
            return False
        try:
            chunk = os.read(running.out, 1 << 16)
        except BlockingIOError:
            return False
        if chunk:
            running.add(chunk)
            return True
        self._close_output(running)
        return False

    def _close_output(self, running: _Running) -> None:
        if running.out >= 0:
            self._selector.unregister(running.out)
            os.close(running.out)
            running.out = -1

    def reap(self) -> None:
        """Collects every process that has ended, orphans included, and answers for commands."""
        while True:
            try:
                pid, status = self._ahead.next_end()
            except ChildProcessError:
                return
            if pid == 0:
                return
            running = self._running.get(pid)
            if self._ahead.ended(pid) or running is None:
                continue
            running.kill_group()
            began_s = time.monotonic()
            while self._output(pid) and time.monotonic() - began_s < _GRACE_S:
                pass
            self._close_output(running)
            del self._running[pid]
            if not self._running and not self._ahead.waits:
                self._kill_others()
            self._answer(running, os.waitstatus_to_exitcode(status))

    def _answer(self, running: _Running, status: int) -> None:
        result: dict[str, Any] = {
            "status": None if running.timed_out else status,
            "timed_out": running.timed_out,
            "duration_s": time.monotonic() - running.began_s,
            "output": base64.b64encode(running.output()).decode("ascii"),
        }
        if running.note is not None:
            result |= {"forked": not running.note, "note": running.note, "skipped": self._ahead.skipped}
        self._reply({"id": running.id, "result": result})

    def wait_s(self) -> float | None:
        """Seconds until the next time-out or look at what is used; None while nothing runs."""
        ahead_s = self._ahead.wait_s()
        if not self._running:
            return ahead_s
        times: list[float] = [
            running.until_s - time.monotonic() for running in self._running.values() if not running.timed_out
        ]
        times += [] if ahead_s is None else [ahead_s]
        return max(0.0, min((*times, self._watch.wait_s())))

    def expire(self) -> None:
        """Kills the group of every command whose time is over, and everything when a limit is passed."""
        self._ahead.expire()
        for running in self._running.values():
            if not running.timed_out and time.monotonic() >= running.until_s:
                running.timed_out = True
                running.kill_group()
        reason = self._watch.reason() if self._running else ""
        if reason:
            self._ahead.end(reason)
            for running in self._running.values():
                running.stopped = running.stopped or reason
                running.kill_group()
            self._kill_others()

    def kill(self, command_id: int) -> None:
        """Kills one command by the id of its request; its answer follows as usual."""
        self._ahead.cancel(command_id)
        for running in self._running.values():
            if running.id == command_id:
                running.kill_group()

    def kill_everything(self) -> None:
        """Kills commands and every descendant. In a namespace the end of the holder does the rest."""
        for running in self._running.values():
            running.kill_group()
        if not self._dies_with_holder:
            return
        for _ in range(50):
            self._kill_descendants()
            self._reap_quietly()
            if not _descendants(os.getpid()):
                return
            time.sleep(0.002)

    def _kill_others(self) -> None:
        """Kills what commands left behind: daemons that are in no group of theirs."""
        if self._dies_with_holder:
            self._kill_descendants()
        elif os.getpid() == 1 and not self._kill_all_but_one():
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _kill_all_but_one(self) -> bool:
        """Spares the process that waits for test runs, where there is one and nothing else is left soon."""
        for _ in range(_ROUNDS if self._ahead.pid else 0):
            others = [pid for pid in _alive() if _group(pid) != self._ahead.pid]
            if not others:
                return True
            for pid in others:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(_ROUND_PAUSE_S)
        return False

    def _kill_descendants(self) -> None:
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _reap_quietly(self) -> None:
        try:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._ahead.ended(pid)
        except ChildProcessError:
            return


def _input_file(text: str | None) -> int:
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    reading, writing = os.pipe()
    data = base64.b64decode(text)
    if len(data) <= 4096:
        os.write(writing, data)
        os.close(writing)
        return reading
    os.close(reading)
    os.close(writing)
    import tempfile

    handle, name = tempfile.mkstemp()
    os.unlink(name)
    while data:
        data = data[os.write(handle, data) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _alive() -> list[int]:
    """Every other process of this namespace that has not ended, whether its end was seen or not."""
    return [pid for pid in holder_watch.pids_of_namespace() if pid in _parents([pid])]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _descendants(top: int) -> list[int]:
    """Processes below a process, as /proc tells; empty where there is no /proc."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    parents = _parents(pids)
    found, grew = {top}, True
    while grew:
        new = {pid for pid, parent in parents.items() if parent in found} - found
        found |= new
        grew = bool(new)
    return sorted(found - {top})


def _parents(pids: list[int]) -> dict[int, int]:
    """The parent of each that has not ended."""
    parents: dict[int, int] = {}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rsplit(b")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if fields[0] not in (b"Z", b"X"):
            parents[pid] = int(fields[1])
    return parents
