"""What a change is judged to be, seen from the editor: the verdict, the run's state and whether it may be applied."""

import sys
import venv
from pathlib import Path

import pytest

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish, plan, reflect
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, CONFIG, PROJECT, TEST_ADD, Scene
from tests.server.raw_client import Json, uri_for

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
DOUBLE_TEST = "tests/test_double.py::test_double"
ZERO = TEST_ADD.replace("test_add", "test_zero").replace("1, 2) == 3", "0, 0) == 0")
ONE_TRY = {"budget": {"tries": 1}}
"""So that a change that is not acceptable ends the run at once, without asking the model again."""


async def refused(scene: Scene, run_id: str) -> Json:
    """Tries to apply the run's proposal, which must change nothing; the answer."""
    before = {path: path.read_bytes() for path in scene.root.rglob("*.py")}
    row = await scene.status(run_id)
    answer = await scene.apply(row["proposalId"])
    assert answer["applied"] is False, answer
    assert {path: path.read_bytes() for path in scene.root.rglob("*.py")} == before
    assert not scene.client.heard("workspace/applyEdit")
    assert (await scene.status(run_id))["state"] == row["state"]
    return answer


async def test_after_a_failed_try_the_model_sees_the_tests_output_and_the_second_try_is_proposed(stage: Stage) -> None:
    first, second = edit("calc.py", "return a - b", "return a * b"), edit("calc.py", "return a * b", "return a + b")
    brain = ScriptedBrain(
        execution=[calls(first), calls(finish()), calls(second), calls(finish("add adds now"))],
        reflection=[reflect("retry", "Multiplying is not adding.")],
    )
    scene = await stage(brain=brain)
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    row = await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    assert row["verdict"] == proposal["verdict"]["decision"] == "proven"
    assert proposal["verdict"]["fixed"] == [GOAL_TEST]
    assert [hunk["newText"] for hunk in proposal["files"][0]["hunks"]] == ["    return a + b\n"]
    assert scene.model is not None
    before, after = (request.text for request in scene.model.in_phase("execution")[1:3])
    for shown in (GOAL_TEST, "assert 2 == 3", "add(1, 2)", "Multiplying is not adding."):
        assert shown in after, f"the second try was not shown {shown!r}"
    assert "assert 2 == 3" not in before
    [judged] = scene.model.in_phase("reflection")
    assert "assert 2 == 3" in judged.text, "the reflection judges on the tests' own words"


async def test_a_change_that_breaks_another_test_is_refused_with_the_name_of_that_test(stage: Stage) -> None:
    breaking = edit("calc.py", "return a * 2", "return a * 3")
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX, breaking), calls(finish())]), options=ONE_TRY)
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri, tests=[GOAL_TEST])
    row = await scene.until(run_id, "failed")
    proposal = await scene.proposal(run_id)

    assert row["proposalId"] == proposal["proposalId"]
    assert row["verdict"] == proposal["verdict"]["decision"] == "regressed"
    assert proposal["verdict"]["broken"] == [DOUBLE_TEST]
    assert proposal["verdict"]["fixed"] == [GOAL_TEST]
    answer = await refused(scene, run_id)
    assert DOUBLE_TEST in answer["reason"]
    assert answer["verdict"]["decision"] == "regressed"
    assert scene.text(uri) == CALC
    [broken] = scene.client.diagnostics[uri_for(scene.root / "tests" / "test_double.py")]
    assert (broken["source"], broken["severity"]) == ("agent-lsp", 1)
    assert DOUBLE_TEST in broken["message"]
    accepts = [a for a in await scene.client.actions(uri, 1) if a["title"].startswith("Accept")]
    assert accepts
    assert all(DOUBLE_TEST in action["disabled"]["reason"] for action in accepts)


GONE = edit("tests/test_add.py", "    assert add(1, 2) == 3\n", "    add(1, 2)\n")
SKIP = edit("tests/test_add.py", "def test_add", "@pytest.mark.skip\ndef test_add")
IMPORT = edit("tests/test_add.py", "from calc import add\n", "import pytest\n\nfrom calc import add\n")


@pytest.mark.parametrize(
    ("changes", "tests", "decision", "state"),
    [
        ((GONE,), [], "undecided", "proposed"),
        ((GONE, FIX), [GOAL_TEST], "failed", "failed"),
        ((SKIP, IMPORT), [], "undecided", "proposed"),
        ((SKIP, IMPORT), [GOAL_TEST], "failed", "failed"),
    ],
    ids=["assertion deleted", "goal's assertion deleted", "skip mark added", "goal skipped"],
)
async def test_a_weakened_test_is_flagged_and_never_counts_as_green(
    stage: Stage, changes: tuple[Call, ...], tests: list[str], decision: str, state: str
) -> None:
    scene = await stage(brain=ScriptedBrain(execution=[calls(*changes), calls(finish())]), options=ONE_TRY)

    run_id = await scene.run("make add add", tests=tests)
    row = await scene.until(run_id, state)
    verdict = (await scene.proposal(run_id))["verdict"]

    assert row["verdict"] == verdict["decision"] == decision
    assert verdict["fixed"] == []
    assert verdict["broken"] == []
    assert verdict["removedOrWeakened"]
    assert all(GOAL_TEST in text for text in verdict["removedOrWeakened"])
    answer = await refused(scene, run_id)
    assert "weakens or removes" in answer["reason"]


async def test_twelve_known_failures_are_not_broken_and_do_not_hide_the_proof(stage: Stage) -> None:
    known = "import pytest\n\n\n@pytest.mark.parametrize('n', range(12))\ndef test_known(n):\n    assert n < 0\n"
    files = {**PROJECT, "tests/test_known.py": known}
    scene = await stage(files, ScriptedBrain(execution=[calls(FIX), calls(finish())]))
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri)
    await scene.until(run_id, "proposed")
    verdict = (await scene.proposal(run_id))["verdict"]

    assert verdict["decision"] == "proven"
    assert verdict["fixed"] == [GOAL_TEST]
    assert verdict["broken"] == []
    assert sorted(verdict["stillFailing"]) == sorted(f"tests/test_known.py::test_known[{n}]" for n in range(12))
    assert (verdict["collected"], verdict["ran"]) == (14, 14)
    titles = [lens["command"]["title"] for lens in await scene.client.lenses(uri)]
    assert any(title.startswith("Accept") and "0 broken" in title and "12 as before" in title for title in titles)
    assert scene.model is not None
    assert not scene.model.in_phase("reflection"), "there is nothing to judge"


async def test_with_nothing_collected_the_change_is_shown_as_untested_and_not_applied(stage: Stage) -> None:
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish())], reflection=[reflect("continue", "No tests here.")])
    scene = await stage({"calc.py": CALC, "pyproject.toml": CONFIG}, brain)
    uri = scene.open("calc.py")

    run_id = await scene.run("make add add", uri=uri)
    row = await scene.until(run_id, "proposed")
    verdict = (await scene.proposal(run_id))["verdict"]

    assert row["verdict"] == verdict["decision"] == "undecided"
    assert (verdict["collected"], verdict["ran"]) == (0, 0)
    assert "nothing was tested" in verdict["reasons"][0]
    lenses = [lens["command"]["title"] for lens in await scene.client.lenses(uri)]
    assert any("untested" in title for title in lenses)
    assert not any(title.startswith("Accept") for title in lenses)
    assert "nothing was tested" in (await refused(scene, run_id))["reason"]
    assert scene.text(uri) == CALC


async def test_an_added_test_is_listed_with_whether_it_failed_without_the_change(stage: Stage) -> None:
    more = "\n\ndef test_negative():\n    assert add(-1, -1) == -2\n\n\ndef test_idle():\n    assert add(0, 0) == 0\n"
    added = Call("write_file", {"path": "tests/test_add.py", "content": TEST_ADD + more})
    scene = await stage(brain=ScriptedBrain(execution=[calls(FIX, added), calls(finish())]))

    run_id = await scene.run("make add add, with tests")
    await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    verdict = proposal["verdict"]
    assert verdict["decision"] == "proven"
    assert verdict["fixed"] == [GOAL_TEST]
    assert sorted((row["id"], row["failedWithoutChange"]) for row in verdict["added"]) == [
        ("tests/test_add.py::test_idle", False),
        ("tests/test_add.py::test_negative", True),
    ]
    assert verdict["removedOrWeakened"] == []
    assert any("tests/test_add.py::test_idle" in reason for reason in verdict["reasons"])
    classes = {file["uri"]: [hunk["class"] for hunk in file["hunks"]] for file in proposal["files"]}
    assert classes == {
        uri_for(scene.root / "calc.py"): ["source"],
        uri_for(scene.root / "tests" / "test_add.py"): ["test"],
    }


async def test_without_a_model_failing_tests_are_mended_by_a_search_and_other_goals_refused_with_the_ways_out(
    stage: Stage,
) -> None:
    scene = await stage()
    uri = scene.open("calc.py")

    run_id = await scene.run("make the failing tests pass")
    row = await scene.until(run_id, "proposed")
    proposal = await scene.proposal(run_id)

    assert row["verdict"] == proposal["verdict"]["decision"] == "proven"
    assert proposal["verdict"]["fixed"] == [GOAL_TEST]
    assert "Found by the embedded search over small edits, not by a language model" in proposal["summary"]
    answer = await scene.client.command("agent.run", {"goal": "write a README"})
    assert set(answer) == {"error"}
    assert answer["error"]["code"] == "no_model"
    ways = answer["error"]["message"] + answer["error"]["hint"]
    assert "ANTHROPIC_API_KEY" in ways
    assert "agent-lsp.toml" in ways
    rows = (await scene.client.command("agent.status"))["runs"]
    assert [row["runId"] for row in rows] == [run_id], "a refused goal leaves no run behind"
    assert (await scene.apply(proposal["proposalId"]))["applied"] is True
    assert scene.text(uri) == CALC.replace("a - b", "a + b")


async def test_a_plan_edited_before_its_approval_is_what_is_carried_out(stage: Stage) -> None:
    brain = ScriptedBrain(
        planning=[plan("Mend the sum", "Say what it does", "Rename things")],
        execution=[
            calls(FIX),
            calls(finish("add adds")),
            calls(edit("calc.py", "def add(a, b):\n", 'def add(a, b):\n    """The sum."""\n')),
            calls(finish("said so")),
            calls(Call("write_file", {"path": "tests/test_zero.py", "content": ZERO})),
            calls(finish("one more test")),
        ],
        reflection=[reflect("continue"), reflect("continue")],
    )
    scene = await stage(brain=brain)

    run_id = await scene.run("make add add and say so", mode="plan")
    await scene.until(run_id, "awaiting_approval")
    told = await scene.client.wait_for("agent/plan", lambda params: params["runId"] == run_id)
    assert [step["title"] for step in told["steps"]] == ["Mend the sum", "Say what it does", "Rename things"]
    assert scene.model is not None
    assert not scene.model.in_phase("execution"), "nothing is done before the plan is approved"
    edited: list[Json] = [
        {"title": "Mend add first", "detail": "Only the operator."},
        {"title": "Write a docstring", "detail": "One line."},
        {"title": "Test the zero", "detail": "In a file of its own.", "files": ["tests/test_zero.py"]},
    ]
    answer = await scene.client.command("agent.plan.approve", {"runId": run_id, "steps": edited})
    assert answer == {"state": "executing"}
    row = await scene.until(run_id, "proposed", timeout_s=180)

    assert (row["step"], row["steps"], row["verdict"]) == (3, 3, "proven")
    prompts = [request.text for request in scene.model.in_phase("execution")]
    assert len(prompts) == 6
    for number, step in enumerate(edited):
        assert f"Step {number + 1} of 3: {step['title']}" in prompts[2 * number]
        assert step["detail"] in prompts[2 * number]
    assert not any("Rename things" in text or "Mend the sum" in text for text in prompts)
    paths = {file["uri"].rpartition("/")[2]: file["kind"] for file in (await scene.proposal(run_id))["files"]}
    assert paths == {"calc.py": "modify", "test_zero.py": "create"}


async def test_a_plan_rejected_with_feedback_is_made_again_and_without_it_the_run_ends(stage: Stage) -> None:
    scene = await stage(brain=ScriptedBrain(planning=[plan("Rewrite it all"), plan("Change one operator")]))
    run_id = await scene.run("make add add", mode="plan")
    await scene.until(run_id, "awaiting_approval")

    answer = await scene.client.command("agent.plan.reject", {"runId": run_id, "feedback": "Too much: keep it small."})
    assert answer == {"state": "planning"}
    second = await scene.client.wait_for(
        "agent/plan", lambda params: params["steps"][0]["title"] == "Change one operator", timeout_s=90
    )
    await scene.until(run_id, "awaiting_approval")

    assert second["runId"] == run_id
    assert scene.model is not None
    asked = scene.model.in_phase("planning")
    assert len(asked) == 2
    assert "Too much: keep it small." in asked[1].text
    assert "Rewrite it all" in asked[1].text
    assert await scene.client.command("agent.plan.reject", {"runId": run_id}) == {"state": "discarded"}
    row = await scene.until(run_id, "discarded")
    assert "proposalId" not in row
    assert not scene.model.in_phase("execution")


async def test_an_identical_failing_tool_call_is_stopped_at_the_third_time_with_a_reason(stage: Stage) -> None:
    wrong = edit("calc.py", "return a / b", "return a + b")
    scene = await stage(brain=ScriptedBrain(execution=[calls(wrong)] * 5), options=ONE_TRY)

    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "failed")

    assert scene.model is not None
    assert len(scene.model.in_phase("execution")) == 3
    assert "edit_file" in row["message"]
    assert "3 times" in row["message"]
    assert "proposalId" not in row
    assert (scene.root / "calc.py").read_text() == CALC


async def test_a_change_that_the_tests_did_not_load_is_undecided_however_green_they_are(
    stage: Stage, tmp_path: Path
) -> None:
    """The false green of a `src/` layout: the tests import the copy that was installed, not the workspace."""
    home = tmp_path / "installed"
    venv.create(home, symlinks=True, with_pip=False)
    site = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "runner.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    (site / "calc").mkdir()
    (site / "calc" / "__init__.py").write_text(CALC.replace("a - b", "a + b"))
    files = {
        "src/calc/__init__.py": CALC,
        "tests/test_add.py": TEST_ADD,
        "tests/conftest.py": f"import sys\n\nsys.path.insert(0, {str(site)!r})\n",
        "pyproject.toml": "[tool.pytest.ini_options]\n",
    }
    brain = ScriptedBrain(
        execution=[calls(edit("src/calc/__init__.py", "return a - b", "return a + b")), calls(finish())]
    )
    options = {**ONE_TRY, "tests": {"interpreter": str(home / "bin" / "python")}}
    scene = await stage(files, brain, options=options)

    run_id = await scene.run("make add add")
    row = await scene.until(run_id, "proposed")
    verdict = (await scene.proposal(run_id))["verdict"]

    assert verdict["decision"] == row["verdict"] == "undecided", verdict
    assert (verdict["collected"], verdict["ran"], verdict["fixed"]) == (1, 1, [])
    assert verdict["changedLinesRun"] == 0
    assert "src/calc/__init__.py" in verdict["reasons"][0]
    assert str(site / "calc" / "__init__.py") in verdict["reasons"][0], "it says where the tests took the module from"
    assert "not" in (await refused(scene, run_id))["reason"]
