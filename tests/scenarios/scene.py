"""Owns the stage of the scenario tests: a project, the real server and runtime, a scripted model, an editor in memory.

scene = await stage(FILES, ScriptedBrain(execution=[calls(edit(...)), calls(finish())]))
run_id = await scene.run("fix add")
row = await scene.until(run_id, "proposed")
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.anthropic_server import AnthropicServer
from tests.server.raw_client import Json, RawClient

SERVE = [sys.executable, "-m", "agent_lsp", "serve"]

WAIT_S = 90.0
"""Generous: a loaded machine is not a failure."""

CALC = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a * 2\n"
TEST_ADD = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
TEST_DOUBLE = "from calc import double\n\n\ndef test_double():\n    assert double(4) == 8\n"
CONFIG = '[tool.pytest.ini_options]\npythonpath = ["."]\n'

PROJECT: Mapping[str, str | bytes] = {
    "calc.py": CALC,
    "tests/test_add.py": TEST_ADD,
    "tests/test_double.py": TEST_DOUBLE,
    "pyproject.toml": CONFIG,
}
"""A wrong `add` with its failing test, and a right `double` with its passing one."""

OVER = ("proposed", "failed", "cancelled", "discarded", "applied")


def write_project(root: Path, files: Mapping[str, str | bytes], *, git: bool = True) -> None:
    """Writes the files, and commits them unless the folder is to be without git."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if git:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
            subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


class Scene:
    """One server on one project; `client` is the editor, `model` the endpoint (None: the embedded engine)."""

    def __init__(self, root: Path, client: RawClient, model: AnthropicServer | None) -> None:
        self.root, self.client, self.model = root, client, model

    def open(self, name: str, text: str | None = None) -> str:
        """Opens a file of the project, unsaved with a text of its own; its URI."""
        return self.client.open(self.root / name, text)

    def text(self, uri: str) -> str:
        """What the editor shows."""
        return self.client.buffers[uri].text

    async def run(self, goal: str = "fix add", **argument: Any) -> str:
        """Starts a run; its id."""
        answer = await self.client.command("agent.run", {"goal": goal, **argument})
        assert set(answer) == {"runId"}, answer
        return str(answer["runId"])

    async def status(self, run_id: str) -> Json:
        """The run's row of agent.status."""
        answer = await self.client.command("agent.status", {"runId": run_id})
        row: Json = answer["runs"][0]
        return row

    async def until(self, run_id: str, *states: str, timeout_s: float = WAIT_S) -> Json:
        """The run's row once it is in one of the states; a run that is over in another one fails the test."""
        async with asyncio.timeout(timeout_s):
            while (row := await self.status(run_id))["state"] not in states:
                assert row["state"] not in OVER, f"wanted {states}, and it is {row}\n{self.log()[-4000:]}"
                await asyncio.sleep(0.05)
        return row

    async def proposal(self, run_id: str) -> Json:
        """The run's proposal, section 4 of the protocol."""
        row = await self.status(run_id)
        answer: Json = await self.client.command("agent.proposal", {"proposalId": row["proposalId"]})
        assert "error" not in answer, answer
        return answer

    async def apply(self, proposal_id: str, **argument: Any) -> Json:
        """`agent.apply` with its end: when it took longer than a command may, how it is told later."""
        before = len(self._messages("was not applied"))
        answer: Json = await self.client.command("agent.apply", {"proposalId": proposal_id, **argument})
        async with asyncio.timeout(WAIT_S):
            while answer.get("pending"):
                now = await self.client.command("agent.proposal", {"proposalId": proposal_id})
                if "checkpointId" in now:
                    return {"applied": True, "checkpointId": now["checkpointId"], "verdict": now["verdict"]}
                if refusals := self._messages("was not applied")[before:]:
                    return {"applied": False, "reason": refusals[-1], "verdict": answer["verdict"]}
                await asyncio.sleep(0.05)
        return answer

    async def rollback(self, checkpoint_id: str) -> Json:
        """`agent.rollback` with its end, as `apply`."""
        answer: Json = await self.client.command("agent.rollback", {"checkpointId": checkpoint_id})
        if answer.get("pending"):
            told = await self.client.wait_for("window/showMessage", lambda p: "rolled back" in p["message"], WAIT_S)
            return {"applied": "not rolled back" not in told["message"], "reason": told["message"]}
        return answer

    def _messages(self, part: str) -> list[str]:
        return [p["message"] for p in self.client.heard("window/showMessage", lambda p: part in p["message"])]

    def log(self) -> str:
        """The console log so far."""
        path = self.root / ".agent-lsp" / "copilot_console.log"
        return path.read_text() if path.exists() else ""

    async def logged(self, *texts: str) -> str:
        """The console log once all of this is in it: it is written behind what the editor is told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while not all(text in self.log() for text in texts):
                    await asyncio.sleep(0.05)
        log = self.log()
        assert [text for text in texts if text not in log] == [], log[-4000:]
        return log

    def processes(self) -> list[str]:
        """Command lines of processes that belong to this scene's server, itself left out."""
        return descendants(self.client.process.pid)


def descendants(pid: int) -> list[str]:
    """Command lines of all processes below one."""
    return [line for child in pids_below(pid) if (line := command_line(child))]


def pids_below(pid: int) -> list[int]:
    """All processes below one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found: list[int] = []
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found += sorted(level)
    return found


def parent_of(pid: int) -> int:
    """A process's parent; 0 when it is gone."""
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def command_line(pid: int) -> str:
    """A process's command line, empty when it is gone or a zombie."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def environment(home: Path, model: AnthropicServer | None, extra: Mapping[str, str]) -> dict[str, str]:
    """What the server is started with: caches and settings of its own, and the scripted endpoint."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "OPENAI_", "AGENT_LSP_"))
    }
    kept |= {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_DATA_DIR": str(home / "data"),
        "AGENT_LSP_TESTS__MUTATIONS": "0",  # it goes on after the offer, and is of no concern to most
        "COVERAGE_PROCESS_CONFIG": "",  # a tracer in every process costs a third; the tests of the parts are counted
    }
    if model is not None:
        kept |= {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-ant-api03-scenario-0123456789abcdef"}
    return {**kept, **extra}
