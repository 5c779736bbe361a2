"""Owns the sessions of the fuzzer: how one begins, what is sent in it, and how it ends."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.fuzz.drive import Conversation, FoundError
from tests.fuzz.generate import Json, Maker
from tests.fuzz.mutate import encode, mutate_bytes, mutate_value
from tests.fuzz.stream import Shot, Stream, expected, key_of
from tests.judge.meta_model import MetaModel
from tests.server.raw_client import BARE, NEOVIM, VSCODE, aware

SMALL: Final = (sys.executable, str(Path(__file__).parent.parent / "server" / "serve.py"))
"""The edge with the small runtime of tests/server, which does in no time what its goals say."""

WHOLE: Final = (sys.executable, "-m", "agent_lsp", "serve")
"""The product as it is."""

_BATCH: Final = 500
_WARM: Final = 3000
_GROWTH_KIB: Final = 6 * 1024
_EARLY: Final = -32002
_PROC: Final = Path("/proc")

Tick = Callable[[int], None]


@dataclass(slots=True)
class Outcome:
    """What came of a session: messages sent, what was wrong, and growth of memory after the warm-up in KiB."""

    seed: int
    sent: int = 0
    found: list[str] = field(default_factory=list)
    growth_kib: int | None = None


def make_workspace(root: Path) -> Path:
    """The folder that the small runtime proposes changes in."""
    (root / "tests").mkdir(parents=True)
    (root / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (root / "other.py").write_text("def sub(a, b):\n    return a - b\n")
    test = "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    (root / "tests" / "test_calc.py").write_text(test)
    return root


def run_session(
    model: MetaModel, root: Path, seed: int, count: int, tick: Tick = lambda _: None, *, argv: Sequence[str] = SMALL
) -> Outcome:
    """One session of so many messages with the seed; `tick` is told how many were sent."""
    random = Random(seed)
    maker = Maker(model, random, "file://" + quote(str(root)))
    stream = Stream(maker, runs_per_mille=random.choice((0, 2, 5)))
    outcome = Outcome(seed)
    environment = {"AGENT_LSP_MODEL__PROVIDER": "embedded", "AGENT_LSP_CACHE_DIR": str(root.parent / "cache")}
    with Conversation(argv, root, maker, environment) as conversation:
        try:
            _begin(conversation, stream, root)
            _converse(conversation, stream.shots(), count, outcome, tick)
            _end(conversation, stream)
        except FoundError as error:
            outcome.found.append(str(error))
        outcome.found += conversation.found
    return outcome


def run_torn(model: MetaModel, root: Path, seed: int, count: int) -> Outcome:
    """Bytes that lose the frames: nothing is owed but a clean end once the input is closed."""
    random = Random(seed)
    maker = Maker(model, random, "file://" + quote(str(root)))
    stream = Stream(maker, runs_per_mille=0)
    outcome = Outcome(seed, count)
    with Conversation(SMALL, root, maker, {}) as conversation:
        try:
            conversation.request(_initialize(maker, stream, root))
            torn = b"".join(
                mutate_bytes(random, b"Content-Length: %d\r\n\r\n" % len(shot.body) + shot.body)
                for shot in islice(stream.shots(), count)
            )
            conversation.send_torn(torn)
            conversation.hang_up()
            conversation.leave(status=1)
        except FoundError as error:
            outcome.found.append(str(error))
        outcome.found += conversation.found
    return outcome


def _begin(conversation: Conversation, stream: Stream, root: Path) -> None:
    """What comes too early is refused; what is malformed does not begin a session; then it begins."""
    for shot in islice(stream.shots(), stream.maker.random.choice((0, 5, 50))):
        conversation.send([Shot(shot.body, shot.answers, shot.perhaps, shot.nulls)])
    conversation.settle()
    first = _initialize(stream.maker, stream, root)
    conversation.request(first)
    if stream.maker.random.random() < 0.9:
        conversation.request({"jsonrpc": "2.0", "method": "initialized", "params": {}})
    again = {**first, "id": stream.next_id()}
    conversation.send([Shot(encode(again), (key_of(again["id"]),))])
    conversation.settle()


def _initialize(maker: Maker, stream: Stream, root: Path) -> Json:
    random = maker.random
    made: Json = maker.params(maker.model.requests["initialize"])
    profile: Any = random.choice((VSCODE, NEOVIM, BARE, aware(VSCODE), {"capabilities": made["capabilities"]}))
    uri = "file://" + quote(str(root))
    params = {
        **made,
        **profile,
        "processId": os.getpid(),
        "rootUri": uri,
        "workspaceFolders": [{"uri": uri, "name": "fuzz"}],
    }
    if random.random() < 0.3:
        params["initializationOptions"] = mutate_value(maker, {"agentLsp": {"gate": {"timeout_s": 5}}})
    return {"jsonrpc": "2.0", "id": stream.next_id(), "method": "initialize", "params": params}


def _converse(conversation: Conversation, shots: Iterator[Shot], count: int, outcome: Outcome, tick: Tick) -> None:
    warm_kib: int | None = None
    while outcome.sent < count:
        batch = list(islice(shots, min(_BATCH, count - outcome.sent)))
        conversation.send(batch)
        conversation.fence()
        outcome.sent += len(batch)
        tick(len(batch))
        if warm_kib is None and outcome.sent >= _WARM:
            warm_kib = _memory_kib(conversation.process.pid)
        if conversation.found:
            return
    if warm_kib is not None and count >= 2 * _WARM:
        outcome.growth_kib = _memory_kib(conversation.process.pid) - warm_kib
        if outcome.growth_kib > _GROWTH_KIB:
            outcome.found.append(f"grew by {outcome.growth_kib} KiB over {count - _WARM} messages")


def _end(conversation: Conversation, stream: Stream) -> None:
    conversation.request({"jsonrpc": "2.0", "id": stream.next_id(), "method": "shutdown"})
    for shot in islice(stream.shots(), 20):
        conversation.send([Shot(shot.body, shot.answers, shot.perhaps, shot.nulls)])
    conversation.settle()
    conversation.send([expected(encode({"jsonrpc": "2.0", "method": "exit"}), lawful="exit")])
    conversation.leave()


def _memory_kib(pid: int) -> int:
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise AssertionError("no Anonymous in smaps_rollup")
