"""Owns the person before one editor: sees what it shows, presses what it offers, and gets nothing else.

What a command answers is dropped, as every stock editor drops it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.profiles.editor import ProfiledClient
from tests.profiles.manners import action_breaches
from tests.scenarios.looking import eventually
from tests.scenarios.scene import WAIT_S
from tests.server.raw_client import Json


class Person:
    """Somebody with a stock editor."""

    def __init__(self, client: ProfiledClient) -> None:
        self._client, self._editor = client, client.editor
        self.breaches: list[str] = []

    def text(self, uri: str) -> str:
        """What the buffer shows."""
        return self._client.buffers[uri].text

    def write(self, uri: str, old: str, new: str) -> None:
        """Types over the first `old` of a buffer."""
        start = self.text(uri).index(old)
        self._client.type(uri, start, start + len(old), new)

    def line_of(self, uri: str, words: str) -> int:
        """The line where the words stand."""
        return self.text(uri).split(words)[0].count("\n")

    def marks(self, uri: str, words: str = "") -> list[Json]:
        """The diagnostics that the editor shows in a document, those with the words in them."""
        return [row for row in self._client.diagnostics.get(uri, ()) if words in row["message"]]

    def messages(self, words: str = "") -> list[str]:
        """What was shown as a message, or asked with buttons."""
        shown = self._client.heard("window/showMessage", lambda params: words in params["message"])
        return [params["message"] for params in shown] + [
            params["message"] for params in self._client.asked if words in params["message"]
        ]

    def progress(self, words: str = "") -> list[str]:
        """What progress bars said."""
        heard = self._client.heard("$/progress")
        said = [f"{params['value'].get('title', '')} {params['value'].get('message', '')}" for params in heard]
        return [text for text in said if words in text]

    async def lenses(self, uri: str) -> list[str]:
        """The titles above the lines; none where the editor shows none."""
        if not self._editor.lenses:
            return []
        return [lens["command"]["title"] for lens in await self._client.lenses(uri)]

    async def menu(self, uri: str, line: int, mark: Json | None = None) -> list[Json]:
        """What the code action menus of the editor list with the cursor on a line; `mark` is another tool's."""
        shown = [row for row in self.marks(uri) if row["range"]["start"]["line"] <= line <= row["range"]["end"]["line"]]
        shown += [mark] if mark is not None else []
        actions = await self._asked(uri, line, shown, None)
        if self._editor.hides_source_actions:
            actions = [row for row in actions if not str(row.get("kind")).startswith("source")]
            actions += await self._asked(uri, line, shown, ["source"])
        return [row for row in actions if not (self._editor.hides_disabled and "disabled" in row)]

    async def titles(self, uri: str, line: int) -> list[str]:
        """The titles of what can be pressed."""
        return [row["title"] for row in await self.menu(uri, line) if "disabled" not in row]

    async def press(self, uri: str, line: int, title: str, *, mark: Json | None = None) -> None:
        """Waits until the menu offers something that begins so, and takes it."""
        async with asyncio.timeout(WAIT_S):
            while not (found := [row for row in await self.menu(uri, line, mark) if _can(row, title)]):
                await asyncio.sleep(0.1)
        action = found[0]
        if "command" not in action:
            action = await self._client.request("codeAction/resolve", action)
        command = action["command"] if isinstance(action["command"], dict) else action
        sent = {"command": command["command"], "arguments": command["arguments"]}
        assert sent["command"] in self._client.capabilities["executeCommandProvider"]["commands"]
        await self._client.request("workspace/executeCommand", sent)

    async def choose(self, words: str, title: str) -> None:
        """Presses a button of the question with these words, once it is asked."""
        question = (await self.see(lambda: self._client.questions(words)))[0]
        assert title in [action["title"] for action in question["actions"]]
        self._client.choose(question, title)

    async def no_more(self, uri: str, line: int, title: str) -> None:
        """Waits until the menu offers nothing that begins so."""
        async with asyncio.timeout(WAIT_S):
            while [row for row in await self.menu(uri, line) if _can(row, title)]:
                await asyncio.sleep(0.1)

    async def see(self, what: Callable[[], Any]) -> Any:
        """The first true value of what can be seen."""
        return await eventually(what)

    async def _asked(self, uri: str, line: int, shown: list[Json], only: list[str] | None) -> list[Json]:
        context: Json = {"diagnostics": shown, **({"only": only} if only else {})}
        place = {"line": line, "character": 0}
        params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": context}
        actions: list[Json] = await self._client.request("textDocument/codeAction", params)
        self.breaches += action_breaches(self._client, actions)
        return actions


def _can(action: Json, title: str) -> bool:
    return action["title"].startswith(title) and "disabled" not in action
