"""Owns the judging of a conversation from between: for clients that are not tests/server/raw_client.py.

    python -m tests.judge.proxy LOG COMMAND …     # stands in for the server COMMAND; LOG gets what is wrong, at the end

Bytes go through as they are; frames are read on the way. Told is what the server says wrongly, what any client says
wrongly in our own messages, and what a server that was shut down in order never answered. `PID` in the name of LOG
stands for the number of this process: each start of a server has a log of its own, and a file `.began` beside it.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.judge.judge import Judge

ROOT = Path(__file__).parents[2]


def through(log: Path, command: list[str]) -> list[str]:
    """The command that judges another, into the log, or one a start where its name has `PID` in it."""
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {_MAIN}", str(log), *command]


async def judged(log: Path) -> list[str]:
    """What the server said wrongly, once it has left."""
    async with asyncio.timeout(60):
        while not log.exists():
            await asyncio.sleep(0.02)
    wrong: list[str] = json.loads(log.read_text(encoding="utf-8"))
    return wrong


async def all_judged(folder: Path) -> list[str]:
    """What was said wrongly in any of the conversations whose logs are in a folder, once all have ended."""
    wrong: list[str] = []
    for began in sorted(folder.glob("*.began")):
        async with asyncio.timeout(60):
            while Path("/proc", began.stem).exists():
                await asyncio.sleep(0.02)
        wrong += await judged(began.with_suffix(".json"))
    return wrong


_OURS = re.compile(r"client: (?:(?:result|error) of )?(?:agent/|memory/|workspace/executeCommand)")
_MAIN = "from tests.judge.proxy import main; sys.exit(main())"


def main() -> int:
    """Runs the server; its exit status."""
    name, *command = sys.argv[1:]
    log = Path(name.replace("PID", str(os.getpid())))
    if "PID" in name:
        log.with_suffix(".began").touch()
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    judge, lock = Judge(), threading.Lock()
    closing: list[object] = []
    closed: list[bool] = []

    def client_says(message: Any) -> None:
        judge.client_says(message)
        if isinstance(message, dict) and message.get("method") == "shutdown":
            closing.append(message.get("id"))

    def server_says(message: Any) -> None:
        judge.server_says(message)
        if closing and isinstance(message, dict) and "method" not in message and message.get("id") in closing:
            closed.append(True)
            _write(log, judge)  # an editor may kill what it has shut down

    def to_server() -> None:
        assert server.stdin is not None
        _pump(sys.stdin.buffer, server.stdin, client_says, lock)
        server.stdin.close()

    threading.Thread(target=to_server, daemon=True).start()
    _pump(server.stdout, sys.stdout.buffer, server_says, lock)
    status = server.wait()
    with lock:
        if closed and status == 0:
            judge.problems += [f"server: {method}: was never answered" for method in judge.unanswered()]
        _write(log, judge)
    if status < 0:  # killed: the thread still reads from the editor, and an ordinary exit would wait for its lock
        sys.stdout.flush()
        os._exit(128 - status)
    return status


def _write(log: Path, judge: Judge) -> None:
    part = log.with_name(log.name + ".part")
    wrong = [problem for problem in judge.problems if problem.startswith("server:") or _OURS.match(problem)]
    part.write_text(json.dumps(wrong), encoding="utf-8")
    part.rename(log)


def _pump(source: IO[bytes], sink: IO[bytes], say: Callable[[object], None], lock: threading.Lock) -> None:
    """Passes frames on, one at a time."""
    while head := _head(source):
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = source.read(length)
        with lock:
            say(json.loads(body))
        try:
            sink.write(head + body)
            sink.flush()
        except OSError:
            return


def _head(source: IO[bytes]) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = source.readline()
        if not line:
            return b""
        head += line
    return head
