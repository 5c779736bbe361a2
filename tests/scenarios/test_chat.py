"""`agent-lsp chat`: a goal, a question, a correction and the change, in one talk in a terminal."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.anthropic_server import (
    AnthropicServer,
    Call,
    ParsedRequest,
    Reply,
    ScriptedBrain,
    calls,
    edit,
    finish,
    plan,
    reflect,
    say,
)
from tests.scenarios.scene import CALC, PROJECT, WAIT_S, environment, write_project

FIX = edit("calc.py", "return a - b", "return a + b")


class Talker:
    """A person at the terminal of one `agent-lsp chat`."""

    def __init__(self, root: Path, server: AnthropicServer, process: asyncio.subprocess.Process) -> None:
        self.root, self.server, self.process = root, server, process
        self.heard = ""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while piece := await self.process.stdout.read(4096):
            self.heard += piece.decode()

    def type(self, line: str) -> None:
        """Types a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def until(self, *texts: str) -> None:
        """Returns once all of this stands there."""
        async with asyncio.timeout(WAIT_S):
            while not all(text in " ".join(self.heard.split()) for text in texts):
                assert not self._reading.done(), f"wanted {texts}, and it ended:\n{self.heard}"
                await asyncio.sleep(0.02)

    async def end(self) -> int:
        """Waits for its end; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(WAIT_S):
            status = await self.process.wait()
            await self._reading
        return status


Begin = Callable[[ScriptedBrain], Awaitable[Talker]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts a talk on the project with the wrong `add`."""
    talkers: list[Talker] = []

    async def started(brain: ScriptedBrain) -> Talker:
        root, home = tmp_path / "project", tmp_path / "home"
        if not talkers:
            home.mkdir()
            write_project(root, PROJECT)
        server = AnthropicServer(brain).start()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "agent_lsp", "chat", "--root", str(root)),
            env=environment(home, server, {}) | {"PATH": os.environ["PATH"]},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        talkers.append(Talker(root, server, process))
        return talkers[-1]

    yield started
    for talker in talkers:
        if talker.process.returncode is None:
            talker.process.kill()
            await talker.process.wait()
        talker.server.stop()
        assert talker.server.errors == []


async def test_a_goal_a_question_a_correction_and_the_change_in_one_talk(begin: Begin) -> None:
    go_on = threading.Event()

    def waits(request: ParsedRequest) -> Reply:
        go_on.wait(WAIT_S)
        return calls(FIX)

    pass_on = calls(Call("pass_on", {"words": "keep it short"}), text="Ich sage es weiter.")
    brain = ScriptedBrain([waits, calls(finish("add adds"))], chat=[say("Noch nichts."), pass_on])
    talker = await begin(brain)
    await talker.until("/help tells the rest")
    talker.type("make add add")
    await talker.until("I am at Do it.")
    talker.type("was ist bisher geschehen?")
    await talker.until("Noch nichts.")
    talker.type("halte dich kurz")
    await talker.until("Ich sage es weiter.")
    go_on.set()
    await talker.until("/apply writes it")
    assert "The person says: keep it short" in talker.server.in_phase("execution")[-1].text

    talker.type("/diff")
    await talker.until("+ return a + b", "verdict: proven")
    talker.type("/quit")
    await talker.until("A change is on offer, and leaving drops it")
    talker.type("/apply")
    await talker.until("Applied. `agent-lsp rollback c_")
    assert (talker.root / "calc.py").read_text() == CALC.replace("a - b", "a + b")
    talker.type("/quit")
    assert await talker.end() == 0


async def test_a_question_with_options_is_answered_by_a_number_and_a_step_is_taken_alone(begin: Begin) -> None:
    asks = calls(Call("ask_user", {"question": "Which way?", "options": ["by hand", "by machine"]}))
    asks_again = Call("ask_user", {"question": "How many?", "options": ["2", "1"]})
    brain = ScriptedBrain(
        [calls(asks_again), calls(FIX), calls(finish("add adds")), calls(finish("looked"))],
        planning=[asks, plan("Mend it", "Look at it")],
        reflection=[reflect("continue")],
    )
    talker = await begin(brain)
    talker.type("make add add")
    await talker.until("Which way? 1. by hand 2. by machine Say a number")
    talker.type("/pause")
    await talker.until("waits for you already")
    talker.type("2")
    await talker.until("How many? 1. 2 2. 1")
    assert "The person answers: by machine" in talker.server.in_phase("planning")[-1].text
    talker.type("/step")
    await talker.until("waits for you already; it cannot step")
    talker.type("1")
    await talker.until("/apply writes it")
    assert "The person answers: 1" in talker.server.in_phase("execution")[1].text
    talker.type("/apply")
    await talker.until("Applied.")
    assert await talker.end() == 0


async def test_what_was_interrupted_is_named_and_goes_on_when_its_person_says_so(begin: Begin) -> None:
    forever = threading.Event()

    def waits(_: ParsedRequest) -> Reply:
        forever.wait(WAIT_S)
        return calls(finish("never heard"))

    brain = ScriptedBrain([calls(FIX), waits, calls(finish("add adds"))])
    first = await begin(brain)
    first.type("make add add")
    async with asyncio.timeout(WAIT_S):
        while len(first.server.in_phase("execution")) < 2:
            await asyncio.sleep(0.02)
    first.process.kill()
    await first.process.wait()
    forever.set()

    again = await begin(brain)
    await again.until("Interrupted: make add add (/resume r_")
    run_id = again.heard.partition("/resume ")[2].split()[0]
    again.type("/resume r_nonesuch")
    await again.until("There is no interrupted run r_nonesuch.")
    again.type(f"/resume {run_id}")
    await again.until("/apply writes it")
    assert len(again.server.in_phase("planning")) == 0, "the plan is not paid for again"
    again.type("/left")
    await again.until("Nothing was interrupted here.")
    again.type("/apply")
    await again.until("Applied.")
    assert await again.end() == 0


async def test_what_makes_no_sense_is_answered_and_the_talk_goes_on(begin: Begin) -> None:
    talker = await begin(ScriptedBrain())
    for line, told in (
        ("/nonesuch", "There is no /nonesuch."),
        ("/apply", "No change is on offer."),
        ("/pause", "Nothing is being done."),
        ("/new", "/new needs a goal."),
        ("/plan", "There is no plan yet."),
    ):
        talker.type(line)
        await talker.until(told)
    assert talker.server.requests == []
    assert await talker.end() == 0
