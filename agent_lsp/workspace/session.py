"""Owns our end of a holder: starting it, questions and answers, and its end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.errors import CandidateError, ToolError
from agent_lsp.workspace import process
from agent_lsp.workspace.host_proxy import Door, HostProxy

_READY_S: Final = 20.0
_END_S: Final = 0.5
_GONE_S: Final = 2.0
_PACKAGE: Final = Path(__file__).resolve().parents[2]
MARK: Final = "AGENT_LSP_CANDIDATE"
"""Environment variable by which the processes of a candidate are found when its holder died."""


def holder_argv() -> list[str]:
    """The command that runs a holder with this interpreter and nothing of its environment."""
    code = f"import sys; sys.path.insert(0, {str(_PACKAGE)!r}); from agent_lsp.workspace.holder import main; main()"
    return [sys.executable, "-I", "-S", "-c", code]


class Session:
    """A conversation with one holder. Everything raises CandidateError once the holder is gone."""

    def __init__(self, child: asyncio.subprocess.Process, way: "_Way | None" = None) -> None:
        self._child, self._way = child, way
        self._door: Door | None = None
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._ended = False
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(
        cls, argv: Sequence[str], env: Mapping[str, str], stderr: Path, proxy: HostProxy | None = None
    ) -> "Session":
        """Starts a holder that waits for its configuration. Raises CandidateError.

        With a `proxy` it is asked for a door to that.
        """
        with stderr.open("wb") as errors:
            way = None if proxy is None else _Way.make(proxy)
            kept = () if way is None else (way.theirs.fileno(),)
            try:
                child = await process.start_piped(argv, env=env, cwd=Path("/"), stderr=errors, kept=kept)
            except BaseException as error:
                if way is not None:
                    way.close()
                if isinstance(error, OSError):
                    raise CandidateError(f"{argv[0]} could not be started: {error.strerror}") from error
                raise
        return cls(child, way)

    async def begin(self, config: Mapping[str, Any], stderr: Path) -> None:
        """Configures the holder and waits until the candidate stands. Raises CandidateError with the failing step."""
        try:
            await self._begin(config, stderr)
        except BaseException:
            await self.end()
            raise

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        config: Mapping[str, Any],
        env: Mapping[str, str],
        stderr: Path,
        proxy: HostProxy | None = None,
    ) -> "Session":
        """`spawn` and `begin` in one."""
        session = await cls.spawn(argv, env, stderr, proxy)
        await session.begin(config, stderr)
        return session

    async def _begin(self, config: Mapping[str, Any], stderr: Path) -> None:
        assert self._child.stdout is not None
        self._send(config if self._way is None else {**config, "door": self._way.theirs.fileno()})
        try:
            async with asyncio.timeout(_READY_S):
                line = await self._child.stdout.readline()
        except TimeoutError as error:
            raise CandidateError(f"the candidate was not ready after {_READY_S:.0f} s") from error
        answer = _frame(line)
        if not answer.get("ready"):
            text = answer.get("failed") or stderr.read_text(errors="replace").strip()[-500:] or "it ended at once"
            raise CandidateError(f"the candidate could not be set up: {text}")
        if self._way is not None:
            self._door = self._way.open(str(answer.get("shut", "")))
        self._reader = asyncio.create_task(self._read())

    @property
    def door(self) -> Door | None:
        """What commands in it reach listed hosts by, where there is such a thing."""
        return self._door

    def _send(self, frame: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(frame, separators=(",", ":")).encode("ascii") + b"\n")

    async def _read(self) -> None:
        assert self._child.stdout is not None
        try:
            while line := await self._child.stdout.readline():
                self._settle(_frame(line))
        except (ConnectionError, ValueError):
            pass
        finally:
            self._ended = True
            if self._door is not None:
                self._door.shut()
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(_lost())
                    future.exception()

    def _settle(self, frame: Mapping[str, Any]) -> None:
        future = self._pending.get(frame.get("id", 0))
        if future is None or future.done():
            return
        error = frame.get("error")
        if error is None:
            future.set_result(frame["result"])
        elif error["kind"] == "refused":
            future.set_exception(ToolError(error["text"]))
        else:
            future.set_exception(CandidateError(error["text"]))

    def ask(self, op: str, **arguments: Any) -> tuple[int, "asyncio.Future[Any]"]:
        """Sends a question; gives its id and the future of its answer. Raises CandidateError."""
        self.check()
        self._last_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._last_id
        self._pending[number] = future
        future.add_done_callback(lambda _: self._pending.pop(number, None))
        self._send({"id": number, "op": op, **arguments})
        return number, future

    def check(self) -> None:
        """Raises CandidateError if the holder is gone."""
        if self._ended:
            raise _lost()

    async def call(self, op: str, **arguments: Any) -> Any:
        """A question and its answer. Raises ToolError or CandidateError."""
        return await self.ask(op, **arguments)[1]

    async def command(self, **arguments: Any) -> Mapping[str, Any]:
        """Runs a command; when this is cancelled the command is killed, and dead when the cancel goes on."""
        number, future = self.ask("run", **arguments)
        try:
            answer: Mapping[str, Any] = await asyncio.shield(future)
        except asyncio.CancelledError:
            if not self._ended:
                self.ask("kill", command=number)
                with contextlib.suppress(CandidateError, ToolError, TimeoutError):
                    await asyncio.wait_for(asyncio.shield(future), _END_S)
            raise
        return answer

    async def end(self) -> bool:
        """Ends the holder and everything in it. Safe to repeat and after its death.

        False if the holder did not go in good order, so that what it held may still be dying.
        """
        self._ended = True
        if self._way is not None:
            self._way.close()
        if self._door is not None:
            self._door.shut()
        stdin = self._child.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.close()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), _END_S)
        finally:
            await process.end_group(self._child)
            if self._door is not None:
                await self._door.close()
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
        return self._child.returncode == 0


@dataclass(frozen=True, slots=True)
class _Way:
    """The pair of sockets over which a holder hands its door to us."""

    proxy: HostProxy
    ours: socket.socket
    theirs: socket.socket

    @classmethod
    def make(cls, proxy: HostProxy) -> "_Way":
        return cls(proxy, *socket.socketpair())

    def open(self, shut: str) -> Door | None:
        """Takes what the holder has sent, unless it says why there is nothing."""
        try:
            self.ours.setblocking(False)
            handles = [] if shut else socket.recv_fds(self.ours, 16, 1, socket.MSG_CMSG_CLOEXEC)[1]
            if handles:
                return self.proxy.open(socket.socket(fileno=handles[0]))
        except OSError as error:
            shut = str(error)
        finally:
            self.close()
        self.proxy.missing(shut or "too many files are open")
        return None

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def kill_marked(mark: str) -> None:
    """Kills every process whose environment carries a candidate's mark, and waits until they are gone (Linux)."""
    end_s = time.monotonic() + _GONE_S
    while sys.platform == "linux" and _kill_once(f"{MARK}={mark}".encode()) and time.monotonic() < end_s:
        time.sleep(0.005)


def _kill_once(wanted: bytes) -> bool:
    found = False
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue
    return found


def _frame(line: bytes) -> Mapping[str, Any]:
    try:
        frame = json.loads(line)
    except ValueError:
        return {}
    return frame if isinstance(frame, dict) else {}


def _lost() -> CandidateError:
    return CandidateError("the candidate's holder process ended", hint="The candidate is lost; a new one is needed.")
