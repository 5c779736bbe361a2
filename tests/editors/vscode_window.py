"""Owns one window of a real VS Code as a test uses it: its page in Chromium, and a hand in its extension host."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.judge.proxy import all_judged

Json = dict[str, Any]

WAIT_S = 150.0
"""Generous: a loaded machine is not a failure."""


class Lines:
    """Calls over lines of JSON, each answered by its id; other messages go to `hear`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Callable[[Json], None]
    ) -> None:
        self._reader, self._writer, self._hear = reader, writer, hear
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.reading = asyncio.create_task(self._read())

    async def call(self, code: str, args: Any = None, timeout_s: float = WAIT_S) -> Any:
        """What the code returns. Raises RuntimeError with what it threw."""
        self._last += 1
        future = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        self.send({"id": self._last, "code": code, "args": args})
        async with asyncio.timeout(timeout_s):
            return await future

    def send(self, message: Json) -> None:
        """One line."""
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """Ends the conversation."""
        self.reading.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await asyncio.wait([self.reading])

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                message = json.loads(line)
                future = self._waiting.pop(message.get("id"), None)
                if future is None:
                    self._hear(message)
                elif not future.done():
                    if "error" in message:
                        future.set_exception(RuntimeError(message["error"]))
                    else:
                        future.set_result(message.get("value"))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(RuntimeError("the other end is gone"))


@dataclass
class Window:
    """One page of code-server with one folder open."""

    folder: Path
    browser: Lines
    hand: Lines
    judged: Path
    thoughts: list[Json] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)

    async def page(self, code: str, args: Any = None) -> Any:
        """Runs code of Playwright with `page` and `args`."""
        try:
            return await self.browser.call(f"const page = state.page; {code}", args)
        except RuntimeError as error:
            raise AssertionError(f"{error}\n{await self.seen()}") from None

    async def host(self, code: str, args: Any = None) -> Any:
        """Runs code in the extension host with `vscode`, `kept` and `args`."""
        return await self.hand.call(code, args)

    async def until(self, code: str, args: Any = None, what: str = "", timeout_s: float = WAIT_S) -> Any:
        """The first value of the code in the extension host that is true."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := await self.host(code, args)):
                    await asyncio.sleep(0.05)
                return value
        except TimeoutError:
            raise AssertionError(f"waited {timeout_s:g} s for {what or code}\n{await self.seen()}") from None

    async def seen(self) -> str:
        """The words on the page, for a failure's message."""
        return str(await self.browser.call("return await state.page.locator('body').innerText()"))[-3000:]

    async def palette(self, title: str) -> None:
        """Takes a command from the palette, as a person does."""
        await self.page(
            """await page.keyboard.press('F1');
            const box = page.locator('.quick-input-widget input.input');
            await box.waitFor({state: 'visible'});
            await box.fill('>' + args);
            await page.locator('.quick-input-list .monaco-list-row').filter({hasText: args}).first().click();""",
            title,
        )

    async def fill(self, text: str) -> None:
        """Answers the input box that is open."""
        await self.page(
            """const box = page.locator('.quick-input-widget input.input');
            await box.waitFor({state: 'visible'});
            await box.fill(args);
            await page.keyboard.press('Enter');
            await box.waitFor({state: 'hidden'});""",
            text,
        )

    async def click(self, selector: str, text: str | None = None) -> None:
        """Clicks the first thing of a kind with these words."""
        await self.page(
            """const all = page.locator(args[0]);
            await (args[1] === null ? all : all.filter({hasText: args[1]})).first().click();""",
            [selector, text],
        )

    async def notification(self, text: str, button: str) -> None:
        """Presses a button of the notification with these words."""
        await self.page(
            """const row = page.locator('.notification-toast').filter({hasText: args[0]}).last();
            await row.waitFor({state: 'visible'});
            await row.locator('.monaco-button, .action-label').filter({hasText: args[1]}).first().click();""",
            [text, button],
        )

    async def show(self, path: str, line: int = 0) -> None:
        """Opens a file with the cursor on a line and the keyboard in it."""
        await self.host(
            """const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, args[0]);
            const selection = new vscode.Range(args[1], 0, args[1], 0);
            await vscode.window.showTextDocument(uri, {preview: false, selection});""",
            [path, line],
        )
        await self.page(
            """await page.locator('.monaco-editor.focused').first().waitFor();
            await page.locator('.statusbar-item').filter({hasText: `Ln ${args}, Col 1`}).waitFor();""",
            line + 1,
        )

    async def text(self, path: str) -> str:
        """What the editor holds of a file."""
        return str(
            await self.host(
                """const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, args);
                return (await vscode.workspace.openTextDocument(uri)).getText();""",
                path,
            )
        )

    async def picture(self, path: Path) -> None:
        """A screenshot."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page("await page.screenshot({path: args, animations: 'disabled'})", str(path))

    async def runs(self) -> list[Json]:
        """The rows of agent.status."""
        answer = await self.host(
            """try { return await vscode.commands.executeCommand('agent.status', {}); }
            catch { return {runs: []}; }"""  # the server is starting
        )
        rows: list[Json] = (answer or {}).get("runs", [])
        return rows

    async def state(self, *states: str, timeout_s: float = WAIT_S) -> Json:
        """The newest run once it is in one of the states."""
        seen: list[Json] = []
        try:
            async with asyncio.timeout(timeout_s):
                while not (seen := await self.runs()) or seen[-1]["state"] not in states:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"wanted {states}: {seen}\n{await self.seen()}") from None
        return seen[-1]

    async def wrong(self) -> list[str]:
        """What was said wrongly by any server of this window, and to it by the extension; the server ends by it."""
        await self.host("await vscode.commands.executeCommand('agentLsp.stop')")
        assert list(self.judged.glob("*.began")), "no server was judged"
        return await all_judged(self.judged)
