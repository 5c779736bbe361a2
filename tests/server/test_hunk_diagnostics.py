"""What a diagnostic of a proposed hunk carries for a client that draws hunks itself."""

from pathlib import Path

from tests.server.flows import proposed
from tests.server.raw_client import RawClient


async def test_a_hunks_diagnostic_names_its_hunk_its_verdict_and_why_it_is_refused(
    client: RawClient, root: Path
) -> None:
    uri, _, proposal_id = await proposed(client, root, "fix add, regress")
    proposal = await client.command("agent.proposal", {"proposalId": proposal_id})
    [hunk] = proposal["files"][0]["hunks"]

    def refused() -> list[object]:
        rows = [row for row in client.diagnostics.get(uri, []) if row.get("code") == hunk["id"]]
        return [row["data"] for row in rows if "refused" in row.get("data", {})]

    data = (await client.wait_until(refused))[0]
    assert data == {
        "proposalId": proposal_id,
        "hunkId": hunk["id"],
        "verdictTitle": proposal["verdictTitle"],
        "refused": proposal["refused"],
    }
    assert data["refused"].startswith("The tests do not allow it (regressed).")
