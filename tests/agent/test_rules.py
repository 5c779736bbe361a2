"""Holds the rules of a workspace to being given again with every request, the nearest where it is needed."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.task import Usage
from tests.agent.session_world import SessionWorld
from tests.scripted_model import ScriptedModel, call, finish, plan, reflect, results, turn

Make = Callable[[ScriptedModel], SessionWorld]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def world(model: ScriptedModel) -> SessionWorld:
        made = SessionWorld(tmp_path, model)
        made.put("app.py", "value = 0\n")
        made.put("src/deep/part.py", "part = 1\n")
        made.put("AGENTS.md", "Always use tabs.\n")
        made.put("src/AGENTS.md", "Here, use spaces.\n")
        made.put("src/deep/AGENTS.md", "Two of them.\n")
        made.gate.checks["tests/test_app.py::test_value"] = lambda tree: b"1" in tree["app.py"].content
        return made

    return world


async def test_every_request_of_every_phase_has_the_rules_and_nothing_in_front_of_them_changes(make: Make) -> None:
    bad = turn(call("edit_file", path="app.py", old_text="value = 0", new_text="value = 2"))
    good = turn(call("edit_file", path="app.py", old_text="value = 2", new_text="value = 1"))
    model = ScriptedModel(
        planning=[turn(call("read_file", path="app.py")), plan("one")],
        execution=[bad, finish(), good, finish()],
        reflection=[turn(call("read_file", path="app.py")), reflect("retry")],
    )
    world = make(model)
    await world.finished(tests=["tests/test_app.py::test_value"])
    for phase in (Phase.PLANNING, Phase.EXECUTION, Phase.REFLECTION):
        asked = model.of(phase)
        assert len(asked) > 1, phase
        assert all("Always use tabs." in request.system for request in asked)
        for before, after in itertools.pairwise(asked):
            assert (before.system, before.tools) == (after.system, after.tools)
            assert after.messages[: len(before.messages)] == before.messages


async def test_the_nearest_rules_come_with_the_first_file_of_their_folder_and_once(make: Make) -> None:
    look = turn(call("read_file", path="src/deep/part.py"))
    fix = turn(call("edit_file", path="app.py", old_text="value = 0", new_text="value = 1"))
    model = ScriptedModel(execution=[look, look, fix, finish()])
    await make(model).finished()
    asked = model.of(Phase.EXECUTION)
    assert "use spaces" not in asked[0].system
    [first], [second] = results(asked[1]), results(asked[2])[-1:]
    assert "Here, use spaces." in first.text
    assert first.text.index("use spaces") < first.text.index("Two of them."), "the nearest has the last word"
    assert "use spaces" not in second.text


async def test_rules_of_the_files_that_a_goal_is_about_are_there_from_the_start(make: Make) -> None:
    fix = turn(call("edit_file", path="app.py", old_text="value = 0", new_text="value = 1"))
    model = ScriptedModel(execution=[fix, finish()])
    await make(model).finished(path="src/deep/part.py")
    for phase in (Phase.PLANNING, Phase.EXECUTION):
        system = model.of(phase)[0].system
        assert system.index("Always use tabs.") < system.index("Here, use spaces.") < system.index("Two of them.")


def test_the_part_of_a_prompt_that_came_from_the_cache_is_counted() -> None:
    usage = Usage(input_tokens=100, cache_read_tokens=600, cache_write_tokens=300) + Usage(output_tokens=5)
    assert usage.to_json()["cacheHitRate"] == 0.6
    assert Usage().cache_hit_rate == 0.0
