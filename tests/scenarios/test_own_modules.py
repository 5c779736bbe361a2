"""A workspace whose files are named as modules of Python or of ours: none of them runs in our processes."""

import asyncio
import sys
from pathlib import Path

from tests.scenarios.scene import WAIT_S, environment
from tests.server.raw_client import VSCODE, RawClient, aware

NAMES = ("secrets.py", "anthropic.py", "sqlite3.py", "agent_lsp/__init__.py")
LOUD = "import pathlib\n\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise ImportError('another was meant')\n"


async def test_the_runtime_loads_no_module_from_the_workspace(tmp_path: Path) -> None:
    root, home = tmp_path / "project", tmp_path / "home"
    home.mkdir()
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(LOUD)
    client = RawClient()
    # As an installed `agent-lsp` starts: without the folder that it is started in among the places of modules.
    await client.start([sys.executable, "-P", "-m", "agent_lsp", "serve"], cwd=root, env=environment(home, None, {}))
    try:
        await client.initialize(aware(VSCODE), root)
        async with asyncio.timeout(WAIT_S):
            while (answer := await client.command("agent.checkpoints", {})).get("error", {}).get("code") == "timeout":
                pass  # a loaded machine is not a failure
    finally:
        await client.kill()
    assert answer == {"checkpoints": []}
    assert list(root.rglob("*.ran")) == []
