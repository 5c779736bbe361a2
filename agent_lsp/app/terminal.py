"""Owns `agent-lsp run`: the runtime with a terminal for an edge."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from agent_lsp.app.change_view import print_change
from agent_lsp.app.runtime import Runtime, open_runtime
from agent_lsp.domain.errors import AgentLspError, UserError
from agent_lsp.domain.ports import Buffer, BufferChange, BufferOutcome

EXIT_DONE: Final = 0
EXIT_NOT_ACCEPTABLE: Final = 1
EXIT_USAGE: Final = 2
EXIT_CANCELLED: Final = 130

_WAITS_FOR_REVIEW: Final = frozenset({"proposed", "failed", "cancelled", "discarded", "applied"})


@dataclass(frozen=True, slots=True)
class TerminalRequest:
    """What the command line asked for. `resume` names a run to go on with, or is empty for the last one."""

    root: Path
    goal: str
    resume: str | None = None
    json: bool = False
    apply: bool = False
    mode: str = "auto"
    tests: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    tier: str | None = None


class NoBuffers:
    """An editor with nothing open: every file is on disk."""

    async def buffers(self) -> Sequence[Buffer]:
        return ()

    async def edit(self, change: BufferChange) -> BufferOutcome:
        return BufferOutcome(False, reason=f"{change.path} is not open in a terminal")

    async def edit_together(self, changes: Sequence[BufferChange]) -> Sequence[BufferOutcome] | None:
        del changes
        return None


def run_in_terminal(request: TerminalRequest) -> int:
    """Runs one goal and gives the exit status of PROTOCOL.md section 1."""
    if not request.root.is_dir():
        print(f"agent-lsp run: {request.root} is not a folder; name the workspace with --root", file=sys.stderr)
        return EXIT_USAGE
    if request.resume is not None and request.goal.strip():
        print("agent-lsp run: give a goal or --resume, not both", file=sys.stderr)
        return EXIT_USAGE
    if not request.goal.strip() and request.resume is None:
        print("agent-lsp run: the goal is empty; say in a sentence what should be true afterwards", file=sys.stderr)
        return EXIT_USAGE
    try:
        return asyncio.run(_TerminalRun(request).run())
    except UserError as error:
        print(f"agent-lsp run: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return EXIT_USAGE
    except AgentLspError as error:
        print(f"agent-lsp run: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return EXIT_NOT_ACCEPTABLE


class _TerminalRun:
    def __init__(self, request: TerminalRequest) -> None:
        self.request = request
        self.console = Console(stderr=request.json, highlight=False, markup=False, emoji=False)
        self.progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(),
            console=self.console, disable=request.json or not self.console.is_terminal,
        )  # fmt: skip
        self.bar = self.progress.add_task("starting", total=None)
        self.run_id = "r_" + secrets.token_hex(6)
        self.state = ""
        self.titles: list[str] = []
        self.told_steps: set[tuple[int, str]] = set()
        self.message = ""
        self.usage: Mapping[str, Any] = {}
        self.proposal_id = ""
        self.over = False
        self.settled = asyncio.Event()
        self.waiting = asyncio.Event()
        self.question: Mapping[str, Any] = {}

    async def run(self) -> int:
        runtime = await open_runtime(self.request.root, publish=self._hear, editor=NoBuffers(), process="run")
        loop = asyncio.get_running_loop()
        cancels = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, cancels.set)
        work = asyncio.create_task(self._work(runtime))
        watch = asyncio.create_task(cancels.wait())
        models = asyncio.create_task(runtime.watch_models())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                self.console.print("cancelled; nothing was changed")
                return EXIT_CANCELLED
            self.over = True
            return work.result()
        finally:
            watch.cancel()
            models.cancel()
            self.progress.stop()
            await runtime.close()

    async def _work(self, runtime: Runtime) -> int:
        self.progress.start()
        await runtime.review.recover()
        left = await runtime.resuming.left()
        if self.request.resume is None:
            for run_id, goal in left.items():
                self.console.print(f"interrupted: {goal}  (agent-lsp run --resume {run_id})", soft_wrap=True)
            await runtime.call("run", self._asked())
        else:
            await self._resume(runtime, left)
        while not self.settled.is_set():
            await self._until_something_waits()
            if not self.settled.is_set():
                await self._ask_person(runtime)
        return await self._conclude(runtime)

    def _asked(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"runId": self.run_id, "goal": self.request.goal, "mode": self.request.mode}
        asked |= {"tier": self.request.tier} if self.request.tier else {}
        return asked | {"tests": list(self.request.tests), "scope": list(self.request.scope)}

    async def _resume(self, runtime: Runtime, left: Mapping[str, str]) -> None:
        run_id = self.request.resume or next(reversed(list(left)), "")
        if run_id not in left:
            told = f"there is no interrupted run {run_id}" if run_id else "there is no interrupted run"
            named = "; ".join(f"{name}: {goal}" for name, goal in left.items())
            raise UserError(told, hint=f"These are: {named}" if named else "agent-lsp replay lists all runs.")
        self.run_id = run_id
        if not await runtime.resuming.take_up(runtime.session, "auto", run_id):
            raise UserError("the run was not resumed", hint=f"agent-lsp replay {run_id} shows what it did.")

    async def _until_something_waits(self) -> None:
        waits = [asyncio.create_task(self.settled.wait()), asyncio.create_task(self.waiting.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _ask_person(self, runtime: Runtime) -> None:
        self.waiting.clear()
        self.progress.stop()
        if self.question:
            question, self.question = self.question, {}
            answer = await self._read_line(f"{question['question']} {' / '.join(question['options'])}\n> ")
            await runtime.call("answer", {"runId": self.run_id, "answer": answer})
        else:
            answer = await self._read_line("Carry out this plan? [y]es, or what to change: ")
            if answer.strip().lower() in ("", "y", "yes"):
                await runtime.call("plan_approve", {"runId": self.run_id})
            else:
                feedback = "" if answer.strip().lower() in ("n", "no") else answer
                await runtime.call("plan_reject", {"runId": self.run_id, "feedback": feedback})
        self.progress.start()

    async def _read_line(self, prompt: str) -> str:
        self.console.print(prompt, end="", soft_wrap=True)
        line = await typed_line()
        if not line:
            raise UserError("The run asks something and there is nobody to answer.", hint="Use --mode auto.")
        return line.rstrip("\n")

    async def _conclude(self, runtime: Runtime) -> int:
        if not self.proposal_id:
            self.progress.stop()
            self.console.print(f"{self.state}: {self.message}", soft_wrap=True)
            return EXIT_CANCELLED if self.state == "cancelled" else EXIT_NOT_ACCEPTABLE
        await runtime.review.followed(self.proposal_id)  # nobody is here later to see a verdict withdrawn
        self.progress.stop()
        proposal = await runtime.call("proposal", {"proposalId": self.proposal_id})
        verdict = proposal["verdict"]
        if not self.request.json:
            print_change(self.console, proposal)
            if told := _told_usage(self.usage):
                self.console.print(told)
        if self.request.apply:
            return await self._apply(runtime)
        acceptable = self.state == "proposed" and verdict["decision"] in ("proven", "passed")
        return EXIT_DONE if acceptable else EXIT_NOT_ACCEPTABLE

    async def _apply(self, runtime: Runtime) -> int:
        answer = await runtime.call("apply", {"proposalId": self.proposal_id})
        if answer["applied"]:
            self.console.print(f"applied; undo with the checkpoint {answer.get('checkpointId', '')}")
            return EXIT_DONE
        self.console.print(f"not applied: {answer.get('reason', '')}", soft_wrap=True)
        return EXIT_NOT_ACCEPTABLE

    def _hear(self, event: str, data: Mapping[str, Any]) -> None:
        if self.over:  # the outcome was told; what closing the runtime does to the run is no news
            return
        if self.request.json:
            print(json.dumps({"event": event, **data}), flush=True)
        if event == "run" and data["runId"] == self.run_id:
            self._take_state(data)
        elif event == "proposal":
            self.proposal_id = data["proposalId"]
        elif event == "plan" and not self.request.json:
            self._tell_plan(data["steps"])
        elif event == "blocked":
            self.question = data
            self.waiting.set()
        elif event == "progress":
            self.progress.update(
                self.bar, description=str(data["message"])[:70], completed=data.get("percentage"), total=100
            )
        elif event == "message" and not self.request.json:
            self.console.print(str(data["text"]), soft_wrap=True)

    def _tell_plan(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """A new plan whole; of one that goes on, the steps that ended. The state tells which one runs."""
        titles = [step["title"] for step in steps]
        new, self.titles = titles != self.titles, titles
        for number, step in enumerate(steps, 1):
            ended = step["state"] in ("done", "failed") and (number, step["state"]) not in self.told_steps
            if new or ended:
                self.told_steps.add((number, step["state"]))
                self.console.print(f"{number}. {step['title']}  [{step['state']}]", soft_wrap=True)

    def _take_state(self, data: Mapping[str, Any]) -> None:
        changed = data["state"] != self.state
        self.state, self.message, self.usage = data["state"], data.get("message", ""), data.get("usage", {})
        if changed and not self.request.json and not self.console.is_terminal:
            print(f"{self.state} {self.message}".rstrip(), flush=True)
        if self.state == "awaiting_approval":
            self.waiting.set()
        elif self.state in _WAITS_FOR_REVIEW:
            self.settled.set()


def _told_usage(usage: Mapping[str, Any]) -> str:
    """What the model took, on a line; nothing for a run without one."""
    if not usage.get("turns"):
        return ""
    tokens = sum(usage[name] for name in ("inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"))
    cached = f"{usage['cacheHitRate']:.0%} of the prompts from the cache"
    return f"model: {usage['turns']} turns, {tokens} tokens, {cached}, {usage['costUsd']:.4f} USD"


async def typed_line() -> str:
    """The next line of standard input, empty at its end. Its thread is nobody's to wait for: Ctrl-C must end us."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()

    def settle(line: str) -> None:
        if not typed.done():
            typed.set_result(line)

    def read() -> None:
        line = _read_line(sys.stdin.fileno())
        with contextlib.suppress(RuntimeError):  # the loop is over, nobody waits
            loop.call_soon_threadsafe(settle, line)

    threading.Thread(target=read, name="agent-lsp-typed-line", daemon=True).start()
    return await typed


def _read_line(descriptor: int) -> str:
    """Past `sys.stdin`, whose lock a thread that still reads would hold when Python ends."""
    line = bytearray()
    while not line.endswith(b"\n"):
        try:
            byte = os.read(descriptor, 1)
        except OSError:
            break
        if not byte:
            break
        line += byte
    return line.decode(errors="replace")
