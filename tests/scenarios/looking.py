"""Owns how scenario tests look at what is really there (journal, bytes, processes, candidates), and a next editor."""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.anthropic_server import AnthropicServer
from tests.scenarios.scene import SERVE, WAIT_S, Scene, command_line, descendants, environment, parent_of
from tests.server.raw_client import VSCODE, RawClient, aware

KEY = "sk-ant-api03-scenario-0123456789abcdef"
"""The key that `scene.environment` gives the server."""


@dataclass(frozen=True)
class Fact:
    """One event of the journal."""

    run_id: str
    kind: str
    data: dict[str, Any]


def journal(root: Path, run_id: str | None = None) -> list[Fact]:
    """What the journal of a workspace holds by now, oldest first."""
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database:
        rows = database.execute("SELECT run_id, kind, data FROM events ORDER BY seq").fetchall()
    facts = [Fact(row[0], row[1], json.loads(row[2])) for row in rows]
    return [fact for fact in facts if run_id in (None, fact.run_id)]


def kept_bytes(root: Path) -> bytes:
    """Everything in `.agent-lsp`: the log, the database and its companions."""
    return b"\n".join(path.read_bytes() for path in sorted((root / ".agent-lsp").rglob("*")) if path.is_file())


def told_bytes(scene: Scene) -> bytes:
    """Everything that the server has written to its editor, standard error included."""
    return json.dumps(scene.client.messages).encode() + bytes(scene.client.stderr)


def folder_of(scene: Scene) -> Path:
    """The folder that holds the scene's project and its home, as `stage` makes them."""
    return scene.root.parent


def candidates(scene: Scene) -> list[str]:
    """Folders of candidates in the scene's cache."""
    return sorted(str(path) for path in folder_of(scene).glob("home*/cache/*/candidates/*"))


def strays(scene: Scene) -> list[str]:
    """Processes of the scene, wherever they hang, without the server and its runtime."""
    mark = os.fsencode(folder_of(scene))
    own = {os.getpid(), scene.client.process.pid}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in own and _belongs(entry, mark):
            line = command_line(int(entry.name))
            if line and "agent_lsp runtime" not in line:
                found.append(f"{entry.name} {line}")
    return found


def runtimes(scene: Scene) -> list[int]:
    """The runtime processes of the scene, without a child of one that has not yet become another program."""
    mark = str(scene.root)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [pid for pid in pids if "agent_lsp runtime" in (line := command_line(pid)) and mark in line]
    return [pid for pid in found if (parent := parent_of(pid)) and parent not in found]  # 0: it went meanwhile


def below_the_runtime(scene: Scene) -> list[str]:
    """Command lines below the scene's runtime."""
    return [line for pid in runtimes(scene) for line in descendants(pid)]


async def eventually(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """The first true value of a condition. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    return value


async def journalled(root: Path, run_id: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """What the journal holds of one kind, once there is so much of it: it is written behind what the editor is told."""

    def found() -> list[dict[str, Any]]:
        return [fact.data for fact in journal(root, run_id) if fact.kind == kind]

    await eventually(lambda: len(found()) >= count)
    return found()


async def nothing_left(scene: Scene, timeout_s: float) -> float:
    """Seconds until no process and no candidate of the scene is left; what is left fails the test."""
    began = time.monotonic()
    while left := [*strays(scene), *candidates(scene)]:
        assert time.monotonic() - began < timeout_s, f"left behind after {timeout_s} s: {left}"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def running(scene: Scene, words: str) -> None:
    """Returns when a process with these words runs for the scene."""
    await eventually(lambda: [line for line in scene.processes() if words in line])


@asynccontextmanager
async def editor_on(
    root: Path, model: AnthropicServer | None, *, env: Mapping[str, str] | None = None, process_id: int | None = None
) -> AsyncIterator[Scene]:
    """A server of its own on a project that `stage` made before, or on a folder beside `home0`."""
    scene = Scene(root, RawClient(), model)
    await scene.client.start(SERVE, cwd=root, env=environment(root.parent / "home0", model, env or {}))
    try:
        await scene.client.initialize(aware(VSCODE), root, process_id=process_id)
        yield scene
    finally:
        await scene.client.kill()


def _belongs(entry: Path, mark: bytes) -> bool:
    for name in ("cmdline", "environ", "mountinfo"):
        try:
            if mark in (entry / name).read_bytes():
                return True
        except OSError:
            continue
    try:
        return mark in os.fsencode((entry / "cwd").readlink())
    except OSError:
        return False
