"""A verdict is of bytes: what moves under it is seen, told, and tested again after a pause."""

import asyncio
from pathlib import Path

from tests.server.conftest import Connect
from tests.server.flows import calls, proposed, settled, wait_state
from tests.server.raw_client import NEOVIM, VSCODE, RawClient, uri_for

NEVER = {"proposal": {"revalidate_after_s": 0}}


async def stale_is(client: RawClient, proposal_id: str, wanted: bool) -> None:
    async with asyncio.timeout(30):
        while (await client.command("agent.proposal", {"proposalId": proposal_id}))["stale"] is not wanted:
            await asyncio.sleep(0.02)


async def test_typing_makes_a_proposal_visibly_stale_and_undo_makes_it_fresh(connect: Connect, root: Path) -> None:
    client = await connect(options=NEVER)
    uri, _, proposal_id = await proposed(client, root)
    client.type(uri, 0, 0, "# mine\n")
    await stale_is(client, proposal_id, True)
    await client.wait_until(lambda: "stale" in client.diagnostics[uri][0]["message"])
    actions = await client.actions(uri, 2)
    (accept,) = [action for action in actions if action["title"].startswith("Accept change ")]
    assert "changed" in accept["disabled"]["reason"]
    lens_titles = [lens["command"]["title"] for lens in await client.lenses(uri)]
    assert [title for title in lens_titles if title.startswith("Test again (stale")]
    client.type(uri, 0, len("# mine\n"), "")
    await stale_is(client, proposal_id, False)
    assert await calls(client, "stale") == [
        {"proposalId": proposal_id, "paths": ["calc.py"]},
        {"proposalId": proposal_id, "paths": []},
    ]
    assert await calls(client, "revalidate") == []


async def test_what_does_not_fit_is_tried_again_when_the_text_moves_and_not_before(
    connect: Connect, root: Path
) -> None:
    client = await connect(options={"agentLsp": {"proposal": {"revalidate_after_s": 0.1}}})
    uri, run_id, proposal_id = await proposed(client, root, "stubborn")
    at = client.buffers[uri].text.index("a - b")
    client.type(uri, at, at + 5, "a - b - 0")
    await client.wait_until(lambda: "It does not fit" in client.diagnostics[uri][0]["message"])
    tried = len(await calls(client, "revalidate"))
    await asyncio.sleep(1.0)  # ten pauses: whatever would begin again by itself has
    assert len(await calls(client, "revalidate")) == tried == 1
    client.type(uri, at, at + 9, "a - b")
    await stale_is(client, proposal_id, False)
    await client.wait_until(lambda: "proven" in client.diagnostics[uri][0]["message"])
    await wait_state(client, run_id, "proposed")


async def test_a_stale_proposal_is_tested_again_after_a_pause_and_moves_with_its_lines(
    connect: Connect, root: Path
) -> None:
    client = await connect(options={"agentLsp": {"proposal": {"revalidate_after_s": 0.3}}})
    uri, run_id, proposal_id = await proposed(client, root)
    for number in range(3):
        client.type(uri, 0, 0, f"# line {number}\n")
    lines = {lens["range"]["start"]["line"] for lens in await client.lenses(uri)}
    assert lines == {0, 4}
    async with asyncio.timeout(5):
        while not await calls(client, "revalidate"):
            await asyncio.sleep(0.05)
    await wait_state(client, run_id, "proposed")
    await stale_is(client, proposal_id, False)
    proposal = await client.command("agent.proposal", {"proposalId": proposal_id})
    assert proposal["files"][0]["baseVersion"] == 4
    assert proposal["files"][0]["hunks"][0]["range"]["start"] == {"line": 4, "character": 0}
    assert len(await calls(client, "revalidate")) == 1
    await client.wait_until(lambda: "proven" in client.diagnostics[uri][0]["message"])
    assert client.diagnostics[uri][0]["range"]["start"]["line"] == 4


async def test_a_file_that_only_the_tests_loaded_counts_too(connect: Connect, root: Path) -> None:
    client = await connect(options=NEVER)
    _, _, proposal_id = await proposed(client, root)
    uri = client.open(root / "tests" / "test_calc.py")
    client.type(uri, 0, 0, "# mine\n")
    await stale_is(client, proposal_id, True)
    client.shut(uri)
    await stale_is(client, proposal_id, False)


async def test_other_files_leave_a_proposal_fresh(connect: Connect, root: Path) -> None:
    client = await connect(options=NEVER)
    _, _, proposal_id = await proposed(client, root)
    client.type(client.open(root / "other.py"), 0, 0, "# mine\n")
    client.type(client.open(root / "tests" / "test_calc.py"), 0, 0, "#")
    await stale_is(client, proposal_id, True)
    assert await calls(client, "stale") == [{"proposalId": proposal_id, "paths": ["tests/test_calc.py"]}]


async def test_closed_files_are_seen_by_the_watcher(connect: Connect, root: Path) -> None:
    client = await connect(options=NEVER)
    watched = await client.wait_for(
        "client/registerCapability",
        lambda params: params["registrations"][0]["method"] == "workspace/didChangeWatchedFiles",
    )
    assert watched["registrations"][0]["registerOptions"]["watchers"]
    _, _, proposal_id = await proposed(client, root)
    test = root / "tests" / "test_calc.py"
    text = test.read_text()
    test.write_text(text + "# more\n")
    client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": uri_for(test), "type": 2}]})
    await stale_is(client, proposal_id, True)
    test.unlink()
    client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": uri_for(test), "type": 3}]})
    await client.command("agent.status")
    test.write_text(text)
    client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": uri_for(test), "type": 1}]})
    await stale_is(client, proposal_id, False)


async def test_a_buffer_of_a_file_in_another_encoding_is_compared_as_it_would_be_saved(
    connect: Connect, root: Path
) -> None:
    client = await connect(options=NEVER)
    text = "# caf\u00e9\ndef add(a, b):\n    return a - b\n"
    (root / "tests" / "test_calc.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    uri = client.open(root / "tests" / "test_calc.py", text)
    _, _, proposal_id = await proposed(client, root)
    client.type(uri, 0, 0, "#")
    await stale_is(client, proposal_id, True)
    client.type(uri, 0, 1, "")
    await stale_is(client, proposal_id, False)


async def test_applying_does_not_call_itself_stale(connect: Connect, root: Path) -> None:
    client = await connect(VSCODE, options=NEVER)
    _, _, proposal_id = await proposed(client, root)
    answer = await client.command("agent.apply", {"proposalId": proposal_id})
    assert (await settled(client, answer))["applied"] is True
    await asyncio.sleep(0.3)  # longer than the check waits for more typing
    assert await calls(client, "stale") == []


async def test_an_edit_inside_a_change_is_shown_at_that_change_at_once_and_undo_takes_that_away(
    connect: Connect, root: Path
) -> None:
    client = await connect(options=NEVER)
    uri, _, proposal_id = await proposed(client, root)
    text = client.buffers[uri].text
    at = text.index("a - b")
    client.type(uri, at, at, "(")
    await client.wait_until(lambda: "stale: these lines were edited" in client.diagnostics[uri][0]["message"])
    client.type(uri, at, at + 1, "")
    await client.wait_until(lambda: "proven" in client.diagnostics[uri][0]["message"])
    await stale_is(client, proposal_id, False)


async def test_an_editor_that_watches_no_files_hears_of_closed_ones_all_the_same(connect: Connect, root: Path) -> None:
    client = await connect(NEOVIM, options=NEVER)
    _, _, proposal_id = await proposed(client, root)
    test = root / "tests" / "test_calc.py"
    text = test.read_text()
    await asyncio.sleep(0.3)  # the first look, which it compares with
    test.write_text(text + "# a formatter was here\n")
    await stale_is(client, proposal_id, True)
    test.write_text(text)
    await stale_is(client, proposal_id, False)
