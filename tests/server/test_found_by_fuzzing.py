"""What generated messages have found, each as the smallest conversation that shows it. `make fuzz` looks for more."""

from pathlib import Path

from tests.server.conftest import Connect
from tests.server.flows import proposed
from tests.server.raw_client import RawClient


async def test_a_message_nested_too_deeply_is_answered_and_the_server_goes_on(client: RawClient) -> None:
    client.send_bytes(b"[" * 60_000)
    assert await client.command("agent.status") == {"runs": []}
    (answer,) = [message for message in client.messages if "error" in message]
    assert (answer["id"], answer["error"]["code"]) == (None, -32700)


async def test_half_a_character_typed_into_a_proposed_file_makes_it_stale_and_breaks_nothing(
    connect: Connect, root: Path
) -> None:
    client = await connect(options={"proposal": {"revalidate_after_s": 0}})
    uri, _, proposal_id = await proposed(client, root)
    client.type(uri, 0, 0, "# \ud83d\n")
    await client.wait_until(lambda: "stale" in client.diagnostics[uri][0]["message"])
    assert (await client.command("agent.proposal", {"proposalId": proposal_id}))["stale"] is True
    assert await client.close() == 0
    assert b"Traceback" not in client.stderr


async def test_a_second_initialized_does_not_load_everything_again(client: RawClient, root: Path) -> None:
    for _ in range(3):
        client.notify("initialized", {})
    await client.command("agent.status")
    client.open(root / "calc.py")
    await client.command("agent.log.tail")
    assert await client.close() == 0
    assert client.stderr.count(b"initialized [") == 1
