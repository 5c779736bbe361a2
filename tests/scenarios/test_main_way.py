"""The way of a goal, whole: from a sentence to an applied and undone change."""

import pytest

from tests.anthropic_server import ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.server.raw_client import NEOVIM, VSCODE, Json, aware, width

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"


@pytest.mark.parametrize("profile", [aware(VSCODE), NEOVIM], ids=["vscode", "neovim"])
async def test_a_one_step_fix_is_proposed_with_its_proof_applied_and_rolled_back(stage: Stage, profile: Json) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish("add adds now"))])
    scene = await stage(brain=brain, profile=profile)
    uri = scene.open("calc.py")
    before = scene.text(uri)

    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    verdict = proposal["verdict"]
    assert verdict["decision"] == "proven"
    assert verdict["fixed"] == [GOAL_TEST]
    assert verdict["broken"] == []
    assert (verdict["collected"], verdict["ran"]) == (2, 2)
    assert (verdict["changedLines"], verdict["changedLinesRun"]) == (1, 1)
    assert len(verdict["candidate"]) == 40
    assert row["usage"]["turns"] >= 2
    [file] = proposal["files"]
    [hunk] = file["hunks"]
    assert (file["uri"], file["kind"], file["baseVersion"]) == (uri, "modify", 1)
    assert hunk["range"] == {"start": {"line": 1, "character": 0}, "end": {"line": 2, "character": 0}}
    assert (hunk["oldText"], hunk["newText"]) == ("    return a - b\n", "    return a + b\n")
    assert hunk["class"] == "source"

    answer = await scene.apply(proposal["proposalId"])
    assert answer["applied"] is True, answer
    assert scene.text(uri) == before.replace("a - b", "a + b")
    assert (scene.root / "calc.py").read_text() == before, "an open document is edited in the editor, not on disk"
    assert (await scene.status(run_id))["state"] == "applied"

    undone = await scene.rollback(answer["checkpointId"])
    assert undone["applied"] is True, undone
    assert scene.text(uri) == before
    assert await scene.client.close() == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_astral_characters_before_the_edit_do_not_move_it(stage: Stage, encoding: str) -> None:
    files = {
        "calc.py": 'NAME = "\U0001d482\U0001d483 👩\u200d🚀 é"; add = lambda a, b: a - b  # \U0001d49b',
        "tests/test_add.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
    }
    brain = ScriptedBrain(execution=[calls(edit("calc.py", "a - b", "a + b")), calls(finish())])
    profile = aware(NEOVIM if encoding == "utf-8" else VSCODE)
    scene = await stage(files, brain, profile=profile)
    assert scene.client.encoding == encoding
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri)
    await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    end = proposal["files"][0]["hunks"][0]["range"]["end"]
    assert end == {"line": 0, "character": sum(width(char, encoding) for char in files["calc.py"])}
    assert (await scene.apply(proposal["proposalId"]))["applied"] is True
    assert scene.text(uri) == files["calc.py"].replace("a - b", "a + b")
