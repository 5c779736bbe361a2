"""Owns `agent-lsp chat`: goals, questions and corrections as one talk in a terminal, until the person leaves."""

import asyncio
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from agent_lsp.app.change_view import print_change
from agent_lsp.app.runtime import Runtime, open_runtime
from agent_lsp.app.terminal import NoBuffers, typed_line
from agent_lsp.domain.errors import AgentLspError, UserError
from agent_lsp.domain.task import ENDED, RunState

EXIT_DONE: Final = 0
EXIT_USAGE: Final = 2

HELP: Final = """\
Say what you want done, and it is worked on. While it is, ask what is going on, or say what should be different.
  /apply            write the proposed change        /discard [words]  not that; with words it is done differently
  /diff             show it again                    /plan             show the plan
  /approve          carry the plan out               /reject [words]   make another plan
  /pause /resume    stand still, go on               /cancel           end what is being done
  /step             go on to the end of the step     /left             what was interrupted, to /resume ID
  /new GOAL         begin something else             /quit             leave (Ctrl-D)"""

_BY_ITSELF: Final = frozenset({RunState.PROPOSED.value, *(state.value for state in ENDED)})


def chat_in_terminal(root: Path) -> int:
    """Talks until the person leaves. Exit status 0, or 2 for a root or a configuration that does not do."""
    if not root.is_dir():
        print(f"agent-lsp chat: {root} is not a folder; name the workspace with --root", file=sys.stderr)
        return EXIT_USAGE
    try:
        return asyncio.run(_Chat(root).run())
    except UserError as error:
        print(f"agent-lsp chat: {error.message} {error.hint}".strip(), file=sys.stderr)
        return EXIT_USAGE


class _Chat:
    """One talk about one workspace. The newest run is the one that is meant."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._console = Console(highlight=False, markup=False)
        self._run_id = ""
        self._state = ""
        self._told = ""
        self._proposal_id = ""
        self._plan: list[Mapping[str, Any]] = []
        self._shown: set[str] = set()
        self._warned = False
        self._options: list[str] = []
        self._commands: Mapping[str, Callable[[Runtime, str], Awaitable[None]]] = {
            "apply": self._apply,
            "discard": self._discard,
            "diff": self._show_change,
            "plan": self._show_plan,
            "approve": self._approve,
            "reject": self._reject,
            "new": self._begin,
            "resume": self._resume,
            "left": self._show_left,
            "help": self._help,
        }

    async def run(self) -> int:
        """Reads lines until the end of the input, `/quit` or Ctrl-C."""
        runtime = await open_runtime(self._root, publish=self._hear, editor=NoBuffers(), process="run")
        models = asyncio.create_task(runtime.watch_models())
        gone = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, gone.set)
        leaving = asyncio.create_task(gone.wait())
        try:
            await runtime.review.recover()
            self._say("Say what you want done; /help tells the rest.")
            await self._tell_left(runtime)
            while (line := await self._line(leaving)) is not None and not self._leaves(line):
                await self._take(runtime, line)
        finally:
            models.cancel()
            leaving.cancel()
            await runtime.close()
        return EXIT_DONE

    async def _line(self, leaving: "asyncio.Task[Any]") -> str | None:
        """The next line without its end; None when the person leaves."""
        if self._console.is_terminal:
            self._console.print("> ", end="")
        typing = asyncio.ensure_future(typed_line())
        await asyncio.wait({typing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not typing.done():
            typing.cancel()
            return None
        return typing.result().strip() if typing.result() else None

    def _leaves(self, line: str) -> bool:
        """A change that nobody decided on is not dropped by one word."""
        if line not in ("/quit", "/exit"):
            self._warned = False
        elif self._state == RunState.PROPOSED.value and not self._warned:
            self._warned = True
            self._say("A change is on offer, and leaving drops it: /apply or /discard it, or say /quit again.")
        else:
            return True
        return False

    async def _take(self, runtime: Runtime, line: str) -> None:
        if not line or line in ("/quit", "/exit"):
            return
        try:
            if line.startswith("/"):
                name, _, words = line[1:].partition(" ")
                await self._command(runtime, name, words.strip())
            elif self._state == "" or self._state in {state.value for state in ENDED}:
                await self._begin(runtime, line)
            else:
                answer = await runtime.call("say", {"runId": self._run_id, "text": self._chosen(line)})
                if answer.get("reply"):
                    self._say(answer["reply"])
        except AgentLspError as error:
            self._say(f"{error.message} {error.hint}".strip())

    async def _command(self, runtime: Runtime, name: str, words: str) -> None:
        if name in ("pause", "step", "cancel"):
            await runtime.call("control", {"runId": self._meant(), "action": name})
        elif name in self._commands:
            await self._commands[name](runtime, words)
        else:
            self._say(f"There is no /{name}. {HELP}")

    # --- what a person asks for ------------------------------------------------------------------------------

    async def _help(self, runtime: Runtime, words: str) -> None:
        del runtime, words
        self._say(HELP)

    async def _begin(self, runtime: Runtime, goal: str) -> None:
        if not goal:
            raise UserError("/new needs a goal.", hint="Say in a sentence what should be true afterwards.")
        before = self._run_id, self._state
        self._run_id, self._state, self._proposal_id, self._plan = "r_" + secrets.token_hex(6), "planning", "", []
        try:
            await runtime.call("run", {"runId": self._run_id, "goal": goal})
        except AgentLspError:
            self._run_id, self._state = before
            raise

    def _chosen(self, line: str) -> str:
        """The option of that number, where the run has just offered options and none reads like the line itself."""
        if line in self._options or not line.isdecimal() or not 1 <= int(line) <= len(self._options):
            return line
        return self._options[int(line) - 1]

    async def _tell_left(self, runtime: Runtime) -> bool:
        left = await runtime.resuming.left()
        for run_id, goal in left.items():
            self._say(f"Interrupted: {goal}  (/resume {run_id} goes on with it)")
        return bool(left)

    async def _show_left(self, runtime: Runtime, words: str) -> None:
        del words
        if not await self._tell_left(runtime):
            self._say("Nothing was interrupted here.")

    async def _resume(self, runtime: Runtime, words: str) -> None:
        """The paused run, or, by its id, one that an earlier process left at work."""
        if not words:
            await runtime.call("control", {"runId": self._meant(), "action": "resume"})
            return
        if words not in await runtime.resuming.left():
            raise UserError(f"There is no interrupted run {words}.", hint="/left lists them.")
        before = self._run_id, self._state
        self._run_id, self._state, self._proposal_id, self._plan = words, "planning", "", []
        if not await runtime.resuming.take_up(runtime.session, "auto", words):
            self._run_id, self._state = before
            raise UserError("The run was not resumed.", hint=f"agent-lsp replay {words} shows what it did.")

    async def _approve(self, runtime: Runtime, words: str) -> None:
        del words
        await runtime.call("plan_approve", {"runId": self._meant()})

    async def _reject(self, runtime: Runtime, words: str) -> None:
        await runtime.call("plan_reject", {"runId": self._meant(), "feedback": words})

    async def _apply(self, runtime: Runtime, words: str) -> None:
        del words
        answer = await runtime.call("apply", {"proposalId": self._offered()})
        done = f"Applied. `agent-lsp rollback {answer.get('checkpointId', '')}` takes it back."
        self._say(done if answer["applied"] else f"Not applied: {answer.get('reason', '')}")

    async def _discard(self, runtime: Runtime, words: str) -> None:
        given = {"proposalId": self._offered()}
        await runtime.call("discard", {**given, "feedback": words} if words else given)

    async def _show_plan(self, runtime: Runtime, words: str) -> None:
        del runtime, words
        rows = [f"{number}. {step['title']}  [{step['state']}]" for number, step in enumerate(self._plan, 1)]
        self._say("\n".join(rows) or "There is no plan yet.")

    async def _show_change(self, runtime: Runtime, words: str) -> None:
        del words
        print_change(self._console, await runtime.call("proposal", {"proposalId": self._offered()}))

    def _meant(self) -> str:
        if not self._run_id:
            raise UserError("Nothing is being done.", hint="Say what you want done.")
        return self._run_id

    def _offered(self) -> str:
        if not self._proposal_id:
            raise UserError("No change is on offer.", hint="Wait until it is proposed.")
        return self._proposal_id

    # --- what is told of the run ------------------------------------------------------------------------------

    def _hear(self, event: str, data: Mapping[str, Any]) -> None:
        if data.get("runId", self._run_id) != self._run_id:
            return
        if event == "run":
            self._take_state(data)
        elif event == "proposal":
            self._proposal_id = str(data["proposalId"])
        elif event == "plan":
            self._take_plan(data["steps"])
        elif event == "blocked":
            self._options = [str(option) for option in data.get("options") or ()]
            rows = [f"  {number}. {option}" for number, option in enumerate(self._options, 1)]
            hint = ["Say a number, or answer in your own words."] if rows else []
            self._say("\n".join([str(data["question"]), *rows, *hint]))
        elif event == "said":
            self._say(str(data["reply"]))
        elif event == "message":
            self._say(str(data["text"]))

    def _take_state(self, data: Mapping[str, Any]) -> None:
        state, message = str(data["state"]), str(data.get("message") or "")
        if state == self._state and message == self._told:
            return
        self._state, self._told = state, message
        if state != RunState.BLOCKED.value:
            self._options = []
        if state == RunState.AWAITING_APPROVAL.value:
            self._say("That is the plan. /approve carries it out; say what should be different, or /reject it.")
        elif state == RunState.PROPOSED.value:
            done = f"Done: {message or data.get('verdict', '')}".rstrip(".")
            self._say(f"{done}. /diff shows the change, /apply writes it, /discard drops it.")
        elif state in _BY_ITSELF:
            self._say(f"{state.capitalize()}{f': {message}' if message else ''}.".replace("..", "."))

    def _take_plan(self, steps: list[Mapping[str, Any]]) -> None:
        """A new plan whole; of one that goes on, each step as it is begun and ended."""
        new = [step["title"] for step in steps] != [step["title"] for step in self._plan]
        self._plan = list(steps)
        if new:
            self._shown.clear()
        for number, step in enumerate(steps, 1):
            mark = f"{number} {step['state']}"
            if mark in self._shown or (step["state"] == "pending" and not new):
                continue
            self._shown.add(mark)
            self._say(_told_step(number, len(steps), step))

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _told_step(number: int, count: int, step: Mapping[str, Any]) -> str:
    """A step in a sentence."""
    title = str(step["title"]).rstrip(".")
    what = {"running": "I am at", "done": "Done with", "failed": "It did not work out:"}.get(step["state"], "To do:")
    place = f"step {number} of {count}, " if count > 1 and step["state"] == "running" else ""
    return f"{what} {place}{title}."
