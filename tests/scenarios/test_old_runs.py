"""Runs that cannot go on: kept by another version, unreadable, or tried too often. Each is closed with its reason."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.anthropic_server import Call, ParsedRequest, Reply, calls, plan
from tests.scenarios.conftest import Stage
from tests.scenarios.looking import editor_on, eventually, journalled, runtimes, strays
from tests.scenarios.scene import CALC, Scene

ANOTHER = "another version of agent-lsp kept it, which this one cannot follow"
UNREADABLE = "what was kept of it cannot be read"

SPOILT = {
    "r_newer": ("UPDATE runs SET data = json_set(data, '$.version', 99) WHERE id = ?", ANOTHER),
    "r_unversioned": ("UPDATE runs SET data = json_remove(data, '$.version') WHERE id = ?", ANOTHER),
    "r_often": (
        "UPDATE runs SET starts = 9, place = (SELECT count(*) FROM run_deeds WHERE run_id = runs.id) WHERE id = ?",
        "times at the same place",
    ),
    "r_goalless": ("UPDATE runs SET data = json_remove(data, '$.goal') WHERE id = ?", UNREADABLE),
    "r_listed": ("UPDATE runs SET data = '[]' WHERE id = ?", UNREADABLE),
    "r_torn": ("UPDATE runs SET data = substr(data, 1, 40) WHERE id = ?", UNREADABLE),
    "r_torn_deed": ("UPDATE run_deeds SET data = '{' WHERE run_id = ?", UNREADABLE),
    "r_odd_deed": ("UPDATE run_deeds SET data = '{}', edits = '[[1]]' WHERE run_id = ?", UNREADABLE),
}
"""What becomes of a copy of a run, and the words that its end is told with."""

COPY = (
    (
        "INSERT INTO runs (id, owner, time_s, place, starts, data) SELECT :new, owner, time_s, place, starts, data"
        " FROM runs WHERE id = :old"
    ),
    (
        "INSERT INTO run_deeds (run_id, position, kind, data, edits) SELECT :new, position, kind, data, edits"
        " FROM run_deeds WHERE run_id = :old"
    ),
    (
        "INSERT INTO events (run_id, kind, time_s, version, owner, data)"
        " SELECT :new, kind, time_s, version, owner, data FROM events WHERE run_id = :old"
    ),
)


def asking(request: ParsedRequest) -> Reply:
    """A run that plans and then waits for an answer."""
    if request.phase == "planning":
        return plan("Mend add")
    return calls(Call("ask_user", {"question": "Is that all?", "options": ["yes", "no"]}))


def spoil(root: Path, run_id: str) -> None:
    """Copies of a run, each with something wrong in what is kept of it."""
    with closing(sqlite3.connect(root / ".agent-lsp" / "state.db")) as database, database:
        for name, (change, _) in SPOILT.items():
            for copy in COPY:
                database.execute(copy, {"new": name, "old": run_id})
            database.execute(change, (name,))


async def killed_while_asking(scene: Scene) -> str:
    """A run that waits for an answer, its server and runtime gone."""
    run_id = await scene.run("make add add")
    await scene.until(run_id, "blocked")
    await journalled(scene.root, run_id, "question")
    scene.client.process.kill()
    await eventually(lambda: not runtimes(scene) and not strays(scene))
    return run_id


async def test_what_cannot_go_on_is_closed_with_its_reason_and_keeps_nothing_else_from_going_on(stage: Stage) -> None:
    scene = await stage(brain=asking)
    run_id = await killed_while_asking(scene)
    spoil(scene.root, run_id)

    async with editor_on(scene.root, scene.model) as later:
        await later.client.wait_for("window/showMessageRequest", lambda row: "Is that all?" in row["message"])
        assert (await later.until(run_id, "blocked"))["usage"]["turns"] == 2
        for name, (_, words) in SPOILT.items():
            [end] = await journalled(scene.root, name, "run.ended")
            assert (end["state"], words in end["reason"]) == ("failed", True), (name, end)
        told = [row["message"] for row in later.client.heard("window/showMessage", lambda row: True)]
        assert sum(text.startswith("Not resumed: ") for text in told) == len(SPOILT), told
        assert await later.client.close() == 0
    with closing(sqlite3.connect(scene.root / ".agent-lsp" / "state.db")) as database:
        assert database.execute("SELECT id FROM runs").fetchall() == [(run_id,)]
    assert (scene.root / "calc.py").read_text() == CALC


async def test_a_run_of_a_version_that_kept_none_is_closed_and_the_next_one_is_kept(stage: Stage) -> None:
    scene = await stage(brain=asking)
    run_id = await killed_while_asking(scene)
    with closing(sqlite3.connect(scene.root / ".agent-lsp" / "state.db")) as database, database:
        for table in ("run_bytes", "run_deeds", "runs"):  # what the second version did not have
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version=2")

    async with editor_on(scene.root, scene.model) as later:
        next_id = await later.run("make add add")
        [end] = await journalled(scene.root, run_id, "run.ended")
        assert (end["state"], end["reason"]) == ("failed", "the runtime ended unexpectedly")
        await later.until(next_id, "blocked")
        await journalled(later.root, next_id, "question")
        later.client.process.kill()
        await eventually(lambda: not runtimes(later) and not strays(later))

    async with editor_on(scene.root, scene.model) as last:
        await last.client.wait_for("window/showMessageRequest", lambda row: "Is that all?" in row["message"])
        assert (await last.until(next_id, "blocked"))["usage"]["turns"] == 2
        assert await last.client.close() == 0
