"""Reviewing by hunks with code actions alone: what a part lacks, text edited before it is accepted, words back."""

import asyncio
from collections.abc import Callable

from tests.anthropic_server import Call, ScriptedBrain, calls, edit, finish, plan, reflect
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import PROJECT, WAIT_S, Scene
from tests.scenarios.test_editing import FIX, TEST_THREE, THREE, accepted, fixing, once, proposed, read
from tests.server.raw_client import NEOVIM, VSCODE, Json, path_for, with_capabilities

CONFIG = PROJECT["pyproject.toml"]

MARKDOWN = with_capabilities(VSCODE, textDocument__hover__contentFormat=["markdown", "plaintext"])


def at_line(line: int) -> Callable[[Json], bool]:
    """Whether a document is to be shown with the cursor on this line."""
    return lambda params: (params.get("selection") or {}).get("start", {}).get("line") == line


async def offered(scene: Scene, uri: str, line: int, start: str) -> Json:
    """The one action at a line whose title begins so, resolved."""
    actions = await scene.client.actions(uri, line)
    [action] = [action for action in actions if action["title"].startswith(start)]
    if "command" not in action:
        action = await scene.client.request("codeAction/resolve", action)
    return action


async def take(scene: Scene, uri: str, line: int, start: str) -> Json:
    """Takes the action; what its command answers."""
    command = (await offered(scene, uri, line, start))["command"]
    answer: Json = await scene.client.command(command["command"], command["arguments"][0])
    assert "error" not in answer, answer
    return answer


async def save_draft(scene: Scene, uri: str, old: str, new: str) -> None:
    """The editor opens a draft, the person changes it and saves."""
    path = path_for(uri)
    scene.client.open(path)
    text = scene.text(uri)
    start = text.index(old)
    scene.client.type(uri, start, start + len(old), new)
    path.write_bytes(scene.text(uri).encode())
    scene.client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})


async def test_what_a_refused_part_lacks_is_found_and_offered_as_one_action(stage: Stage) -> None:
    before = THREE + "def twice(a):\n    return a * 2\n"
    after = before.replace("**", "+").replace("//", "-").replace("%", "*").replace("a * 2", "a + a")
    files = {"calc.py": before, "tests/test_calc.py": TEST_THREE, "pyproject.toml": CONFIG}
    scene = await stage(files, fixing(Call("write_file", {"path": "calc.py", "content": after})))
    uri = scene.open("calc.py")
    proposal = await proposed(scene, "make the sums right", uri=uri)
    hunks = [hunk["id"] for hunk in proposal["files"][0]["hunks"]]
    assert len(hunks) == 4

    assert (await accepted(scene, proposal, hunks=hunks[:2]))["applied"] is False

    found = await once(scene, proposal, lambda now, _: now.get("suggestion"))
    assert found["suggestion"] == hunks[:3], "the fourth is not needed by any test"
    message = await scene.client.wait_for("window/showMessage", lambda p: "together with" in p["message"], WAIT_S)
    assert "The 2 chosen changes pass together with calc.py line 10; that" in message["message"]
    lenses = [lens["command"]["title"] for lens in await scene.client.lenses(uri)]
    assert any(title.startswith("Accept the 3 changes that pass together") for title in lenses)
    await take(scene, uri, 1, "Accept the 3 changes that pass together")
    await scene.client.wait_until(lambda: "a * b" in scene.text(uri), WAIT_S)
    assert scene.text(uri) == after.replace("a + a", "a * 2")


async def test_what_the_persons_typing_is_not_in_the_way_of_is_offered_and_accepted(stage: Stage) -> None:
    after = THREE.replace("**", "+").replace("//", "-").replace("%", "*")
    files = {"calc.py": THREE, "tests/test_calc.py": TEST_THREE, "pyproject.toml": CONFIG}
    scene = await stage(files, fixing(Call("write_file", {"path": "calc.py", "content": after})))
    uri = scene.open("calc.py")
    proposal = await proposed(scene, "make the sums right", uri=uri)
    add, _, mul = [hunk["id"] for hunk in proposal["files"][0]["hunks"]]

    start = scene.text(uri).index("a // b")
    scene.client.type(uri, start, start + len("a // b"), "b // a")
    found = await once(scene, proposal, lambda now, row: now.get("suggestion") and row["state"] == "proposed")
    assert (found["stale"], found["suggestion"]) == (True, [add, mul])
    assert "line 6: the same lines were changed meanwhile" in found["refused"]
    lenses = [lens["command"]["title"] for lens in await scene.client.lenses(uri)]
    assert lenses.count("Accept the 2 changes that still fit (tested first)") == 2, "for all, and where the edit is"
    assert "Accept change `return a + b` (still fits, tested first)" in lenses
    assert not any(title.startswith("Accept change `return a - b`") for title in lenses)
    told = [row["message"] for row in scene.client.diagnostics[uri]]
    assert [text.count("(still fits)") for text in told] == [1, 0, 1]
    assert told[1].endswith("You can accept the 2 changes that still fit.")
    await take(scene, uri, 1, "Accept the 2 changes that still fit")
    mine = after.replace("a - b", "b // a")
    await scene.client.wait_until(lambda: scene.text(uri) == mine, WAIT_S)

    one = await once(scene, proposal, lambda now, _: now["stale"] and len(now["files"][0]["hunks"]) == 1)
    [left] = one["files"][0]["hunks"]
    assert left["newText"] == "    return a - b\n"
    start = scene.text(uri).index("b // a")
    scene.client.type(uri, start, start + len("b // a"), "a // b")
    fresh = await once(scene, proposal, lambda now, _: now["verdict"]["decision"] == "proven")
    assert (fresh["stale"], fresh["verdict"]["fixed"]) == (False, ["tests/test_calc.py::test_sub"])
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == after


async def test_a_change_can_be_edited_in_a_draft_and_is_tested_as_it_then_is(stage: Stage) -> None:
    scene = await stage(brain=fixing(), profile=NEOVIM)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    [hunk] = proposal["files"][0]["hunks"]
    answer = await take(scene, uri, 1, "Edit change")
    draft = answer["uri"]
    assert draft.endswith(f"/.agent-lsp/drafts/{proposal['proposalId']}/calc.py")
    await scene.client.wait_for("window/showDocument", lambda p: p["uri"] == draft, WAIT_S)

    await save_draft(scene, draft, "return a + b", "return b + a  # mine")

    now = await once(scene, proposal, lambda now, _: now["verdict"]["decision"] == "proven" and "# mine" in now["diff"])
    assert [hunk["id"] for hunk in now["files"][0]["hunks"]] == [hunk["id"]], "it is the same change to the person"
    assert now["verdict"]["candidate"] != proposal["verdict"]["candidate"]
    assert scene.text(uri) == PROJECT["calc.py"], "nothing was written yet"
    assert (await accepted(scene, proposal))["applied"] is True
    assert "return b + a  # mine" in scene.text(uri)
    await scene.client.wait_until(lambda: not path_for(draft).exists() or draft in scene.client.buffers, WAIT_S)


async def test_an_edit_that_the_tests_refuse_is_not_accepted(stage: Stage) -> None:
    scene = await stage(brain=fixing())
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    [hunk] = proposal["files"][0]["hunks"]
    call = {"proposalId": proposal["proposalId"], "hunk": hunk["id"], "text": "    return a * b\n"}
    answer = await scene.client.command("agent.edit", call)
    assert (answer["state"], answer["hunks"]) == ("validating", [hunk["id"]])
    now = await once(scene, proposal, lambda now, _: now["verdict"]["decision"] not in ("not_run", "proven"))
    assert now["verdict"]["decision"] == "failed"
    assert (await accepted(scene, proposal))["applied"] is False
    assert scene.text(uri) == PROJECT["calc.py"]
    call["text"] = hunk["newText"]
    assert "error" not in await scene.client.command("agent.edit", call)
    assert (await once(scene, proposal, lambda now, _: now["verdict"]["decision"] == "proven"))["acceptable"] is True


async def test_wrong_edits_are_told_and_change_nothing(stage: Stage) -> None:
    scene = await stage(brain=fixing())
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    [hunk] = proposal["files"][0]["hunks"]
    known = {"proposalId": proposal["proposalId"]}
    for wrong, said in (
        ({**known, "hunk": hunk["id"]}, "`text` is missing"),
        ({**known, "hunk": "h_none", "text": "x"}, "has no hunk h_none"),
        ({**known, "uri": scene.open("tests/test_add.py"), "text": "x"}, "does not change tests/test_add.py"),
        ({**known, "hunk": hunk["id"], "text": hunk["oldText"]}, "nothing would be left"),
    ):
        answer = await scene.client.raw_command("agent.edit", wrong)
        assert said in answer["error"]["message"], answer
    assert (await read(scene, proposal))["verdict"] == proposal["verdict"]


async def test_typing_meanwhile_and_a_draft_saved_later_both_survive(stage: Stage) -> None:
    scene = await stage(brain=fixing(), profile=VSCODE)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    draft = (await take(scene, uri, 1, "Edit change"))["uri"]
    text = scene.text(uri)
    scene.client.type(uri, len(text), len(text), "\n\n# typed by the person\n")
    await once(scene, proposal, lambda now, row: not now["stale"] and now["verdict"]["decision"] == "proven")
    await save_draft(scene, draft, "return a + b", "return b + a")
    await once(scene, proposal, lambda now, row: now["verdict"]["decision"] == "proven" and "b + a" in now["diff"])
    assert (await accepted(scene, proposal))["applied"] is True
    assert scene.text(uri) == text.replace("a - b", "b + a") + "\n\n# typed by the person\n"


async def test_a_comment_sends_a_change_back_with_words_and_the_agent_tries_again(stage: Stage) -> None:
    comment = "    # agent: the other way round\n"
    again = (edit("calc.py", "return a - b", "return b + a"), edit("calc.py", comment, ""))
    brain = ScriptedBrain(execution=[calls(FIX), calls(finish()), calls(*again), calls(finish())])
    scene = await stage(brain=brain, profile=NEOVIM)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    start = scene.text(uri).index("    return a - b")
    scene.client.type(uri, start, start, comment)

    line = scene.text(uri).splitlines().index(comment.rstrip())
    [action] = [a for a in await scene.client.actions(uri, line) if "and try again" in a["title"]]
    assert action["title"] == 'Discard change `return a + b` and try again: "the other way round"'
    await scene.client.do(action)

    async with asyncio.timeout(WAIT_S):
        while (row := await scene.status(proposal["runId"])).get("proposalId") in (None, proposal["proposalId"]):
            await asyncio.sleep(0.05)
    await scene.until(proposal["runId"], "proposed")
    fresh = await scene.proposal(row["runId"])
    assert fresh["verdict"]["decision"] == "proven"
    answer = await accepted(scene, fresh)
    assert answer["applied"] is True, answer
    assert scene.text(uri) == str(PROJECT["calc.py"]).replace("a - b", "b + a")
    assert scene.model is not None
    assert any("the other way round" in str(request.body) for request in scene.model.requests)


async def test_the_changes_can_be_walked_through(stage: Stage) -> None:
    files = {"calc.py": THREE, "tests/test_calc.py": TEST_THREE, "pyproject.toml": CONFIG}
    right = THREE.replace("**", "+").replace("//", "-").replace("%", "*")
    scene = await stage(files, fixing(Call("write_file", {"path": "calc.py", "content": right})), profile=NEOVIM)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, "make the sums right", uri=uri)
    lines = [hunk["range"]["start"]["line"] for hunk in proposal["files"][0]["hunks"]]
    ways = ((0, "Next change (2 of 3)", 1), (0, "Previous change (3 of 3)", 2), (2, "Next change (1 of 3)", 0))
    for at, title, to in ways:
        await take(scene, uri, lines[at], title)
        shown = await scene.client.wait_for("window/showDocument", at_line(lines[to]), WAIT_S)
        assert shown["uri"] == uri


async def test_hovering_over_a_change_tells_why_and_which_tests_ran_it(stage: Stage) -> None:
    body = "return a - b"
    new = "if a is None:\n        return b\n    return a + b"
    scene = await stage(brain=fixing(edit("calc.py", body, new)), profile=MARKDOWN)
    uri = scene.open("calc.py")
    proposal = await proposed(scene, uri=uri)
    line = proposal["files"][0]["hunks"][0]["range"]["start"]["line"]
    place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": 4}}
    contents = (await scene.client.request("textDocument/hover", place))["contents"]
    assert contents["kind"] == "markdown"
    told = contents["value"]
    assert told.startswith("**Proposed change 1 of ")
    assert "```diff\n" in told
    assert "-    return a - b" in told
    assert "+    return a + b" in told
    assert "*Why:* done" in told
    assert "*Step:* 1. " in told
    assert "*Run by:* `tests/test_add.py::test_add`" in told
    assert "*No passing test ran* line 3 of the changed file." in told
    place["position"]["line"] = 0
    assert await scene.client.request("textDocument/hover", place) is None


async def test_a_plan_is_edited_as_a_document_saved_and_approved(stage: Stage) -> None:
    brain = ScriptedBrain(planning=[plan("Mend add")], execution=[calls(FIX), calls(finish("done"))])
    scene = await stage(brain=brain, profile=NEOVIM)
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri, mode="plan")
    await scene.until(run_id, "awaiting_approval")
    draft = (await take(scene, uri, 0, "Edit plan"))["uri"]
    await save_draft(scene, draft, "**Mend add**", "**Mend add with care**")
    await scene.client.wait_for("window/showMessage", lambda p: "The edited plan has 1 step" in p["message"], WAIT_S)
    await take(scene, uri, 0, "Approve plan")
    await scene.until(run_id, "proposed")
    assert scene.model is not None
    assert any("Mend add with care" in str(request.body) for request in scene.model.requests)


async def test_a_plan_is_approved_step_by_step_with_code_actions_alone(stage: Stage) -> None:
    second = edit("calc.py", "return a * 2", "return a + a")
    brain = ScriptedBrain(
        planning=[plan("Mend add", "Mend twice")],
        execution=[calls(FIX), calls(finish("one")), calls(second), calls(finish("two"))],
        reflection=[reflect("continue")],
    )
    scene = await stage(brain=brain, profile=NEOVIM)
    uri = scene.open("calc.py")
    run_id = await scene.run("make add add", uri=uri, mode="plan")
    await scene.until(run_id, "awaiting_approval")
    await take(scene, uri, 0, "Approve step by step")
    row = await scene.until(run_id, "paused")
    assert (row["step"], row["steps"]) == (1, 2)
    titles = [action["title"] for action in await scene.client.actions(uri, 0)]
    assert any(title.startswith("Go on with ") for title in titles)
    await take(scene, uri, 0, "Do the next step of")
    assert (await scene.until(run_id, "proposed"))["step"] == 2
