"""A server with the fake runtime behind it: `serve.py`, or `serve.py tcp` and `serve.py ws` for several clients.

Settings come from the environment.

FAKE_RUNTIME: JSON for the runtime's script (tests/server/fake_runtime.py). SLOW_START_S: delay of its start.
PRINT_ON_STDOUT: what the application prints when it is initialized. EXECUTE: Python that runs then, in a thread.
NO_PIDFD: as on a system without them.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_lsp.server.address import Listening
from agent_lsp.server.main import EdgeDependencies, serve_listening, serve_stdio


@dataclass
class FakeProcess:
    """A RuntimeProcess over a real child."""

    child: asyncio.subprocess.Process

    @property
    def reader(self) -> asyncio.StreamReader:
        assert self.child.stdout is not None
        return self.child.stdout

    @property
    def writer(self) -> asyncio.StreamWriter:
        assert self.child.stdin is not None
        return self.child.stdin

    @property
    def pid(self) -> int:
        return self.child.pid

    async def wait(self) -> int:
        return await self.child.wait()

    def kill(self) -> None:
        if self.child.returncode is None:
            self.child.kill()


async def start_runtime(root: Path, settings: Mapping[str, Any]) -> FakeProcess:
    await asyncio.sleep(float(os.environ.get("SLOW_START_S", "0")))
    if os.environ.get("START_FAILS"):
        raise OSError("no such program")
    from agent_lsp.link.peer import LINE_LIMIT_BYTES

    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("fake_runtime.py")),
        str(root),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT_BYTES,
    )
    return FakeProcess(child)


def read_log(root: Path, lines: int, errors_only: bool) -> tuple[str, str]:
    path = root / ".agent-lsp" / "copilot_console.log"
    if os.environ.get("SLOW_LOG_S"):
        time.sleep(float(os.environ["SLOW_LOG_S"]))
    return f"{lines} lines{' of errors' if errors_only else ''}", str(path)


def on_initialized(roots: list[Path], options: Any) -> None:
    if text := os.environ.get("PRINT_ON_STDOUT"):
        print(text, flush=True)
        os.write(1, text.encode())
        os.system("echo from a child")
    if code := os.environ.get("EXECUTE"):
        exec(code)
    print("initialized", [str(root) for root in roots], options, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if os.environ.get("NO_PIDFD"):
        del os.pidfd_open
    dependencies = EdgeDependencies(start_runtime, read_log, on_initialized, "0.0.test")
    if len(sys.argv) > 1:
        sys.exit(serve_listening(dependencies, Listening("ws" if sys.argv[1] == "ws" else "tcp", "127.0.0.1", 0)))
    sys.exit(serve_stdio(dependencies))
