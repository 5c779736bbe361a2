"""Owns a real VS Code for tests: code-server, Chromium, the packaged extension, and a hand in the extension host.

    async with code_server(folder) as vscode:
        window = await vscode.open(project)
        await window.palette("Agent: New Task…")
        text = await window.host("return vscode.window.activeTextEditor.document.getText()")

What a person does goes through the browser (`page`, `palette`, `click`); what is looked at, through `host`.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.editors.vscode_window import WAIT_S, Json, Lines, Window
from tests.judge.proxy import through

Brain = Callable[[Json], Awaitable[Json] | Json]

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / ".editors"
NODE = EDITORS / "bin" / "node"
VSIX = ROOT / "editors" / "vscode" / "dist" / "agent-lsp.vsix"
HELPERS = (Path(__file__).parent / "helper_extension", Path(__file__).parent / "python_extension")
START_S = 60.0
EMPTY_S = 20.0
"""How long a workspace may be without folders; usually they come within a second."""
_END_S = 5.0
_LINE_BYTES = 16 * 1024 * 1024

SETTINGS: Json = {
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.commandCenter.enabled": False,
    "chat.disableAIFeatures": False,
    "telemetry.telemetryLevel": "off",
    "extensions.ignoreRecommendations": True,
    "git.enabled": False,
    "window.commandCenter": False,
    "editor.minimap.enabled": False,
    "files.autoSave": "off",
    "editor.fontFamily": "DejaVu Sans Mono",
    "workbench.colorTheme": "Default Dark Modern",
}


_IS_EMPTY = "return await state.page.getByText('You have not yet added a folder to the workspace').count() > 0"


def missing() -> str | None:
    """Why this machine cannot drive VS Code; None if it can."""
    if chromium() is None:
        return "needs Chromium: run scripts/setup-editors"
    if not NODE.exists() or not VSIX.exists():
        return "needs code-server and the packaged extension: run scripts/setup-editors"
    return None


def chromium() -> str | None:
    """Debian's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class CodeServer:
    """One code-server and one browser for many windows, one at a time."""

    def __init__(self, home: Path, port: int, browser: Lines) -> None:
        self._home, self._port, self._browser = home, port, browser
        self._hands: dict[str, asyncio.Future[Lines]] = {}
        self._windows: dict[str, Window] = {}
        self._lines: list[Lines] = []
        self.brain: Brain | None = None

    async def close(self) -> None:
        """Lets go of every extension host."""
        for lines in self._lines:
            await lines.close()

    async def open(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        also: Sequence[Path] = (),
        *,
        trusts: bool = True,
    ) -> Window:
        """A fresh page on a folder, or a workspace of several, its server judged from between."""
        judged = self._home / f"judged-{folder.name}"
        judged.mkdir(exist_ok=True)
        server = through(judged / "PID.json", [sys.executable, "-m", "agent_lsp"])
        where = _configured(folder, also, {"agentLsp.server.path": server, **(settings or {})})
        future = self._hands[str(folder)] = asyncio.get_running_loop().create_future()
        await self._browser.call(
            """const before = state.page;
            state.page = await context.newPage();
            await before?.close({runBeforeUnload: false});
            await state.page.goto(args);
            await state.page.locator('.monaco-workbench').waitFor({timeout: 60000});""",
            f"http://127.0.0.1:{self._port}/?{where}",
        )
        hand = await self._hand_of(folder, future)
        window = self._windows[str(folder)] = Window(folder, self._browser, hand, judged)
        if trusts:
            await window.until(
                "return (await vscode.commands.getCommands(true)).includes('agent.run')", what="the server"
            )
        return window

    async def _hand_of(self, folder: Path, coming: asyncio.Future[Lines]) -> Lines:
        """The extension host of a page; what the page and the log say where none comes.

        VS Code reads a workspace file while it starts, and now and then shows the workspace without its folders for
        good, before any extension runs. A person loads such a page again.
        """
        end_s = asyncio.get_running_loop().time() + WAIT_S
        while not coming.done() and asyncio.get_running_loop().time() < end_s:
            await asyncio.wait({coming}, timeout=EMPTY_S)
            if not coming.done() and await self._browser.call(_IS_EMPTY):
                await self._browser.call("await state.page.reload()")
        if coming.done():
            return coming.result()
        words = await self._browser.call("return await state.page.locator('body').innerText()")
        log = (self._home / "code-server.log").read_text(errors="replace")[-3000:]
        raise AssertionError(f"no extension host came for {folder}\n{words}\n{log}")

    def take_hand(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """An extension host has come."""
        folder = ""

        def hear(message: Json) -> None:
            nonlocal folder
            if "hello" in message:
                folder = message["hello"]
                future = self._hands.get(folder)
                if future is not None and not future.done():
                    future.set_result(lines)
            elif "think" in message:
                thinking.add(task := asyncio.ensure_future(self._think(lines, folder, message)))
                task.add_done_callback(thinking.discard)
            elif "cancelled" in message and folder in self._windows:
                self._windows[folder].given_up.append(message["cancelled"])

        thinking: set[asyncio.Future[None]] = set()
        lines = Lines(reader, writer, hear)
        self._lines.append(lines)

    async def _think(self, lines: Lines, folder: str, request: Json) -> None:
        if folder in self._windows:
            self._windows[folder].thoughts.append(request)
        assert self.brain is not None
        answer = self.brain(request)
        said = await answer if isinstance(answer, Awaitable) else answer
        lines.send({"thought": request["think"], **said})


@contextlib.asynccontextmanager
async def code_server(home: Path, environment: Mapping[str, str], *, trust: bool = False) -> AsyncIterator[CodeServer]:
    """Starts everything and ends it again. With `trust` the editor asks whether a workspace is trusted."""
    home.mkdir(parents=True, exist_ok=True)
    user = home / "data" / "User"
    user.mkdir(parents=True)
    (user / "settings.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    (home / "config.yaml").write_text("", encoding="utf-8")
    extensions = home / "extensions"
    port = _free_port()
    sock = home / "hand.sock"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ANTHROPIC_", "AGENT_LSP_", "VSCODE_"))
    }
    env = {
        **kept,
        "HOME": str(home),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_HELPER_SOCKET": str(sock),
        **environment,
    }
    entry = str(EDITORS / "node_modules" / "code-server" / "out" / "node" / "entry.js")
    base = [
        str(NODE),
        entry,
        "--config",
        str(home / "config.yaml"),
        "--user-data-dir",
        str(home / "data"),
        "--extensions-dir",
        str(extensions),
    ]
    packages = [VSIX, *(_package(folder, home / f"{folder.name}.vsix") for folder in HELPERS)]
    await _run([*base, *(word for package in packages for word in ("--install-extension", str(package)))], env)
    flags = ["--auth", "none", "--disable-telemetry", "--disable-update-check", "--ignore-last-opened"]
    flags += ["--reconnection-grace-time", "5", "--bind-addr", f"127.0.0.1:{port}"]
    flags += [] if trust else ["--disable-workspace-trust"]
    async with contextlib.AsyncExitStack() as stack:
        await _process(stack, [*base, *flags], env, home / "code-server.log")
        await _listens(port)
        browser_env = {
            **kept,
            "AGENT_LSP_EDITORS": str(EDITORS),
            "AGENT_LSP_CHROMIUM": str(chromium()),
            "HOME": str(home),
        }
        browser = await _browser(stack, browser_env, home)
        server = CodeServer(home, port, browser)
        listening = await asyncio.start_unix_server(server.take_hand, sock, limit=_LINE_BYTES)
        stack.callback(listening.close)
        stack.push_async_callback(server.close)
        yield server


def servers_of(folder: Path) -> list[int]:
    """The language servers of the editors whose home lies beside a folder, without the judge that stands between."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            serves = words[1:2] != ["-c"] and "\0".join(words).endswith("\0-m\0agent_lsp\0serve\0")
            if serves and str(folder.parent) in environment:
                found.append(int(entry.name))
    return found


async def _browser(stack: contextlib.AsyncExitStack, env: Mapping[str, str], home: Path) -> Lines:
    log = stack.enter_context((home / "browser.log").open("wb"))
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(Path(__file__).with_name("browser.mjs")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env=env,
        limit=_LINE_BYTES,
        start_new_session=True,
    )
    stack.push_async_callback(_end, process)
    assert process.stdin is not None
    assert process.stdout is not None
    ready = asyncio.Event()
    lines = Lines(process.stdout, process.stdin, lambda _: ready.set())
    stack.push_async_callback(lines.close)
    async with asyncio.timeout(START_S):
        await ready.wait()
    return lines


async def _process(stack: contextlib.AsyncExitStack, argv: list[str], env: Mapping[str, str], log: Path) -> None:
    sink = stack.enter_context(log.open("wb"))
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, start_new_session=True
    )
    stack.push_async_callback(_end, process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """With its whole session: code-server and Chromium start many."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    await process.wait()


async def _run(argv: list[str], env: Mapping[str, str], cwd: Path | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 0, said.decode()


def _configured(folder: Path, also: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """Writes the settings where this kind of workspace has them; what the page is asked for."""
    if also:
        workspace = folder.with_suffix(".code-workspace")
        folders = [{"path": str(path)} for path in (folder, *also)]
        workspace.write_text(json.dumps({"folders": folders, "settings": settings}), encoding="utf-8")
        return f"workspace={workspace}"
    (folder / ".vscode").mkdir(exist_ok=True)
    (folder / ".vscode" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return f"folder={folder}"


def _package(folder: Path, target: Path) -> Path:
    """An extension's package is a zip of its files beneath `extension`, and its manifests."""
    with zipfile.ZipFile(target, "w") as package:
        for path in sorted(folder.iterdir()):
            outside = path.suffix in (".xml", ".vsixmanifest")
            package.write(path, path.name if outside else f"extension/{path.name}")
    return target


async def _listens(port: int) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
