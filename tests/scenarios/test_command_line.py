"""The commands of a shell: what they print, how they end, and that they leave nothing behind."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.anthropic_server import (
    AnthropicServer,
    Brain,
    Call,
    ScriptedBrain,
    call,
    calls,
    edit,
    finish,
    http_error,
    plan,
)
from tests.scenarios.looking import eventually, journal
from tests.scenarios.scene import CALC, PROJECT, WAIT_S, descendants, environment, write_project

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
RIGHT = CALC.replace("a - b", "a + b")
SLEEPER = "import time; time.sleep(603.25)"
SLEEP = Call("run_command", {"command": f'{sys.executable} -c "{SLEEPER}"'})


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass
class Shell:
    """A project to run commands in."""

    root: Path
    env: Mapping[str, str]
    model: AnthropicServer | None

    async def start(self, *words: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent_lsp",
            *words,
            cwd=self.root,
            env={**self.env, **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *words: str, typed: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
        process = await self.start(*words, env=env)
        return await ended(process, typed)


async def ended(process: asyncio.subprocess.Process, typed: bytes | None = None) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(typed), WAIT_S)
    assert process.returncode is not None
    said = Ended(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in said.err, said
    return said


MakeShell = Callable[..., Awaitable[Shell]]


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[MakeShell]:
    """Makes a project and its shell: `await shell(brain)`; no brain: the embedded engine."""
    models: list[AnthropicServer] = []
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here is ignored by our commands

    async def make(brain: Brain | None = None, files: Mapping[str, str | bytes] = PROJECT) -> Shell:
        root, home = tmp_path / "project", tmp_path / "home"
        root.mkdir()
        home.mkdir()
        write_project(root, files)
        if brain is not None:
            models.append(AnthropicServer(brain).start())
        model = models[-1] if models else None
        return Shell(root, environment(home, model, {}), model)

    yield make
    signal.signal(signal.SIGINT, heard)
    for model in models:
        model.stop()


# --- run ------------------------------------------------------------------------------------------------------------


async def test_run_json_prints_one_event_per_line_and_changes_nothing(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(execution=[calls(FIX), calls(finish("add adds now"))]))
    done = await agent("run", "make add add", "--json", "--test", GOAL_TEST)

    assert done.status == 0, done
    events: list[dict[str, Any]] = [json.loads(line) for line in done.out.splitlines()]
    states = [row["state"] for row in events if row["event"] == "run"]
    seen = list(dict.fromkeys(states))
    assert seen == ["planning", "executing", "validating", "proposed"], seen
    assert {"plan", "progress", "proposal"} <= {row["event"] for row in events}
    [proposal] = [row for row in events if row["event"] == "proposal"]
    assert proposal["verdict"]["decision"] == "proven"
    assert proposal["verdict"]["fixed"] == [GOAL_TEST]
    assert "+    return a + b" in proposal["diff"]
    assert len({row["runId"] for row in events if "runId" in row}) == 1
    assert (agent.root / "calc.py").read_text() == CALC
    assert journal(agent.root)[0].data["goal"] == "make add add"


async def test_run_apply_writes_the_change_and_shows_diff_and_verdict(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(execution=[calls(FIX), calls(finish("add [adds] now"))]))
    done = await agent("run", "make add add", "--apply", "--test", GOAL_TEST)

    assert done.status == 0, done
    assert (agent.root / "calc.py").read_text() == RIGHT
    assert "-    return a - b\n+    return a + b\n" in done.out
    assert "verdict: proven" in done.out
    assert f"fixed          {GOAL_TEST}" in done.out
    assert "applied; undo with the checkpoint c_" in done.out
    assert "add [adds] now" in done.out, "the model's words are text and no markup"
    assert done.err == ""


async def test_run_with_a_change_that_mends_nothing_ends_with_1_and_apply_does_not_write_it(shell: MakeShell) -> None:
    wrong = edit("calc.py", "return a * 2", "return a * 3")
    brain = ScriptedBrain(execution=[calls(wrong), calls(finish())])
    agent = await shell(brain)
    done = await agent("run", "make add add", "--apply", "--test", GOAL_TEST, env={"AGENT_LSP_BUDGET__TRIES": "1"})

    assert done.status == 1, done
    assert "not applied: " in done.out
    assert (agent.root / "calc.py").read_text() == CALC


async def test_run_whose_model_says_no_ends_with_1_and_the_reason(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(planning=[http_error(401, message="bad [/key]")]))
    done = await agent("run", "make add add")

    assert done.status == 1, done
    reason = "The model's endpoint refused the request (HTTP 401): bad [/key] Check the API key (ANTHROPIC_API_KEY)."
    assert f"failed: {reason}" in done.out


async def test_run_mode_plan_asks_and_takes_words_and_a_yes(shell: MakeShell) -> None:
    brain = ScriptedBrain(
        planning=[plan("Rewrite everything"), plan("Mend add")], execution=[calls(FIX), calls(finish())]
    )
    agent = await shell(brain)
    done = await agent("run", "make add add", "--mode", "plan", typed=b"only add please\ny\n")

    assert done.status == 0, done
    assert "1. Rewrite everything  [pending]" in done.out
    assert done.out.count("Carry out this plan? [y]es, or what to change: ") == 2
    assert agent.model is not None
    assert "only add please" in agent.model.in_phase("planning")[1].text


async def test_run_mode_plan_ends_with_2_where_nobody_answers_and_1_for_a_no(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain())
    nobody = await agent("run", "make add add", "--mode", "plan")
    assert nobody.status == 2, nobody
    assert nobody.err == "agent-lsp run: The run asks something and there is nobody to answer.\nUse --mode auto.\n"

    no = await agent("run", "make add add", "--mode", "plan", typed=b"n\n")
    assert no.status == 1, no
    assert "discarded" in no.out


async def test_a_question_of_the_model_is_asked_in_the_terminal(shell: MakeShell) -> None:
    ask = call("ask_user", question="Which one [a] or [b]?", options=["a", "b"])
    agent = await shell(ScriptedBrain(execution=[ask, calls(FIX), calls(finish())]))
    done = await agent("run", "make add add", typed=b"the first\n")

    assert done.status == 0, done
    assert "Which one [a] or [b]? a / b\n> " in done.out
    assert agent.model is not None
    [answer] = agent.model.in_phase("execution")[1].results
    assert "the first" in str(answer["content"])


async def interrupted(agent: Shell, process: asyncio.subprocess.Process) -> Ended:
    """Ctrl-C, and what is left a moment later: nothing."""
    below = descendants(process.pid)
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    took_s = time.monotonic() - began_s
    assert took_s <= 3.0, f"it took {took_s:.2f} s"
    assert done.status == 130, done
    await eventually(lambda: not alive_with(str(agent.root.parent)), 2.0)
    assert not [line for line in below if "603.25" in line and alive_with("603.25")]
    return done


def alive_with(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(mark) in text:
                found.append(entry.name)
    return found


async def test_ctrl_c_ends_a_run_at_once_with_130_and_leaves_nothing(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(execution=[calls(FIX), calls(SLEEP)]))
    process = await agent.start("run", "make add add", "--json")
    await eventually(lambda: [line for line in descendants(process.pid) if SLEEPER in line])
    done = await interrupted(agent, process)

    assert "cancelled; nothing was changed" in done.err
    assert (agent.root / "calc.py").read_text() == CALC
    assert [fact.data["state"] for fact in journal(agent.root) if fact.kind == "run.ended"] == ["cancelled"]
    assert not list((agent.root.parent / "home").glob("cache/*/candidates/*"))


async def test_ctrl_c_ends_a_run_that_waits_for_an_answer(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain())
    process = await agent.start("run", "make add add", "--mode", "plan")
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readuntil(b"what to change: "), WAIT_S)

    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), WAIT_S) == 130
    assert time.monotonic() - began_s <= 3.0
    await ended(process)


async def test_a_run_killed_in_a_terminal_is_named_by_the_next_and_resumed_there(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(execution=[calls(FIX), calls(SLEEP)]))
    process = await agent.start("run", "make add add", "--test", GOAL_TEST)
    await eventually(lambda: [line for line in descendants(process.pid) if SLEEPER in line])
    [run_id] = {fact.run_id for fact in journal(agent.root)}
    process.kill()
    await process.wait()

    assert agent.model is not None
    before = len(agent.model.requests)
    process = await agent.start("run", "--resume")
    await eventually(lambda: [line for line in descendants(process.pid) if SLEEPER in line])
    assert len(agent.model.requests) == before
    process.kill()
    await process.wait()

    other = await agent("run", "make double double", "--json")
    assert f"interrupted: make add add  (agent-lsp run --resume {run_id})" in other.err
    done = await agent("run", "--resume", "r_unknown")
    assert done.status == 2
    assert f"there is no interrupted run r_unknown\nThese are: {run_id}: make add add" in done.err
    done = await agent("run", "make add add", "--resume", run_id)
    assert (done.status, done.err) == (2, "agent-lsp run: give a goal or --resume, not both\n")


async def test_wrong_arguments_of_run_end_with_2_and_one_clear_line(shell: MakeShell) -> None:
    agent = await shell()
    nowhere = await agent("run", "make add add", "--root", "no/such/folder")
    assert (nowhere.status, nowhere.out) == (2, "")
    assert nowhere.err == (
        f"agent-lsp run: {agent.root}/no/such/folder is not a folder; name the workspace with --root\n"
    )
    empty = await agent("run", "  ")
    assert (empty.status, empty.out) == (2, "")
    assert empty.err == "agent-lsp run: the goal is empty; say in a sentence what should be true afterwards\n"
    unknown = await agent("run", "x", "--mode", "yolo")
    assert unknown.status == 2
    assert "invalid choice: 'yolo'" in unknown.err
    assert not (agent.root / ".agent-lsp").exists(), "nothing is made for a wrong command"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[model]\nnme = 'x'\n", "model.nme"),
        ("[budget]\nturns = 'many'\n", "budget.turns"),
        ("[model\n", "agent-lsp.toml"),
    ],
    ids=["unknown key", "wrong type", "no TOML"],
)
async def test_a_wrong_configuration_ends_with_2_naming_the_key_and_the_file(
    shell: MakeShell, text: str, named: str
) -> None:
    agent = await shell(files={**PROJECT, "agent-lsp.toml": text})
    done = await agent("run", "make the failing tests pass")

    assert done.status == 2, done
    assert done.out == ""
    assert done.err.startswith("agent-lsp run: "), done.err
    assert named in done.err
    assert str(agent.root / "agent-lsp.toml") in done.err
    assert len(done.err.splitlines()) <= 2


async def test_a_goal_that_the_embedded_engine_cannot_serve_is_refused_with_the_ways_to_a_model(
    shell: MakeShell,
) -> None:
    agent = await shell()
    done = await agent("run", "write a poem about the sea")
    assert done.status == 2, done
    assert "ANTHROPIC_API_KEY" in done.err


# --- doctor, log, replay ----------------------------------------------------------------------------------------------


async def test_doctor_json_tells_every_row_and_what_to_do_about_failing_ones(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain())
    done = await agent("doctor", "--json")
    assert done.status == 0, done
    rows = {row["name"]: row for row in json.loads(done.out)["rows"]}
    assert {"python", "git", "configuration", "cache", "test runner", "model", "editors"} <= set(rows)
    assert all(set(row) == {"name", "works", "seen", "advice", "needed"} for row in rows.values())
    assert all(row["works"] for name, row in rows.items() if name in ("python", "git", "configuration", "model"))
    assert rows["test runner"]["works"]
    assert "pytest" in rows["test runner"]["seen"]
    assert all(row["advice"] for row in rows.values() if not row["works"])

    assert rows["identity files"]["seen"] == "none"

    (agent.root / "agent-lsp.toml").write_text("[model]\nnme = 'x'\n")
    (agent.root / ".agent-lsp").mkdir(exist_ok=True)
    (agent.root / ".agent-lsp" / "IDENTITY.md").write_text("Be formal.")
    wrong = await agent("doctor", "--json")
    assert wrong.status == 1, wrong
    [named] = [row for row in json.loads(wrong.out)["rows"] if row["name"] == "identity files"]
    assert named["seen"] == ".agent-lsp/IDENTITY.md"
    [row] = [row for row in json.loads(wrong.out)["rows"] if row["name"] == "configuration"]
    assert row["works"] is False
    assert "nme" in row["seen"]


async def test_log_and_replay_show_what_a_run_left(shell: MakeShell) -> None:
    agent = await shell(ScriptedBrain(planning=[http_error(401, message="bad key")]))
    for command in ("log", "replay"):
        nothing = await agent(command)
        assert nothing.status == 1
        assert "yet; it is written by the first" in nothing.err

    assert (await agent("run", "make add add")).status == 1
    [run_id] = {fact.run_id for fact in journal(agent.root)}

    log = await agent("log")
    assert log.status == 0
    assert [line for line in log.out.splitlines() if f"run={run_id} " in line and "run.ended  failed" in line]
    errors = await agent("log", "--errors")
    assert errors.status == 0
    assert errors.out.startswith("=== COPILOT ERROR START ===\n")
    assert errors.out.rstrip().endswith("=== COPILOT ERROR END ===")
    assert "ModelRejectedError" in errors.out

    runs = await agent("replay")
    assert runs.status == 0
    assert runs.out == f"{run_id}  {'failed':18} make add add\n"
    run = await agent("replay", run_id)
    assert run.status == 0
    assert "goal: make add add" in run.out
    assert "failed: The model's endpoint refused the request (HTTP 401)" in run.out
    unknown = await agent("replay", "r_nothing")
    assert (unknown.status, unknown.out) == (1, "")
    assert unknown.err == "agent-lsp replay: no run r_nothing here; without an id the runs are listed\n"


async def test_log_follow_prints_what_comes_and_ends_with_ctrl_c(shell: MakeShell) -> None:
    agent = await shell()
    folder = agent.root / ".agent-lsp"
    folder.mkdir()
    path = folder / "copilot_console.log"
    path.write_text("first\n")
    process = await agent.start("log", "--follow")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), WAIT_S) == b"first\n"
    with path.open("a") as log:
        log.write("second\n")
    assert await asyncio.wait_for(process.stdout.readline(), WAIT_S) == b"second\n"
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert (done.status, done.out, done.err) == (130, "", "")


# --- serve, demo ------------------------------------------------------------------------------------------------------


async def test_serve_survives_garbage_and_keeps_stdout_for_the_protocol(shell: MakeShell) -> None:
    agent = await shell()
    noise = await agent("serve", typed=b"hello there\nthis is no frame\n")
    assert noise.status == 1, noise
    assert noise.out == ""

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}).encode()
    broken = b"Content-Length: 9\r\n\r\n{not JSON"
    typed = broken + b"Content-Length: %d\r\n\r\n" % len(body) + body
    done = await agent("serve", typed=typed)
    assert done.status == 1, "the editor left without exit"
    frames = [json.loads(part.partition("\r\n\r\n")[2]) for part in done.out.split("Content-Length: ")[1:]]
    answers = {frame.get("id"): frame for frame in frames if "method" not in frame}
    assert answers[None]["error"]["code"] == -32700
    assert "capabilities" in answers[1]["result"]


async def test_demo_refuses_a_folder_that_holds_something(shell: MakeShell) -> None:
    agent = await shell()
    done = await agent("demo", "--keep", str(agent.root))
    assert (done.status, done.out) == (2, "")
    assert done.err == f"agent-lsp demo: {agent.root} is not empty; name an empty or new folder\n"
    on_file = await agent("demo", "--keep", str(agent.root / "calc.py"))
    assert on_file.status == 2
    assert "calc.py" in on_file.err
