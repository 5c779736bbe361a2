"""What happens to the person's text: unsaved buffers, typing meanwhile, parts of a change, odd files, odd editors."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.anthropic_server import Call, ParsedRequest, Reply, ScriptedBrain, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import CALC, CONFIG, PROJECT, WAIT_S, Scene
from tests.server.raw_client import BARE, NEOVIM, Json, uri_for, with_capabilities

FIX = edit("calc.py", "return a - b", "return a + b")
GOAL_TEST = "tests/test_add.py::test_add"
STILL = {"proposal": {"revalidateAfterS": 0}}
"""A stale proposal stays so until somebody asks."""


def fixing(*changes: Call) -> ScriptedBrain:
    """A brain that makes the changes, `FIX` if there are none, and is done."""
    return ScriptedBrain(execution=[calls(*(changes or (FIX,))), calls(finish("done"))])


async def proposed(scene: Scene, goal: str = "make add add", **argument: Any) -> Json:
    """A run up to its proposal."""
    run_id = await scene.run(goal, **argument)
    await scene.until(run_id, "proposed")
    return await scene.proposal(run_id)


async def read(scene: Scene, proposal: Json) -> Json:
    """The proposal as it is now."""
    answer: Json = await scene.client.command("agent.proposal", {"proposalId": proposal["proposalId"]})
    return answer


async def once(scene: Scene, proposal: Json, wanted: Callable[[Json, Json], object]) -> Json:
    """The proposal as soon as it and its run's row are as wanted."""
    async with asyncio.timeout(WAIT_S):
        while True:
            now, row = await read(scene, proposal), await scene.status(proposal["runId"])
            if wanted(now, row):
                return now
            await asyncio.sleep(0.05)


async def accepted(scene: Scene, proposal: Json, **argument: Any) -> Json:
    """`agent.apply` with its end."""
    return await scene.apply(proposal["proposalId"], **argument)


# --- buffers ---------------------------------------------------------------------------------------------------------


async def test_the_run_sees_unsaved_text_and_both_that_and_the_change_survive_the_apply(stage: Stage) -> None:
    """Neovim does not declare `documentChanges`, and gets versioned edits all the same."""
    triple = "\n\ndef triple(a):\n    return a * 3\n"
    test = "from calc import triple\n\n\ndef test_triple():\n    assert triple(2) == 6\n"
    scene = await stage({**PROJECT, "tests/test_triple.py": test}, fixing(), profile=NEOVIM)
    uri = scene.open("calc.py", CALC + triple)

    proposal = await proposed(scene, uri=uri)
    answer = await accepted(scene, proposal)

    assert scene.model is not None
    assert all("def triple(a):" in request.text for request in scene.model.in_phase("execution"))
    verdict = proposal["verdict"]
    assert (verdict["decision"], verdict["fixed"], verdict["stillFailing"]) == ("proven", [GOAL_TEST], [])
    assert answer["applied"] is True, answer
    assert scene.text(uri) == CALC.replace("a - b", "a + b") + triple
    assert (scene.root / "calc.py").read_text() == CALC, "what is open is the person's to save"
    [request] = scene.client.heard("workspace/applyEdit")
    [change] = request["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": uri, "version": 1}


async def test_typing_meanwhile_makes_the_proposal_stale_at_once_until_it_is_revalidated(stage: Stage) -> None:
    scene = await stage(brain=fixing(), options=STILL)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    assert proposal["stale"] is False

    scene.client.type(uri, 0, 0, "# typed\n")
    answer = await scene.apply(proposal["proposalId"])
    assert answer["applied"] is False
    assert "calc.py changed since this was tested" in answer["reason"]
    assert scene.text(uri) == "# typed\n" + CALC
    stale = await once(scene, proposal, lambda now, _: now["stale"])
    assert stale["verdict"]["candidate"] == proposal["verdict"]["candidate"]
    [shown] = [row for row in scene.client.diagnostics[uri] if row["source"] == "agent-lsp"]
    assert shown["range"]["start"]["line"] == 2, "the hunk moves with the text"
    [first, *_] = [action for action in await scene.client.actions(uri, 2) if action["title"].startswith("Accept")]
    assert "changed since" in first["disabled"]["reason"]

    answer = await scene.client.command("agent.revalidate", {"proposalId": proposal["proposalId"]})
    assert "verdict" in answer, answer
    fresh = await once(scene, proposal, lambda now, row: not now["stale"] and row["state"] == "proposed")
    assert fresh["verdict"]["decision"] == "proven"
    assert fresh["verdict"]["candidate"] != proposal["verdict"]["candidate"]
    assert fresh["files"][0]["baseVersion"] == 2
    assert fresh["files"][0]["hunks"][0]["id"] == proposal["files"][0]["hunks"][0]["id"]
    assert fresh["files"][0]["hunks"][0]["range"]["start"] == {"line": 2, "character": 0}
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == "# typed\n" + CALC.replace("a - b", "a + b")


async def test_a_stale_proposal_is_tested_again_by_itself_after_a_pause(stage: Stage) -> None:
    scene = await stage(brain=fixing())
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)

    scene.client.type(uri, len(CALC), len(CALC), "\n\nPI = 3\n")
    fresh = await once(
        scene,
        proposal,
        lambda now, row: (
            not now["stale"]
            and row["state"] == "proposed"
            and now["verdict"]["candidate"] != proposal["verdict"]["candidate"]
        ),
    )

    assert fresh["verdict"]["decision"] == "proven"
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == CALC.replace("a - b", "a + b") + "\n\nPI = 3\n"
    assert (await scene.status(proposal["runId"]))["state"] == "applied"


# --- parts of a change ----------------------------------------------------------------------------------------------

THREE = "".join(
    f"def {name}(a, b):\n    return a {sign} b\n\n\n" for name, sign in (("add", "**"), ("sub", "//"), ("mul", "%"))
)
TEST_THREE = (
    "from calc import add, mul, sub\n\n\ndef test_add():\n    assert add(1, 2) == 3\n\n\n"
    "def test_sub():\n    assert sub(5, 2) == 3\n\n\ndef test_mul():\n    assert mul(2, 3) == 6\n"
)


async def test_two_of_three_hunks_are_refused_with_the_test_that_needs_the_third(stage: Stage) -> None:
    files = {"calc.py": THREE, "tests/test_calc.py": TEST_THREE, "pyproject.toml": CONFIG}
    right = THREE.replace("**", "+").replace("//", "-").replace("%", "*")
    scene = await stage(files, fixing(Call("write_file", {"path": "calc.py", "content": right})))
    uri = scene.open("calc.py")
    proposal = await proposed(scene, "make the sums right", uri=uri)
    hunks = proposal["files"][0]["hunks"]
    assert [hunk["newText"].strip() for hunk in hunks] == ["return a + b", "return a - b", "return a * b"]
    assert len(proposal["verdict"]["fixed"]) == 3

    answer = await accepted(scene, proposal, hunks=[hunk["id"] for hunk in hunks[:2]])

    assert answer["applied"] is False
    assert "tests/test_calc.py::test_mul still fails without the hunk calc.py line 10" in answer["reason"]
    assert "h_" not in answer["reason"], "a person finds a change by its file and line"
    assert "test_add" not in answer["reason"]
    assert scene.text(uri) == THREE
    whole = await once(scene, proposal, lambda _, row: row["state"] == "proposed")
    assert whole["verdict"]["decision"] == "proven"
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == right


async def test_one_hunk_is_accepted_by_its_code_action_and_the_rest_stays_until_it_is_discarded(stage: Stage) -> None:
    scene = await stage(brain=fixing(FIX, edit("calc.py", "return a * 2", "return a + a")))
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    fix, rest = proposal["files"][0]["hunks"]
    shown = [row for row in scene.client.diagnostics[uri] if row["code"] == fix["id"]]

    [accept] = [
        action
        for action in await scene.client.actions(uri, 1, diagnostics=shown, only=["quickfix"])
        if action["title"].startswith("Accept change")
    ]
    assert accept["title"].startswith("Accept change `return a + b` (proven: 1 fixed, 0 broken")
    assert accept["diagnostics"] == shown
    answer = await scene.client.do(accept)
    assert answer["applied"] is True or answer["pending"] is True, answer
    left = await once(
        scene, proposal, lambda now, row: len(now["files"][0]["hunks"]) == 1 and row["state"] == "proposed"
    )

    assert scene.text(uri) == CALC.replace("a - b", "a + b")
    left = await once(scene, proposal, lambda now, row: now["verdict"]["decision"] == "passed")
    assert left["files"][0]["hunks"][0]["id"] == rest["id"]
    assert [row["code"] for row in scene.client.diagnostics[uri]] == [rest["id"]]
    await once(scene, proposal, lambda _, row: row["state"] == "proposed")
    [discard] = [
        action for action in await scene.client.actions(uri, 5) if action["title"].startswith("Discard change")
    ]
    assert await scene.client.do(discard) == {"state": "discarded"}
    await scene.until(proposal["runId"], "discarded")
    assert scene.text(uri) == CALC.replace("a - b", "a + b")
    await scene.client.wait_until(lambda: not scene.client.diagnostics[uri])


async def test_a_discarded_proposal_leaves_no_trace_and_is_not_applied(stage: Stage) -> None:
    scene = await stage(brain=fixing())
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    assert scene.client.diagnostics[uri]

    answer = await scene.client.command("agent.discard", {"proposalId": proposal["proposalId"]})

    assert answer == {"state": "discarded"}
    assert (await scene.until(proposal["runId"], "discarded"))["state"] == "discarded"
    await scene.client.wait_until(lambda: not scene.client.diagnostics[uri])
    assert not [a for a in await scene.client.actions(uri, 1) if a["title"].startswith(("Accept", "Discard"))]
    late = await scene.apply(proposal["proposalId"])
    assert late["applied"] is False
    assert late["reason"] == "This proposal was already discarded."
    assert scene.text(uri) == CALC


async def test_two_runs_at_once_on_one_workspace_both_end_right(stage: Stage) -> None:
    files = {
        **PROJECT,
        "more.py": "def sub(a, b):\n    return a + b\n",
        "tests/test_sub.py": "from more import sub\n\n\ndef test_sub():\n    assert sub(3, 2) == 1\n",
    }
    brains = {
        "make add add": fixing(),
        "make sub subtract": fixing(edit("more.py", "return a + b", "return a - b")),
    }

    def brain(request: ParsedRequest) -> Reply:
        [mine] = [brain for goal, brain in brains.items() if goal in request.text]
        return mine(request)

    scene = await stage(files, brain)
    uris = [scene.open("calc.py"), scene.open("more.py")]
    tests = [GOAL_TEST, "tests/test_sub.py::test_sub"]

    runs = [await scene.run(goal, tests=[test]) for goal, test in zip(brains, tests, strict=True)]
    rows = (await scene.client.command("agent.status"))["runs"]
    assert [row["runId"] for row in rows] == runs
    for run_id in runs:
        await scene.until(run_id, "proposed")
    first, second = [await scene.proposal(run_id) for run_id in runs]

    assert [first["verdict"]["fixed"], second["verdict"]["fixed"]] == [tests[:1], tests[1:]]
    assert [first["verdict"]["decision"], second["verdict"]["decision"]] == ["proven", "proven"]
    assert (await accepted(scene, first))["applied"] is True
    await once(scene, second, lambda now, row: not now["stale"] and row["state"] == "proposed")
    answer = await accepted(scene, second)
    while not answer["applied"] and "changed since this was tested" in answer["reason"]:  # the first one's edit
        await once(scene, second, lambda now, row: not now["stale"] and row["state"] == "proposed")
        answer = await accepted(scene, second)
    assert answer["applied"] is True, answer
    assert [scene.text(uri) for uri in uris] == [
        CALC.replace("a - b", "a + b"),
        "def sub(a, b):\n    return a - b\n",
    ]
    assert [(await scene.status(run_id))["state"] for run_id in runs] == ["applied", "applied"]


# --- files on disk ---------------------------------------------------------------------------------------------------


async def test_a_folder_without_git_gets_its_change_and_no_git(stage: Stage) -> None:
    scene = await stage(brain=fixing(), git=False)

    proposal = await proposed(scene)
    answer = await accepted(scene, proposal)

    assert proposal["verdict"]["decision"] == "proven"
    assert answer["applied"] is True, answer
    assert (scene.root / "calc.py").read_text() == CALC.replace("a - b", "a + b")
    names = {path.name for path in scene.root.iterdir()} - {"__pycache__"}
    assert names == {"calc.py", "tests", "pyproject.toml", ".agent-lsp"}
    assert (scene.root / ".agent-lsp" / ".gitignore").read_text().split() == ["*"]


async def test_an_open_crlf_document_stays_crlf(stage: Stage) -> None:
    crlf = CALC.replace("\n", "\r\n")
    scene = await stage({**PROJECT, "calc.py": crlf.encode()}, fixing())
    uri = scene.open("calc.py")

    proposal = await proposed(scene, uri=uri)
    assert proposal["files"][0]["hunks"][0]["newText"] == "    return a + b\r\n"
    assert (await accepted(scene, proposal))["applied"] is True

    assert scene.text(uri) == crlf.replace("a - b", "a + b")


async def test_closed_files_keep_every_other_byte_whatever_they_are(stage: Stage) -> None:
    odd = {
        "crlf.py": b"def add(a, b):\r\n    return a - b\r\n",
        "latin.py": "# -*- coding: latin-1 -*-\nNAME = 'caf\xe9 \xfc'\n\n\ndef add(a, b):\n    return a - b\n".encode(
            "latin-1"
        ),
        "bare.py": b"\n\ndef add(a, b):\n    return a - b",
        "bom.py": b"\xef\xbb\xbfdef add(a, b):\n    return a - b  # \xc3\xa9\n",
    }
    imports = "".join(f"import {name.removesuffix('.py')}\n" for name in odd)
    test = f"{imports}\n\ndef test_add():\n" + "".join(
        f"    assert {name.removesuffix('.py')}.add(1, 2) == 3\n" for name in odd
    )
    files = {**odd, "tests/test_add.py": test, "pyproject.toml": CONFIG}
    scene = await stage(files, fixing(*(edit(name, "return a - b", "return a + b") for name in odd)))

    proposal = await proposed(scene)
    answer = await accepted(scene, proposal)

    assert proposal["verdict"]["decision"] == "proven"
    assert answer["applied"] is True, answer
    for name, before in odd.items():
        assert (scene.root / name).read_bytes() == before.replace(b"a - b", b"a + b"), name
    undone = await scene.rollback(answer["checkpointId"])
    assert undone["applied"] is True, undone
    assert {name: (scene.root / name).read_bytes() for name in odd} == odd


async def test_a_file_deleted_under_us_is_not_brought_back(stage: Stage) -> None:
    scene = await stage(
        brain=fixing(FIX, edit("tests/test_double.py", "import double", "import  double")), options=STILL
    )
    proposal = await proposed(scene)
    assert len(proposal["files"]) == 2

    (scene.root / "calc.py").unlink()
    answer = await scene.apply(proposal["proposalId"])

    assert answer["applied"] is False
    assert "calc.py changed since this was tested" in answer["reason"]
    assert not (scene.root / "calc.py").exists()
    assert (scene.root / "tests" / "test_double.py").read_text() == PROJECT["tests/test_double.py"]
    assert (await scene.status(proposal["runId"]))["state"] == "proposed"
    await scene.client.command("agent.revalidate", {"proposalId": proposal["proposalId"]})
    told = await once(scene, proposal, lambda now, _: "calc.py was deleted" in now["verdict"]["reasons"][0])
    assert told["stale"] is True


async def test_a_read_only_file_is_refused_with_what_to_do_and_nothing_is_changed(stage: Stage) -> None:
    scene = await stage(brain=fixing(FIX, Call("write_file", {"path": "a_new.py", "content": "A = 1\n"})))
    proposal = await proposed(scene)

    (scene.root / "calc.py").chmod(0o444)
    answer = await accepted(scene, proposal)

    assert answer["applied"] is False
    assert "calc.py was not written: the file is read-only" in answer["reason"]
    assert "Nothing was changed" in answer["reason"]
    assert (scene.root / "calc.py").read_text() == CALC
    assert not (scene.root / "a_new.py").exists()
    await scene.until(proposal["runId"], "proposed")
    (scene.root / "calc.py").chmod(0o644)
    assert (await accepted(scene, proposal))["applied"] is True


async def test_new_deleted_and_renamed_files_are_carried_out_on_disk_and_undone(stage: Stage) -> None:
    files = {**PROJECT, "old/name.py": "X = 1\n", "junk.py": "JUNK = 1\n"}
    changes = (
        FIX,
        Call("write_file", {"path": "fresh/made.py", "content": "MADE = 1\n"}),
        Call("delete_file", {"path": "junk.py"}),
        Call("move_file", {"path": "old/name.py", "new_path": "new/name.py"}),
    )
    scene = await stage(files, fixing(*changes))

    proposal = await proposed(scene)
    kinds = {file["uri"]: (file["kind"], file["oldUri"]) for file in proposal["files"]}
    assert kinds == {
        uri_for(scene.root / "calc.py"): ("modify", None),
        uri_for(scene.root / "fresh" / "made.py"): ("create", None),
        uri_for(scene.root / "junk.py"): ("delete", None),
        uri_for(scene.root / "new" / "name.py"): ("rename", uri_for(scene.root / "old" / "name.py")),
    }
    assert not (scene.root / "fresh").exists()
    answer = await accepted(scene, proposal)

    assert answer["applied"] is True, answer
    assert (scene.root / "calc.py").read_text() == CALC.replace("a - b", "a + b")
    assert (scene.root / "fresh" / "made.py").read_text() == "MADE = 1\n"
    assert (scene.root / "new" / "name.py").read_text() == "X = 1\n"
    assert not (scene.root / "junk.py").exists()
    assert not (scene.root / "old").exists()
    undone = await scene.rollback(answer["checkpointId"])
    assert undone["applied"] is True, undone
    for name, content in files.items():
        assert (scene.root / name).read_text() == content
    assert not (scene.root / "fresh").exists()
    assert not (scene.root / "new").exists()


# --- editors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["actions", "lenses"])
async def test_an_editor_that_knows_nothing_of_us_does_the_whole_job_by_what_it_is_offered(
    stage: Stage, way: str
) -> None:
    """It declares only `applyEdit`: no literals, no versions, no progress, no knowledge of our messages."""
    source = "# agent: make add add\n" + CALC
    profile = with_capabilities(BARE, workspace__applyEdit=True)
    scene = await stage({**PROJECT, "calc.py": source}, fixing(), profile=profile)
    client, uri = scene.client, scene.open("calc.py")

    offers = await client.actions(uri, 0)
    [start] = [action for action in offers if action["title"] == 'Agent: run "make add add"']
    started = await client.do(start)
    assert set(started) == {"runId"}
    shown = (await client.wait_for("textDocument/publishDiagnostics", lambda p: p["diagnostics"], WAIT_S))[
        "diagnostics"
    ]
    [hunk] = shown
    assert (hunk["source"], hunk["severity"], hunk["range"]["start"]["line"]) == ("agent-lsp", 3, 2)
    assert "return a + b" in hunk["message"]
    await scene.until(started["runId"], "proposed")
    if way == "actions":
        offers = await client.actions(uri, hunk["range"]["start"]["line"], diagnostics=shown)
        [accept] = [action for action in offers if action["title"].startswith("Accept change")]
    else:
        lenses = [lens for lens in await client.lenses(uri) if lens["range"]["start"]["line"] == 2]
        [accept] = [lens["command"] for lens in lenses if lens["command"]["title"].startswith("Accept change")]
    assert accept["title"] == "Accept change `return a + b` (proven: 1 fixed, 0 broken)"
    await client.do(accept)
    await scene.until(started["runId"], "applied")

    assert scene.text(uri) == source.replace("a - b", "a + b")
    [request] = client.heard("workspace/applyEdit")
    assert list(request["edit"]["changes"]) == [uri]
    assert "documentChanges" not in request["edit"]
    assert not [name for name, _ in client.notifications if name.startswith("agent/")]
    assert {name for name, _ in client.requests} == {"workspace/applyEdit"}
    await client.wait_until(lambda: not client.diagnostics[uri])
    offers = await client.actions(uri, 2)
    [undo] = [action for action in offers if action["title"].startswith("Roll back")]
    assert (await client.do(undo))["applied"] is True
    assert scene.text(uri) == source


async def test_an_editor_that_says_applied_and_does_nothing_is_not_believed(stage: Stage) -> None:
    scene = await stage(brain=fixing(FIX, Call("write_file", {"path": "a_new.py", "content": "A = 1\n"})))
    scene.client.handlers["workspace/applyEdit"] = lambda _: {"applied": True}
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)

    answer = await accepted(scene, proposal)

    assert answer["applied"] is False
    assert "calc.py" in answer["reason"]
    assert "the text did not change" in answer["reason"]
    assert "Nothing was changed" in answer["reason"]
    assert scene.text(uri) == CALC
    assert not (scene.root / "a_new.py").exists(), "all of it or nothing"
    assert (await scene.status(proposal["runId"]))["state"] == "proposed"
    scene.client.handlers["workspace/applyEdit"] = scene.client.apply_edit
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == CALC.replace("a - b", "a + b")
    assert (scene.root / "a_new.py").read_text() == "A = 1\n"
