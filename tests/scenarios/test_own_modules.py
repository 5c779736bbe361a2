"""A workspace whose files are named as modules of Python or of ours: none of them runs in our processes."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.scenarios.scene import WAIT_S, environment
from tests.server.raw_client import VSCODE, RawClient, aware

NAMES = ("secrets.py", "anthropic.py", "sqlite3.py", "lsprotocol.py")
OURS = "agent_lsp/__init__.py"
LOUD = "import pathlib\n\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise ImportError('another was meant')\n"


@pytest.mark.parametrize("flags", [["-P"], []], ids=["-P", "as people write it"])
async def test_no_module_of_the_workspace_is_loaded(tmp_path: Path, flags: list[str]) -> None:
    """Without -P, Python itself takes a package of our name from there; all else is kept out."""
    root, home = tmp_path / "project", tmp_path / "home"
    home.mkdir()
    for name in [*NAMES, OURS] if flags else NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(LOUD)
    client = RawClient()
    await client.start([sys.executable, *flags, "-m", "agent_lsp", "serve"], cwd=root, env=environment(home, None, {}))
    try:
        await client.initialize(aware(VSCODE), root)
        async with asyncio.timeout(WAIT_S):
            while (answer := await client.command("agent.checkpoints", {})).get("error", {}).get("code") == "timeout":
                pass  # a loaded machine is not a failure
    finally:
        await client.kill()
    assert answer == {"checkpoints": []}
    assert list(root.rglob("*.ran")) == []
