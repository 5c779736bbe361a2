"""Owns small likenesses of what went wrong on real projects: other people's packages, their suites and layouts."""

import asyncio
import json
import re
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.anthropic_server import ScriptedBrain, calls, edit, finish, reflect
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, PROJECT, SERVE, WAIT_S, environment, write_project
from tests.server.raw_client import VSCODE, RawClient, aware

FIX = edit("calc.py", "return a - b", "return a + b")

SRC_LAYOUT: Mapping[str, str | bytes] = {
    "src/shapes/__init__.py": "from shapes.area import rectangle\n",
    "src/shapes/area.py": "def rectangle(width, height):\n    return width + height\n",
    "tests/test_area.py": "from shapes import rectangle\n\n\ndef test_rectangle():\n    assert rectangle(3, 4) == 12\n",
    "pyproject.toml": '[project]\nname = "shapes"\nversion = "1"\n\n[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
    ".gitignore": ".venv/\n__pycache__/\n",
}
FIX_AREA = edit("src/shapes/area.py", "width + height", "width * height")


def install_editable(root: Path) -> None:
    """A `.venv` as `pip install -e .` leaves it: a `.pth` file that names `src` by its absolute path."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(root / ".venv")
    [packages] = (root / ".venv").glob("lib/python*/site-packages")
    (packages / "shapes.pth").write_text(f"{root / 'src'}\n{sysconfig.get_path('purelib')}\n")


def byte_code(root: Path) -> list[str]:
    """Caches of compiled modules that lie beside the project's own files."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("__pycache__") if ".venv" not in path.parts)


async def command_line(home: Path, root: Path, *words: str) -> str:
    """What `agent-lsp WORDS` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent_lsp", *words, "--root", str(root)),
        env=environment(home, None, {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_who_hears_by_the_progress_that_a_run_is_over_finds_it_so_in_its_row(tmp_path: Path) -> None:
    root, home = tmp_path / "project", tmp_path / "home"
    for folder in (root, home):
        folder.mkdir()
    write_project(root, PROJECT)

    out = await command_line(home, root, "run", "make the failing tests pass", "--json")

    events = [json.loads(line) for line in out.splitlines()]
    about_the_run = [event for event in events if event["event"] in ("run", "progress")]
    told = [event["event"] for event in about_the_run if event["state"] == "proposed"]
    assert told[0] == "run", "the progress said it before the row did"
    first_row = next(event for event in events if event["event"] == "run" and event["state"] == "proposed")
    assert first_row["proposalId"]
    assert first_row["verdict"] == "proven"


async def test_a_run_left_undecided_by_its_person_is_not_told_as_a_crash(stage: Stage, tmp_path: Path) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    run_id = await scene.run("fix add")
    await scene.until(run_id, "proposed")
    assert await scene.client.close() == 0
    home = tmp_path / "home0"

    await command_line(home, scene.root, "run", "make the failing tests pass")  # closes what a crash left
    story = await command_line(home, scene.root, "replay", run_id)

    assert "waits for the next start" in story
    assert "run.ended" not in story
    assert "unexpectedly" not in story


async def test_an_unsaved_break_in_an_editable_src_layout_is_mended_in_the_buffer(stage: Stage) -> None:
    right = str(SRC_LAYOUT["src/shapes/area.py"]).replace("+", "*")
    scene = await stage({**SRC_LAYOUT, "src/shapes/area.py": right})
    install_editable(scene.root)
    uri = scene.open("src/shapes/area.py", right.replace("*", "+"))

    run_id = await scene.run("make the failing tests pass", uri=uri)
    await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)
    answer = await scene.apply(proposal["proposalId"])

    assert proposal["verdict"]["decision"] == "proven"
    assert answer["applied"] is True, answer
    assert scene.text(uri) == right
    assert (scene.root / "src/shapes/area.py").read_text() == right
    assert await scene.client.close() == 0
    assert byte_code(scene.root) == []


async def test_a_plain_copy_of_an_editable_src_layout_is_honest_and_leaves_no_byte_code(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX_AREA), calls(finish())], reflection=[reflect("abort")] * 3)
    scene = await stage(SRC_LAYOUT, brain, env={"AGENT_LSP_SANDBOX__KIND": "clone"})
    install_editable(scene.root)

    run_id = await scene.run("rectangles have the wrong area", uri=scene.open("src/shapes/area.py"))
    await scene.until(run_id, "proposed", "failed")
    proposal = await scene.proposal(run_id)

    verdict = proposal["verdict"]
    assert verdict["decision"] in ("proven", "undecided")
    assert verdict["decision"] == "proven" or "was not loaded" in " ".join(verdict["reasons"])
    assert await scene.client.close() == 0
    assert byte_code(scene.root) == []


async def test_source_that_asks_whether_a_test_runs_it_is_not_proven(stage: Stage) -> None:
    cheat = edit(
        "calc.py", "    return a - b", "    import sys\n    return a + b if 'pytest' in sys.modules else a - b"
    )
    brain = ScriptedBrain(execution=[calls(cheat), calls(finish())], reflection=[reflect("abort")] * 3)
    scene = await stage(brain=brain)

    run_id = await scene.run("fix add", tests=["tests/test_add.py::test_add"])
    await scene.until(run_id, "proposed", "failed")
    verdict = (await scene.proposal(run_id))["verdict"]

    assert verdict["decision"] != "proven"
    assert "pytest" in " ".join(verdict["reasons"])


async def test_undoing_an_earlier_session_s_change_first_thing_says_that_it_is_done(tmp_path: Path) -> None:
    root, home = tmp_path / "project", tmp_path / "home"
    for folder in (root, home):
        folder.mkdir()
    write_project(root, PROJECT)
    out = await command_line(home, root, "run", "make the failing tests pass", "--apply")
    [checkpoint] = re.findall(r"checkpoint (c_\w+)", out)
    assert (root / "calc.py").read_text() != CALC
    client = RawClient()
    await client.start(SERVE, cwd=root, env=environment(home, None, {}))
    try:
        await client.initialize(aware(VSCODE), root)
        argument = {"command": "agent.rollback", "arguments": [{"checkpointId": checkpoint}]}
        answer = await client.request("workspace/executeCommand", argument, timeout_s=WAIT_S)
        if answer.get("pending"):  # the runtime had to start first, which is no failure to undo
            await client.wait_for("window/showMessage", lambda told: "was rolled back" in told["message"], WAIT_S)
        else:
            assert answer.get("applied") is True, answer
    finally:
        await client.kill()

    assert (root / "calc.py").read_text() == CALC


async def test_a_goal_test_may_be_named_as_unittest_names_it_and_the_scope_bounds_what_runs(stage: Stage) -> None:
    unit = "import unittest\n\nfrom calc import add\n\n\nclass TestSum(unittest.TestCase):\n    def test_sum(self):\n"
    files = {**PROJECT, "tests/test_sum.py": unit + "        self.assertEqual(add(1, 2), 3)\n"}
    scene = await stage(files, ScriptedBrain(execution=[calls(FIX), calls(finish())]))

    run_id = await scene.run("fix add", tests=["test_sum (tests.test_sum.TestSum)"], scope=["tests/test_sum.py"])
    await scene.until(run_id, "proposed")
    verdict = (await scene.proposal(run_id))["verdict"]

    assert (verdict["decision"], verdict["collected"]) == ("proven", 1), verdict
    assert verdict["fixed"] == ["tests/test_sum.py::TestSum::test_sum"]
