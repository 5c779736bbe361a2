"""Owns what is sent: an endless stream of shots, each with the answers that it must get."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.fuzz.generate import Json, Maker
from tests.fuzz.mutate import encode, mutate_bytes, mutate_envelope, mutate_value
from tests.judge.meta_model import MetaModel

HANDLED: Final = (
    *["textDocument/didChange"] * 6,
    *["textDocument/didOpen"] * 3,
    *["textDocument/didClose"] * 2,
    *["textDocument/codeAction"] * 4,
    *["textDocument/codeLens"] * 2,
    *["workspace/executeCommand"] * 3,
    "codeAction/resolve",
    "codeLens/resolve",
    "workspace/textDocumentContent",
    "workspace/didChangeConfiguration",
    "workspace/didChangeWatchedFiles",
    "workspace/didChangeWorkspaceFolders",
    "window/workDoneProgress/cancel",
    "$/cancelRequest",
    "$/setTrace",
    "initialized",
)
ENDING: Final = ("initialize", "shutdown", "exit")
GOALS: Final = ("fix add", "plan", "ask", "refuse", "regress", "two", "problems", "crash", "work", "")
LATEST: Final = 40
Key = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Shot:
    """One body with what it must be answered with.

    `answers`: keys of ids, each exactly once. `perhaps`: keys that may be answered. `nulls`: least and most errors
    without an id. `lawful`: the method of a message that the meta model allows.
    """

    body: bytes
    answers: tuple[Key, ...] = ()
    perhaps: tuple[Key, ...] = ()
    nulls: tuple[int, int] = (0, 0)
    lawful: str = ""


def key_of(msg_id: Any) -> Key:
    """Ids of different JSON types are different ids."""
    return type(msg_id).__name__, msg_id


class Stream:
    """Shots from a seed. `runs` says how many of a thousand messages ask for a run."""

    def __init__(self, maker: Maker, *, runs_per_mille: int = 2) -> None:
        self.maker, self._runs = maker, runs_per_mille
        self._model: MetaModel = maker.model
        self._random: Random = maker.random
        self._last_id = 0
        self._ids: list[Any] = []
        self._versions: dict[str, int] = {}
        both = {**self._model.requests, **self._model.notifications}
        self._methods = {name: row for name, row in both.items() if row.direction != "serverToClient"}
        self._others = [name for name in self._methods if name not in ENDING]

    def shots(self) -> Iterator[Shot]:
        """For ever; now and then a few are sent in another order."""
        while True:
            few = [self._shot() for _ in range(self._random.choice((1, 1, 1, 4, 8)))]
            if self._random.random() < 0.3:
                self._random.shuffle(few)
            yield from few

    def lawful(self, name: str) -> Json:
        """A message that the meta model allows."""
        message: Json = {"jsonrpc": "2.0", "method": name}
        if name in self._model.requests:
            message["id"] = self._new_id()
        params = self._special(name) if name in _SPECIAL else self.maker.params(self._methods[name])
        if params is not None:
            message["params"] = params
        return message

    def next_id(self) -> int:
        """An id that was not used."""
        self._last_id += 1
        return self._last_id

    def _shot(self) -> Shot:
        random = self._random
        if random.random() * 1000 < self._runs:
            return expected(encode(self._run()))
        name = random.choice(HANDLED) if random.random() < 0.7 else random.choice(self._others)
        message = self.lawful(name)
        match random.randrange(10):
            case 0 | 1:
                changed = {**message, "params": mutate_value(self.maker, message.get("params"))}
                return expected(encode(changed))
            case 2:
                return expected(encode(mutate_envelope(self.maker, message)))
            case 3:
                return expected(mutate_bytes(random, encode(message)))
            case _:
                return expected(encode(message), lawful=name)

    def _new_id(self) -> Any:
        number = self.next_id()
        msg_id: Any = self._random.choice((number, number, number, f"s{number}", -number, f"{number}"))
        self._ids = [*self._ids[-LATEST:], msg_id]
        return msg_id

    def _special(self, name: str) -> Any:
        return _SPECIAL[name](self)

    def _run(self) -> Json:
        token = self.next_id()
        argument = {"goal": self._random.choice(GOALS), "workDoneToken": self._random.choice((token, f"t{token}"))}
        params = {"command": "agent.run", "arguments": [argument]}
        return {"jsonrpc": "2.0", "id": self._new_id(), "method": "workspace/executeCommand", "params": params}

    def _command(self) -> Json:
        random = self._random
        name = random.choice(COMMANDS)
        argument: Any = {"proposalId": "p_1", "runId": "r_1", "hunks": ["h_1"], "action": "step", "text": "t"}
        if random.random() < 0.5:
            argument = mutate_value(self.maker, argument)
        return {"command": name, "arguments": [argument]}

    def _change(self) -> Json:
        """Mostly of a document that is open, with the version that follows."""
        random = self._random
        params: Json = self.maker.params(self._methods["textDocument/didChange"])
        uri = (
            random.choice(list(self._versions))
            if self._versions and random.random() < 0.9
            else params["textDocument"]["uri"]
        )
        self._versions[uri] = self._versions.get(uri, 0) + random.choice((1, 1, 1, 1, 0, 5, -2))
        params["textDocument"] = {"uri": uri, "version": self._versions[uri]}
        return params

    def _open(self) -> Json:
        params: Json = self.maker.params(self._methods["textDocument/didOpen"])
        item = params["textDocument"]
        if item["uri"] not in self._versions and len(self._versions) > 20:
            item["uri"] = self._random.choice(list(self._versions))
        self._versions[item["uri"]] = item["version"]
        return params

    def _close(self) -> Json:
        uri = self._random.choice([*self._versions, *self.maker.uris])
        self._versions.pop(uri, None)
        return {"textDocument": {"uri": uri}}

    def _cancel(self) -> Json:
        return {"id": self._random.choice(self._ids) if self._ids else 1}

    def _content(self) -> Json:
        return {"uri": self._random.choice([uri for uri in self.maker.uris if uri.startswith("agent-lsp:")])}

    def _folders(self) -> Json:
        """Comes and goes, but the first folder stays."""
        folder = {"uri": self.maker.uris[0].rpartition("/")[0] + "/sub", "name": "sub"}
        return {"event": {"added": [folder], "removed": [folder] if self._random.random() < 0.8 else []}}


COMMANDS: Final = (
    "agent.plan.approve", "agent.plan.reject", "agent.control", "agent.status", "agent.proposal", "agent.apply",
    "agent.discard", "agent.revalidate", "agent.rollback", "agent.say", "agent.answer", "agent.trust",
    "agent.log.tail",
)  # fmt: skip

_SPECIAL: Final[Mapping[str, Callable[[Stream], Any]]] = {
    "workspace/executeCommand": Stream._command,
    "textDocument/didChange": Stream._change,
    "textDocument/didOpen": Stream._open,
    "textDocument/didClose": Stream._close,
    "$/cancelRequest": Stream._cancel,
    "workspace/textDocumentContent": Stream._content,
    "workspace/didChangeWorkspaceFolders": Stream._folders,
}


def expected(body: bytes, lawful: str = "") -> Shot:
    """The shot of a body, with what JSON-RPC says about its answer.

    What JSON itself leaves open (NaN, a byte order mark, keys given twice, lone surrogates) may go either way.
    """
    if lawful:
        message = json.loads(body)
        return Shot(body, (key_of(message["id"]),) if "id" in message else (), lawful=lawful)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return Shot(body, nulls=(1, 1))
    if not isinstance(message, dict):
        return Shot(body, nulls=(0, 1) if isinstance(message, float) else (1, 1))
    msg_id, method = message.get("id"), message.get("method")
    usable = isinstance(msg_id, int | str) and not isinstance(msg_id, bool)
    doubtful = body.startswith(b"\xef\xbb\xbf") or b"NaN" in body or encode(message) != body
    if doubtful:
        return Shot(body, perhaps=(key_of(msg_id),) if usable else (), nulls=(0, 1))
    if msg_id is not None and not usable:
        return Shot(body, nulls=(1, 1))
    if method is None:
        answered = "result" not in message and "error" not in message
        return Shot(
            body, perhaps=(key_of(msg_id),) if answered and usable else (), nulls=(0, 1) if answered else (0, 0)
        )
    if not usable:  # a notification: an unsound one may be told
        sound = message.get("jsonrpc") == "2.0" and isinstance(method, str)
        return Shot(body, nulls=(0, 0) if sound and "id" not in message else (0, 1))
    return Shot(body, (key_of(msg_id),))
