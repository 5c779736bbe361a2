"""What many tests do first: run a goal up to its proposal."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from tests.server.raw_client import Json, RawClient


async def has_runtime(client: RawClient) -> None:
    """Returns once the runtime answers: what is asked of one that still starts may be answered with a time-out."""
    async with asyncio.timeout(30):
        while "error" in (answer := await client.command("agent.checkpoints", {})):
            assert answer["error"]["code"] == "timeout", answer


async def run(client: RawClient, goal: str = "fix add", **argument: Any) -> str:
    """Starts a run; its id."""
    answer = await client.command("agent.run", {"goal": goal, **argument})
    assert set(answer) == {"runId"}, answer
    return str(answer["runId"])


async def status(client: RawClient, run_id: str) -> Json:
    """The row of a run."""
    answer = await client.command("agent.status", {"runId": run_id})
    row: Json = answer["runs"][0]
    return row


async def wait_state(client: RawClient, run_id: str, *states: str, timeout_s: float = 10.0) -> Json:
    """The row of a run once it is in one of the states."""
    async with asyncio.timeout(timeout_s):
        while (row := await status(client, run_id))["state"] not in states:
            await asyncio.sleep(0.02)
        return row


async def proposed(client: RawClient, root: Path, goal: str = "fix add", **argument: Any) -> tuple[str, str, str]:
    """`calc.py` open and a proposal for it: the URI, the run's and the proposal's id."""
    path = root / "calc.py"
    uri = next((uri for uri in client.buffers if uri.endswith("/calc.py")), None) or client.open(path)
    run_id = await run(client, goal, uri=uri, **argument)
    row = await wait_state(client, run_id, "proposed", "failed")
    return uri, run_id, row["proposalId"]


async def calls(client: RawClient, name: str) -> list[Json]:
    """The arguments of every call of this name that the fake runtime took."""
    answer = await client.command("agent.say", {"text": "what were you asked?"})
    return [row["args"] for row in json.loads(answer["reply"]) if row["call"] == name]


async def settled(client: RawClient, answer: Json) -> Json:
    """The answer; on a machine so slow that it is pending, what the edge answered the runtime in the end."""
    return await edit_answer(client) if answer.get("pending") else answer


async def edit_answer(client: RawClient, timeout_s: float = 15) -> Json:
    """What the edge answered the runtime."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        found = await calls(client, "edit")
        if found:
            answer: Json = found[0]["answer"]
            return answer
    raise AssertionError("no edit was answered")
