"""Owns the extension's chat outside of an editor: its modules bundled with a stand-in for `vscode`, on the real server.

What it does not show is the editor's own side: how the chat is drawn, and what the editor sends of itself.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.anthropic_server import AnthropicServer
from tests.scenarios.scene import WAIT_S, environment

Json = dict[str, Any]

_EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"
_ESBUILD = _EXTENSION / "node_modules" / ".bin" / "esbuild"
_SOURCES = Path(__file__).parent / "chat_stand_in"


def missing() -> str | None:
    """What is not there to test with."""
    if shutil.which("node") is None:
        return "Node.js is not on PATH"
    return None if _ESBUILD.exists() else "esbuild is not there; `make test-editors` brings it"


def bundled(folder: Path) -> Path:
    """The program, made anew from the sources as they are."""
    made = folder / "host.mjs"
    aliases = {"vscode": "vscode.mjs", "vscode-languageclient/node": "language_client.mjs"}
    words = [f"--alias:{name}={_SOURCES / file}" for name, file in aliases.items()]
    command = [str(_ESBUILD), str(_SOURCES / "host.mjs"), "--bundle", "--platform=node", "--format=esm", *words]
    subprocess.run([*command, "--log-level=error", f"--outfile={made}"], check=True, timeout=60)
    return made


class Answer:
    """What the editor would show of one prompt's answer, as it comes."""

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self.ended = asyncio.Event()

    @property
    def text(self) -> str:
        """All prose."""
        return "".join(row["markdown"] for row in self.rows if "markdown" in row)

    @property
    def progress(self) -> list[str]:
        """What was told while it went on."""
        return [row["progress"] for row in self.rows if "progress" in row]

    @property
    def buttons(self) -> list[str]:
        """Their titles."""
        return [row["button"] for row in self.rows if "button" in row]

    @property
    def references(self) -> list[str]:
        """Files that are named."""
        return [row["reference"] for row in self.rows if "reference" in row]

    @property
    def result(self) -> Json:
        """What the handler returned."""
        return dict(self.rows[-1]["result"])

    @property
    def followups(self) -> list[Json]:
        """What may be said next."""
        return list(self.rows[-1]["followups"])


class ChatHost:
    """A person at the chat of an editor."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, Answer] = {}
        self._gone = False
        self.others: list[Json] = []
        self.news = asyncio.Condition()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def begin(self, prompt: str = "", command: str | None = None, references: tuple[Json, ...] = ()) -> Answer:
        """Says a prompt; its answer comes while one looks."""
        turn = len(self._answers) + 1
        self._answers[turn] = Answer()
        self._write({"do": "ask", "turn": turn, "prompt": prompt, "command": command, "references": references})
        return self._answers[turn]

    async def ask(self, prompt: str = "", command: str | None = None, **more: Any) -> Answer:
        """Says a prompt and waits for the whole answer."""
        return await self.whole(self.begin(prompt, command, **more))

    async def whole(self, answer: Answer) -> Answer:
        """Waits for the end of an answer."""
        await self.until(answer.ended.is_set)
        return answer

    def stop(self, answer: Answer) -> None:
        """The button that ends an answer."""
        [turn] = [turn for turn, one in self._answers.items() if one is answer]
        self._write({"do": "stop", "turn": turn})

    def press(self, title: str) -> None:
        """A button of the last answer."""
        self._write({"do": "press", "title": title})

    def forget(self) -> None:
        """A new chat."""
        self._write({"do": "forget"})

    def hold(self, method: str) -> None:
        """The server's messages of a method do not come in before `release`; each is told as `{"held": method}`."""
        self._write({"do": "hold", "method": method})

    def release(self) -> None:
        """What was held comes in."""
        self._write({"do": "release"})

    def kill_server(self) -> None:
        """`kill -9`."""
        self._write({"do": "kill"})

    async def until(self, wanted: Callable[[], object]) -> None:
        """Returns once `wanted()` holds; looked at whenever something was told."""
        async with asyncio.timeout(WAIT_S), self.news:
            await self.news.wait_for(lambda: wanted() or self._gone)
        assert wanted(), "the extension's process ended"

    async def close(self) -> None:
        """Closes the editor."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
        await self._reading

    def _write(self, row: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(row)}\n".encode())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            row = json.loads(line)
            async with self.news:
                self._take(row)
                self.news.notify_all()
        async with self.news:
            self._gone = True
            self.news.notify_all()

    def _take(self, row: Json) -> None:
        answer = self._answers.get(row.get("turn", 0))
        if answer is None:
            self.others.append(row)
            return
        answer.rows.append(row)
        if "result" in row or "thrown" in row:
            answer.ended.set()


@asynccontextmanager
async def chat_host(
    program: Path, root: Path, home: Path, model: AnthropicServer | None, *, trusted: bool = True
) -> AsyncIterator[ChatHost]:
    """An editor on this folder, with the server of this source tree."""
    server = [sys.executable, "-m", "agent_lsp"]
    extra: Mapping[str, str] = {} if model is None else {"ANTHROPIC_API_KEY": "sk-ant-api03-chat-0123456789abcdef"}
    process = await asyncio.create_subprocess_exec(
        *("node", str(program), root.as_uri(), "trusted" if trusted else "untrusted", *server),
        env=environment(home, model, extra),
        cwd=root,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    host = ChatHost(process)
    try:
        await host.until(lambda: any("ready" in row for row in host.others))
        yield host
    finally:
        await host.close()
