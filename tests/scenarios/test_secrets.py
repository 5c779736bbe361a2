"""What of a person's secrets and private files reaches a model: nothing, in both wire formats, and edits keep them."""

import re
from collections.abc import Mapping
from typing import Any

from tests.anthropic_server import AnthropicServer, Call, ParsedRequest, Reply, ScriptedBrain, call, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import PROJECT, Scene
from tests.scenarios.wires import answers, at, sent

SECRET = "s3cretWithLetters99"
PRIVATE = "OnlyTheDiskKnows42"
FILES: Mapping[str, str | bytes] = {
    **PROJECT,
    "settings.py": f'URL = "https://example.invalid"\nPASSWORD = "{SECRET}"\nTIMEOUT = 1\n',
    ".env": f"# of the person\nDB_PASSWORD={PRIVATE}\nDEBUG_MODE=sometimes\n",
    "notes/plan.txt": "the plan of the person\n",
    ".gitignore": ".env\n",
    "agent-lsp.toml": '[context]\nprivate = ["notes/"]\n',
    "show.py": "print(open('.env').read())\n",
}


def placeholder(request: ParsedRequest) -> str:
    found = re.search(r'PASSWORD = "(<secret-[0-9a-f]{8}>)"', request.text)
    assert found is not None, request.text
    return found[1]


async def proposed(stage: Stage, endpoint: AnthropicServer, *turns: Any, goal: str = "make add add") -> Scene:
    endpoint.brain = ScriptedBrain(turns)
    scene = await stage(FILES, env=at(endpoint))
    run_id = await scene.run(goal)
    await scene.until(run_id, "proposed")
    return scene


FIX = edit("calc.py", "return a - b", "return a + b")


async def test_a_secret_in_a_file_arrives_as_a_placeholder_and_edits_around_it_keep_it(
    stage: Stage, endpoint: AnthropicServer
) -> None:
    def rename(request: ParsedRequest) -> Reply:
        line = f'PASSWORD = "{placeholder(request)}"'
        return calls(edit("settings.py", f"{line}\nTIMEOUT = 1", f"DB_{line}\nTIMEOUT = 2"))

    def whole(request: ParsedRequest) -> Reply:
        return calls(Call("write_file", {"path": "copy.py", "content": f'KEY = "{placeholder(request)}"\n'}))

    def patch(request: ParsedRequest) -> Reply:
        line = f'PASSWORD = "{placeholder(request)}"'
        text = f"--- a/settings.py\n+++ b/settings.py\n@@ -1,3 +1,3 @@\n-DB_{line}\n+THE_{line}\n TIMEOUT = 2\n"
        return call("apply_patch", patch=text)

    invented = edit("calc.py", "return a * 2", 'return "<secret-00000000>"')
    look = call("read_file", path="settings.py")
    scene = await proposed(stage, endpoint, look, rename, whole, patch, calls(invented), calls(FIX), calls(finish()))

    [row] = (await scene.client.command("agent.status", {}))["runs"]
    assert (await scene.apply(row["proposalId"]))["applied"] is True
    assert SECRET not in sent(endpoint)
    assert f'THE_PASSWORD = "{SECRET}"\nTIMEOUT = 2\n' in (scene.root / "settings.py").read_text()
    assert (scene.root / "copy.py").read_text() == f'KEY = "{SECRET}"\n'
    assert any("<secret-00000000> stands for nothing" in answer for answer in answers(endpoint))


async def test_private_files_stay_private_whatever_tool_is_used(stage: Stage, endpoint: AnthropicServer) -> None:
    look = calls(
        Call("read_file", {"path": ".env"}),
        Call("read_file", {"path": "notes/plan.txt"}),
        Call("search", {"pattern": "the plan of"}),
        Call("list_files", {}),
        Call("move_file", {"path": "notes/plan.txt", "new_path": "plan.txt"}),
        Call("write_file", {"path": "notes/plan.txt", "content": "mine"}),
        Call("run_command", {"command": "cat .env; grep -n . .env notes/plan.txt; ln -s .env seen.txt"}),
        Call("read_file", {"path": "seen.txt"}),
        Call("run_command", {"command": "python3 show.py; rm seen.txt"}),
        Call("run_command", {"command": "echo added >> notes/plan.txt"}),
    )
    scene = await proposed(stage, endpoint, look, calls(FIX), calls(finish()), goal="make add add, see .env")

    everything = sent(endpoint)
    for known in (PRIVATE, "of the person", "DEBUG_MODE=sometimes", SECRET):
        assert known not in everything
    env, notes, hits, listed, moved, written, shell, link, shown, _ = answers(endpoint)[:10]
    assert ".env is private" in env
    assert "notes/plan.txt is private" in notes
    assert "Nothing matches" in hits
    assert "notes/plan.txt  (private: cannot be read)" in listed
    assert "is private" in moved
    assert "is private" in written
    assert all("<secret-" in answer for answer in (shell, link, shown)), (shell, link, shown)
    assert "Exit status 0" in shown, "the program itself reads the file"
    del scene


async def test_what_the_project_says_about_itself_is_masked_too(stage: Stage, endpoint: AnthropicServer) -> None:
    endpoint.brain = ScriptedBrain([calls(FIX), calls(finish(f"the password is {SECRET}"))])
    files = {**FILES, "AGENTS.md": f"Log in with password = '{SECRET}'.\n"}
    scene = await stage(files, env=at(endpoint))
    uri = scene.open("calc.py", f"# api_key = '{SECRET}'\n" + str(PROJECT["calc.py"]))
    run_id = await scene.run(f"use the password '{SECRET}'", uri=uri)
    await scene.until(run_id, "proposed")
    assert SECRET not in sent(endpoint)
    names = set(re.findall(r"<secret-[0-9a-f]{8}>", endpoint.requests[0].text + endpoint.requests[0].system))
    assert len(names - {"<secret-1a2b3c4d>"}) == 1, "one secret has one name"
