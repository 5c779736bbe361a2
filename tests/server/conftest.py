"""Servers under test: real processes over real pipes, ended when the test ends."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.raw_client import VSCODE, Json, RawClient

SERVE = [sys.executable, str(Path(__file__).with_name("serve.py"))]

CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"

Connect = Callable[..., Awaitable[RawClient]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace folder with a wrong `add` and a test of it."""
    folder = tmp_path / "work space"
    (folder / "tests").mkdir(parents=True)
    (folder / "calc.py").write_text(CALC)
    (folder / "other.py").write_text("def sub(a, b):\n    return a - b\n")
    (folder / "tests" / "test_calc.py").write_text(
        "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    )
    return folder


@pytest.fixture
async def connect(root: Path) -> AsyncIterator[Connect]:
    """Starts and initializes a server: `await connect(profile, *roots, env={…}, options=…)`."""
    clients: list[RawClient] = []

    async def start(profile: Json = VSCODE, *roots: Path, env: dict[str, str] | None = None, **more: Any) -> RawClient:
        client = RawClient()
        clients.append(client)
        await client.start(SERVE, env=env)
        await client.initialize(profile, *(roots or (root,)), **more)
        return client

    yield start
    for client in clients:
        await client.kill()


@pytest.fixture
async def client(connect: Connect) -> RawClient:
    """A server with a client like VS Code, on `root`."""
    return await connect()
