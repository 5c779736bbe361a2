"""The pipe between the processes, over real pipes, also when one side says nonsense."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from agent_lsp.domain.errors import LinkClosedError, NoModelError
from agent_lsp.link.peer import NeverSentError, Peer, PeerError

ENDED: list[str] = []
"""The calls that waited and wait no more."""


async def echo(args: Mapping[str, Any]) -> Mapping[str, Any]:
    if args.get("refuse"):
        raise NoModelError("no model", hint="configure one")
    if args.get("break"):
        raise RuntimeError("broken")
    if args.get("odd"):
        return {"odd": {1, 2}}
    if args.get("wait"):
        try:
            await asyncio.Event().wait()
        finally:
            ENDED.append(str(args["wait"]))
    return {"got": dict(args)}


class Ends:
    """Two peers, or one peer and a raw other side, over a pair of pipes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.serving: list[asyncio.Task[None]] = []

    async def streams(self) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ...]:
        one_in, two_out = os.pipe()
        two_in, one_out = os.pipe()
        return await stream(one_in, one_out), await stream(two_in, two_out)

    def peer(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> Peer:
        peer = Peer(*streams, {"echo": echo, "run": echo}, self.take)
        self.serving.append(asyncio.create_task(peer.serve()))
        return peer

    def take(self, name: str, data: Mapping[str, Any]) -> None:
        self.events.append((name, data))
        if name == "bad":
            raise ValueError("a listener fails")


async def stream(descriptor_in: int, descriptor_out: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor_in, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(descriptor_out, "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    pair = Ends()
    yield pair
    await asyncio.gather(*pair.serving)


async def test_calls_are_answered_with_results_errors_and_nothing_is_lost(ends: Ends) -> None:
    left, right = await ends.streams()
    one, two = ends.peer(left), ends.peer(right)
    assert await one.call("echo", {"a": 1}, timeout_s=5) == {"got": {"a": 1}}
    with pytest.raises(PeerError, match="no model") as refused:
        await two.call("echo", {"refuse": True}, timeout_s=5)
    assert (refused.value.code, refused.value.hint) == ("no_model", "configure one")
    with pytest.raises(PeerError, match="RuntimeError: broken"):
        await one.call("echo", {"break": True}, timeout_s=5)
    with pytest.raises(PeerError, match="TypeError"):
        await one.call("echo", {"odd": True}, timeout_s=5)
    with pytest.raises(PeerError, match="no call named other"):
        await one.call("other", {}, timeout_s=5)
    with pytest.raises(TimeoutError):
        await one.call("echo", {"wait": True}, timeout_s=0.05)
    one.close()
    two.close()


async def test_calls_that_wait_end_when_the_other_side_goes(ends: Ends) -> None:
    left, right = await ends.streams()
    one, two = ends.peer(left), ends.peer(right)
    waiting = asyncio.create_task(one.call("echo", {"wait": True}, timeout_s=5))
    assert await one.call("echo", {}, timeout_s=5) == {"got": {}}
    two.close()
    with pytest.raises(LinkClosedError):
        await waiting
    with pytest.raises(LinkClosedError):
        await one.call("echo", {}, timeout_s=5)


async def test_giving_a_call_up_ends_the_work_behind_it_where_that_may_be_stopped(ends: Ends) -> None:
    left, right = await ends.streams()
    one, two = ends.peer(left), ends.peer(right)
    ENDED.clear()
    given_up = asyncio.create_task(one.call("run", {"wait": "stoppable"}, timeout_s=5))
    finished = asyncio.create_task(one.call("echo", {"wait": "quick and whole"}, timeout_s=5))
    kept = asyncio.create_task(one.call("run", {"wait": "another"}, timeout_s=5))
    await one.call("run", {}, timeout_s=5)
    given_up.cancel()
    finished.cancel()
    assert await one.call("run", {}, timeout_s=5) == {"got": {}}
    assert ENDED == ["stoppable"]
    assert not kept.done()

    with pytest.raises(TimeoutError):
        await one.call("run", {"wait": "a time-out leaves it"}, timeout_s=0.01)
    assert await one.call("run", {}, timeout_s=5) == {"got": {}}
    assert ENDED == ["stoppable"]
    one.close()
    two.close()
    with pytest.raises(LinkClosedError):
        await kept
    with pytest.raises(NeverSentError):
        await one.call("run", {}, timeout_s=5)


async def test_a_handler_that_is_cancelled_by_another_hand_is_answered(ends: Ends) -> None:
    left, right = await ends.streams()
    one, two = ends.peer(left), ends.peer(right)

    async def cancelled(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise asyncio.CancelledError

    two._handlers = {"run": cancelled, "echo": cancelled}
    for name in ("run", "echo"):
        with pytest.raises(PeerError, match="cancelled"):
            await one.call(name, {}, timeout_s=5)
    one.close()
    two.close()


async def test_nonsense_on_the_pipe_does_not_end_the_conversation(ends: Ends) -> None:
    left, (reader, writer) = await ends.streams()
    one = ends.peer(left)
    calling = asyncio.create_task(one.call("anything", {}, timeout_s=5))
    frame = json.loads(await reader.readline())
    nonsense: list[Any] = [7, None, [], "call", {}, {"id": 99, "result": {}}, {"event": "bad", "data": 3}]
    names: list[Any] = [99, None, [], {}, "1", True]
    nonsense += [{"cancel": name} for name in names]
    nonsense += [{"id": [], "result": {}}]
    for value in nonsense:
        writer.write(json.dumps(value).encode() + b"\n")
    writer.write(b"\xff not json\n")
    writer.write(json.dumps({"event": "fine", "data": {"x": 1}}).encode() + b"\n")
    writer.write(json.dumps({"id": frame["id"], "error": "a text"}).encode() + b"\n")
    with pytest.raises(PeerError, match="a text"):
        await calling
    assert ends.events == [("bad", {}), ("fine", {"x": 1})]
    calling = asyncio.create_task(one.call("anything", {}, timeout_s=5))
    frame = json.loads(await reader.readline())
    writer.write(json.dumps({"id": frame["id"], "result": [1]}).encode() + b"\n")
    with pytest.raises(PeerError, match="not an object"):
        await calling
    one.close()
    writer.close()


def test_a_peer_needs_nothing_but_the_standard_library() -> None:
    code = "import sys, agent_lsp.link.peer; assert not {'pygls', 'pydantic', 'apsw'} & set(sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
