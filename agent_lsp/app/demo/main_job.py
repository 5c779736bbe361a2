"""Owns the demonstration itself: the main job, from a goal to green tests, through a real language server."""

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax

from agent_lsp.app.demo.client import Client, RequestFailedError
from agent_lsp.app.demo.sample_project import BUGGY_FILE, GOAL, make_sample_project
from agent_lsp.app.verdict_text import verdict_text
from agent_lsp.workspace.process import Start, run, start_piped

_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts that the picture would fetch from elsewhere; the fallback after them is any monospaced one."""

_OVER = frozenset({"proposed", "failed", "cancelled", "discarded", "applied"})


def show_main_job(keep: Path | None = None, svg: Path | None = None) -> int:
    """Runs the demonstration and gives the exit status: 0 when the bug was found, tested and applied.

    `svg` is where a picture of what was printed goes.
    """
    console = Console(highlight=False, record=svg is not None, width=110 if svg else None)
    folder = keep or Path(tempfile.mkdtemp(prefix="agent-lsp-demo-"))
    try:
        status = asyncio.run(_Demonstration(console, folder).run())
        if svg is not None:
            picture = console.export_svg(title="agent-lsp demo")
            svg.write_text(_FONT_FACE.sub("", picture))
        return status
    except KeyboardInterrupt:
        console.print("cancelled")
        return 130
    except (RequestFailedError, TimeoutError, OSError, RuntimeError) as error:
        console.print(f"[red]The demonstration stopped:[/red] {error}")
        console.print(f"What happened is in {folder / '.agent-lsp' / 'copilot_console.log'}")
        return 1


class _Demonstration:
    def __init__(self, console: Console, folder: Path) -> None:
        self.console, self.folder = console, folder
        self.progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
        )
        self.bar = self.progress.add_task("starting", total=100)
        self.state = ""
        self.lines_told: set[str] = set()
        self.run_over = asyncio.Event()
        self.proposal_id = ""

    async def run(self) -> int:
        started = time.monotonic()
        await make_sample_project(self.folder)
        self.console.rule("[bold]1. A project with a bug")
        self.console.print(f"{self.folder}  (a git history of two commits, 21 tests)")
        await self._show_suite()
        self.console.rule("[bold]2. The goal, given to the language server")
        status = await self._through_the_server()
        self.console.rule("[bold]4. The project afterwards")
        await self._show_suite()
        log = self.folder / ".agent-lsp" / "copilot_console.log"
        self.console.print(f"Log      {log}")
        self.console.print(f"Journal  agent-lsp replay --root {self.folder}")
        self.console.print(f"Done in {time.monotonic() - started:.1f} s")
        return status

    async def _through_the_server(self) -> int:
        arguments = [sys.executable, "-P", "-m", "agent_lsp", "serve"]
        environment = {**os.environ, "AGENT_LSP_MODEL__PROVIDER": "embedded"}
        server = await start_piped(arguments, cwd=self.folder, env=environment)
        assert server.stdout is not None
        assert server.stdin is not None
        client = Client(server.stdout, server.stdin, self._listen)
        reading = asyncio.create_task(client.serve())
        try:
            return await self._main_job(client)
        finally:
            try:
                await client.request("shutdown", None, timeout_s=5)
                client.notify("exit", None)
                await asyncio.wait_for(server.wait(), 5)
            except (RequestFailedError, TimeoutError):
                server.kill()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _main_job(self, client: Client) -> int:
        root = self.folder.as_uri()
        capabilities = {
            "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
            "window": {"workDoneProgress": True},
            "experimental": {"agentLsp": {"version": "1"}},
        }
        params = {"processId": os.getpid(), "rootUri": root, "capabilities": capabilities}
        folders = [{"uri": root, "name": self.folder.name}]
        await client.request("initialize", {**params, "workspaceFolders": folders})
        client.notify("initialized", {})
        uri = client.open(self.folder / BUGGY_FILE)
        self.console.print(f'agent.run: "{GOAL}"   (no key, no model: the embedded repair engine)')
        with self.progress:
            await client.command("agent.run", {"goal": GOAL, "uri": uri})
            async with asyncio.timeout(120):
                await self.run_over.wait()
        if not self.proposal_id:
            self.console.print(f"[red]The run ended {self.state} without a proposal.[/red]")
            return 1
        return await self._review(client, uri)

    async def _review(self, client: Client, uri: str) -> int:
        proposal = await client.command("agent.proposal", {"proposalId": self.proposal_id})
        verdict = proposal["verdict"]
        self.console.rule("[bold]3. The proposal, with its evidence")
        self.console.print(proposal["summary"])
        self.console.print(Syntax(proposal["diff"], "diff", background_color="default"))
        self.console.print(Panel(verdict_text(verdict), title=f"verdict: {verdict['decision']}", title_align="left"))
        answer = await client.command("agent.apply", {"proposalId": self.proposal_id})
        if not answer.get("applied"):
            self.console.print(f"[red]Not applied:[/red] {answer.get('reason')}")
            return 1
        (self.folder / BUGGY_FILE).write_text(client.documents[uri][1])
        self.console.print("agent.apply: applied to the open buffer by workspace/applyEdit, then saved")
        return 0 if verdict["decision"] == "proven" else 1

    async def _show_suite(self) -> None:
        python = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=no"]
        done = await run(Start(python, cwd=self.folder, env=os.environ, timeout_s=60))
        shown = [line for line in done.out.decode().splitlines() if re.match(r"(FAILED|ERROR|=*\s*\d+ \w+)", line)]
        for line in shown:
            style = "red" if "failed" in line.lower() else "green"
            self.console.print(f"[{style}]{line.strip('= ')}[/{style}]", markup=True)

    def _listen(self, method: str, params: Mapping[str, Any]) -> None:
        if method == "agent/plan":
            for number, step in enumerate(params["steps"], 1):
                self._tell(f"plan {number}. {step['title']}")
        elif method == "agent/progress":
            self._advance(params)
        elif method == "agent/proposal":
            self.proposal_id = params["proposalId"]
        elif method == "window/showMessage":
            self._tell(params["message"])

    def _tell(self, line: str) -> None:
        if line not in self.lines_told:
            self.lines_told.add(line)
            self.progress.console.print(line)

    def _advance(self, params: Mapping[str, Any]) -> None:
        if params["state"] != self.state:
            self.state = params["state"]
            self.progress.console.print(f"[dim]state:[/dim] {self.state}")
        percentage = params.get("percentage")
        self.progress.update(self.bar, description=(params.get("message") or self.state)[:60], completed=percentage)
        if self.state in _OVER:
            self.progress.update(self.bar, description=self.state, completed=100)
            self.run_over.set()
