"""A real VS Code finds the server on the PATH, by the Python extension, or installs it; and its status says which."""

import asyncio
import os
import shutil
import signal
import sys
import zipfile
from pathlib import Path

import pytest

from tests.editors.code_server import missing, servers_of
from tests.editors.vscode_desk import Desk, picture
from tests.editors.vscode_window import Window
from tests.judge.proxy import through
from tests.scenarios.scene import PROJECT

pytestmark = [
    pytest.mark.editor,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


async def test_the_server_is_found_where_the_docs_say_or_installed_and_the_status_says_how_it_is(desk: Desk) -> None:
    window = await desk.open("found", PROJECT)
    await window.show("calc.py")
    place = desk.base / "places"
    place.mkdir()
    path = f"{_programs(place / 'path', window.judged)}{os.pathsep}{os.environ['PATH']}"
    await window.host(_PLACES, {"path": path})
    await window.host(_NO_SETTING)
    by_path = await status(window, "from PATH")

    await window.host(_PLACES, {"path": path, "python": sys.executable})
    await window.palette("Agent: Restart Server")
    by_python = await status(window, "from the interpreter")
    await _kill(window, 4)
    ended = await status(window, "the server ended")
    await window.host(_PLACES, {"path": str(_bare(place / "bare"))})
    await window.palette("Agent: Restart Server")
    none = await status(window, "no server")
    await picture(window, "missing")
    refused = await _answered(window, "the server was not found", "Agent: Doctor")

    await window.host(_PACKAGE, str(_wheel(place)))
    await window.palette("Agent: Install Server…")
    await window.notification("Install it with pip", "Install")
    installed = await status(window, "from the extension's own environment")

    assert sys.executable in by_python
    assert "it starts again in" in ended
    assert "Install" in none
    assert "from PATH" in by_path
    assert "nothing can be examined" in refused
    assert "environment" in installed
    assert await window.wrong() == []


_PLACES = """process.env.PATH = args.path;
process.env.PIP_NO_INDEX = '1';
process.env.PIP_CONFIG_FILE = '/dev/null';
delete process.env.PIP_FIND_LINKS;
globalThis.chosenPython = args.python;"""
_NO_SETTING = """const settings = vscode.workspace.getConfiguration('agentLsp');
await settings.update('server.path', [], vscode.ConfigurationTarget.Workspace);"""
_PACKAGE = """const settings = vscode.workspace.getConfiguration('agentLsp');
await settings.update('server.package', args, vscode.ConfigurationTarget.Global);"""


async def status(window: Window, words: str) -> str:
    """The language status of the editor, once it says so."""
    return str(
        await window.page(
            """const item = page.locator('.statusbar-item[id="status.languageStatus"]').first();
            const told = page.locator('.hover-language-status').filter({hasText: args}).first();
            for (let n = 0; n < 60; n++) {
                await page.mouse.move(600, 300);
                await item.hover({timeout: 2000}).catch(() => undefined);
                const there = await told.waitFor({timeout: 2000}).then(() => true, () => false);
                if (there) { return await told.innerText(); }
            }
            throw new Error(`the status does not say ${args}`);""",
            words,
        )
    )


async def _answered(window: Window, words: str, command: str) -> str:
    await window.palette(command)
    return str(
        await window.page(
            """const toast = page.locator('.notification-toast').filter({hasText: args}).first();
            await toast.waitFor(); return await toast.innerText()""",
            words,
        )
    )


async def _kill(window: Window, times: int) -> None:
    """kill -9; each time the pause before the next start is longer."""
    killed: list[int] = []
    for _ in range(times):
        async with asyncio.timeout(60):
            while (now := servers_of(window.folder)) in ([], killed):
                await asyncio.sleep(0.05)
        killed = now
        for pid in killed:
            os.kill(pid, signal.SIGKILL)


def _programs(folder: Path, judged: Path) -> Path:
    """A folder with the program `agent-lsp`, which is judged."""
    folder.mkdir()
    script = folder / "agent-lsp"
    words = through(judged / "PID.json", [sys.executable, "-m", "agent_lsp"])
    script.write_text(f"#!{sys.executable}\nimport os, sys\nos.execv({words[0]!r}, {words!r} + sys.argv[1:])\n")
    script.chmod(0o755)
    return folder


def _bare(folder: Path) -> Path:
    """A folder with what any machine has, and no server."""
    folder.mkdir()
    for name in ("sh", "git", "ps", "uname", "cat", "which"):
        found = shutil.which(name)
        if found is not None:
            (folder / name).symlink_to(found)
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return folder


def _wheel(folder: Path) -> Path:
    """A package to install without a network: its module is this very source tree."""
    name, info = "agent_lsp_server-0.0.1", "agent_lsp_server-0.0.1.dist-info"
    words = [sys.executable, "-m", "agent_lsp"]
    files = {
        "agent_lsp/__init__.py": "",
        "agent_lsp/__main__.py": f"import os, sys\nos.execv({words[0]!r}, {words!r} + sys.argv[1:])\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: agent-lsp-server\nVersion: 0.0.1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        for path, text in files.items():
            package.writestr(path, text)
    return wheel
