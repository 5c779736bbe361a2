"""Who the agent is and whom it works for, in the person's words: in every request of every phase, and in the talk."""

import asyncio
import itertools
import json
from pathlib import Path

from tests.anthropic_server import AnthropicServer, ScriptedBrain, call, calls, edit, finish, plan, reflect
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import PROJECT, WAIT_S
from tests.scenarios.wires import at, sent

SECRET = "hunter2-correct-horse-7"
OWN = {"IDENTITY.md": "Be brief and kind.\n", "USER.md": f"I am Ada, and my password = '{SECRET}'.\n"}
FILES = {
    **PROJECT,
    "AGENTS.md": "Always use tabs.\n",
    ".gitignore": ".agent-lsp/\n",
    ".agent-lsp/IDENTITY.md": "Here, be formal.\n",
}
WRONG = calls(edit("calc.py", "return a - b", "return a * b"))
RIGHT = calls(edit("calc.py", "return a * b", "return a + b"))


def person(home: Path) -> dict[str, str]:
    """The environment of a person who has written these files."""
    folder = home / "agent-lsp"
    folder.mkdir(parents=True)
    for name, text in OWN.items():
        (folder / name).write_text(text)
    return {"XDG_CONFIG_HOME": str(home)}


async def test_every_request_of_every_phase_and_of_the_talk_has_them_before_the_rules(
    stage: Stage, endpoint: AnthropicServer, tmp_path: Path
) -> None:
    look = call("read_file", path="calc.py")
    endpoint.brain = ScriptedBrain(
        [WRONG, calls(finish()), RIGHT, calls(finish())],
        planning=[look, plan("Do it")],
        reflection=[look, reflect("retry")],
    )
    scene = await stage(FILES, env={**at(endpoint), **person(tmp_path / "person")})
    run_id = await scene.run("make add add")
    await scene.until(run_id, "proposed")
    (scene.root / ".agent-lsp" / "IDENTITY.md").write_text("From the next run on, be merry.\n")
    await scene.client.command("agent.say", {"runId": run_id, "text": "what was done?"})
    async with asyncio.timeout(WAIT_S):
        while not endpoint.in_phase("chat"):
            await asyncio.sleep(0.02)

    for phase in ("planning", "execution", "reflection", "chat"):
        asked = endpoint.in_phase(phase)
        assert asked, phase
        for request in asked:
            told = [request.system.index(text) for text in ("Be brief and kind.", "Here, be formal.", "I am Ada")]
            assert told == sorted(told), "the person's, then the workspace's, then whom it works for"
            assert told[-1] < request.system.index("Always use tabs.")
        for before, after in itertools.pairwise(asked):
            assert before.system == after.system, "what a provider may keep in its cache stays"
            assert json.dumps(before.body["tools"]) == json.dumps(after.body["tools"])
    assert SECRET not in sent(endpoint)
    assert "password = '<secret-" in endpoint.requests[0].system
    assert "merry" not in sent(endpoint)


async def test_what_cannot_be_given_is_told_by_the_log_and_the_run_goes_on(
    stage: Stage, endpoint: AnthropicServer, tmp_path: Path
) -> None:
    endpoint.brain = ScriptedBrain([calls(edit("calc.py", "return a - b", "return a + b")), calls(finish())])
    files = {**FILES, ".agent-lsp/IDENTITY.md": b"caf\xe9"}
    environment = person(tmp_path / "person")
    own = tmp_path / "person" / "agent-lsp"
    (own / "IDENTITY.md").write_text("Be brief." + "x" * 20_000)
    scene = await stage(files, env={**at(endpoint), **environment})
    await scene.until(await scene.run("make add add"), "proposed")
    system = endpoint.requests[0].system
    assert "Be brief." in system
    assert "I am Ada" in system
    assert "caf" not in system
    await scene.logged(
        f"{own / 'IDENTITY.md'} is too long: only its first 12,000 characters are given",
        f"{scene.root / '.agent-lsp' / 'IDENTITY.md'} is left out: it is not UTF-8 text",
    )
