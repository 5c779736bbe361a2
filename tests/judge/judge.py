"""Owns the judgement of a conversation: every message of a server and, where it claims to be lawful, of its client.

    judge = Judge()
    judge.client_says(message)          # judged and remembered
    judge.client_raw(message)           # remembered alone: malformed on purpose
    judge.server_says(message)
    judge.problems                      # ["server: textDocument/publishDiagnostics: params.uri: …"]

LSP's own messages go by the meta model, ours by the shapes of agent_lsp/server. Where the meta model is not present
they are structured by lsprotocol instead, which lets more pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.judge import fallback, ours
from tests.judge.meta_model import MetaModel, Method, Reference, load

Side = Literal["client", "server"]
_OTHER: Mapping[Side, Side] = {"client": "server", "server": "client"}
_DIRECTION: Mapping[Side, str] = {"client": "clientToServer", "server": "serverToClient"}
_OWN = ("agent/", "memory/")
_TESTS_OWN = "odd/"
"""Methods that a test adds to its server."""
_EARLY = ("window/showMessage", "window/logMessage", "telemetry/event", "window/showMessageRequest", "$/progress")
_UNDECLARED = {"workspace/codeLens/refresh": "workspace.codeLens.refreshSupport"}
"""What the meta model leaves out or names by a whole table."""


CONVERSATIONS: "list[Judge]" = []
"""Every judge of the test that runs; tests/conftest.py looks at them after it and lets them go."""


@dataclass
class Asked:
    """A request that waits for its answer; `lawful` is False for one that is malformed on purpose."""

    method: str
    params: Any
    lawful: bool


@dataclass
class Token:
    """A progress token: whose it is, and how far it came."""

    partial_of: str | None = None
    begun: bool = False
    ended: bool = False


@dataclass
class Judge:
    """One conversation."""

    model: MetaModel | None = field(default_factory=load)
    problems: list[str] = field(default_factory=list)
    _asked: dict[Side, dict[Any, list[Asked]]] = field(default_factory=lambda: {"client": {}, "server": {}})
    _tokens: dict[Any, Token] = field(default_factory=dict)
    _capabilities: Any = None
    _answered_initialize: bool = False
    _nameless: int = 0
    _unframed: bool = False

    def __post_init__(self) -> None:
        CONVERSATIONS.append(self)

    def client_says(self, message: Any) -> None:
        """A message of a client that means to be lawful."""
        self._hear("client", message)

    def server_says(self, message: Any) -> None:
        """A message of the server."""
        self._hear("server", message)

    def client_raw(self, message: Any) -> None:
        """A message that is what a test wants it to be; its answers are still owed and judged."""
        nameless = not isinstance(message, dict) or ("id" in message and not _is_id(message["id"]))
        if nameless or not message.keys() & {"id", "method"}:
            self._nameless += 1
        elif "method" not in message and self._asked["server"].get(_key(message["id"])):
            self._asked["server"][_key(message["id"])].pop(0)
        elif "id" in message:
            self._remember("client", {"method": "", **message}, lawful=False)
        else:
            self._open_tokens(message.get("params"), "")

    def unreadable(self) -> None:
        """Bytes of the client that are no JSON; one answer without an id may follow."""
        self._nameless += 1

    def unanswered(self) -> list[str]:
        """The methods of the client's requests that have no answer yet."""
        return [asked.method for waiting in self._asked["client"].values() for asked in waiting]

    def unframed(self) -> None:
        """Bytes of the client that may be anything: from now on nobody knows which answers are owed."""
        self._unframed = True

    # --- one message -----------------------------------------------------------------------------------------------

    def _hear(self, side: Side, message: Any) -> None:
        if not isinstance(message, dict):
            self._tell(side, "message", [f"{message!r:.80} is no JSON object"])
            return
        method = message.get("method")
        name = method if isinstance(method, str) else f"answer {message.get('id')!r}"
        self._tell(side, name, _envelope(message))
        if not isinstance(method, str):
            self._answer(side, message)
        elif "id" in message:
            self._say(side, message, self._requests(), "request")
            self._remember(side, message, lawful=True)
        else:
            self._say(side, message, self._notifications(), "notification")

    def _say(self, side: Side, message: Mapping[str, Any], known: Mapping[str, Method] | None, kind: str) -> None:
        name, params = message["method"], message.get("params")
        if side == "server" and not self._answered_initialize and name not in _EARLY:
            self._tell(side, name, ["was sent before initialize was answered"])
        if name.startswith(_TESTS_OWN):
            return
        if name.startswith(_OWN):
            self._tell(side, name, ours.params_problems(name, params if params is not None else {}))
        elif known is None:
            self._tell(side, name, fallback.params_problems(name, params))
        elif name not in known:
            self._tell(side, name, [f"LSP has no such {kind}"])
        else:
            self._judge_params(side, known[name], message)
        self._open_tokens(params, name)
        self._by_method(side, name, params)

    def _judge_params(self, side: Side, method: Method, message: Mapping[str, Any]) -> None:
        if method.direction not in ("both", _DIRECTION[side]):
            self._tell(side, method.name, [f"only goes {method.direction}"])
        params = message.get("params")
        if method.name == "initialize" and isinstance(params, dict):
            params = {**params, "capabilities": {}}  # a real editor's own, as captured
        if method.params is None:
            self._tell(side, method.name, ["params: has none"] if params is not None else [])
        else:
            self._tell(side, method.name, self._check(method.params, params, "params"))
        if side == "server" and method.result is not None:
            self._tell(side, method.name, self._undeclared(method))

    def _by_method(self, side: Side, name: str, params: Any) -> None:
        """What the model cannot say: what open values of a message hold."""
        if not isinstance(params, dict):
            return
        match name:
            case "window/workDoneProgress/create":
                self._create_token(side, params.get("token"))
            case "$/progress":
                self._tell(side, name, self._progress(params))
            case "client/registerCapability":
                for row in params.get("registrations") or ():
                    self._tell(side, name, self._registration(row))
            case "workspace/executeCommand" if str(params.get("command")).startswith("agent."):
                self._tell(side, name, ours.argument_problems(params["command"], params.get("arguments", [])))

    def _answer(self, side: Side, message: Mapping[str, Any]) -> None:
        waiting = self._asked[_OTHER[side]].get(_key(message.get("id")), [])
        if message.get("id") is None and "error" in message and self._nameless:
            self._nameless -= 1
            return
        if not waiting and self._unframed:
            return
        if not waiting:
            what = "was asked by nobody" if message.get("id") is not None else "is for no request that was unreadable"
            self._tell(side, f"answer {message.get('id')!r}", [what])
            return
        asked = waiting.pop(0)
        if not waiting:
            del self._asked[_OTHER[side]][_key(message.get("id"))]
        if asked.method == "initialize" and "result" in message:
            self._answered_initialize = True
            self._capabilities = asked.params.get("capabilities") if isinstance(asked.params, dict) else None
        if "error" in message:
            self._tell(side, f"error of {asked.method}", self._error(asked.method, message["error"]))
        elif "result" in message:
            self._tell(side, f"result of {asked.method}", self._result(asked, message["result"]))

    # --- what is in it ---------------------------------------------------------------------------------------------

    def _result(self, asked: Asked, result: Any) -> list[str]:
        name = asked.method
        if name.startswith(_TESTS_OWN):
            return []
        if name.startswith(_OWN):
            return ours.request_result_problems(name, result)
        problems: list[str] = []
        requests = self._requests()
        if requests is None:
            problems += fallback.result_problems(name, result)
        elif name not in requests:
            return ["LSP has no such request, and yet it has a result"]
        else:
            kind = requests[name].result
            problems += [] if kind is None else self._check(kind, result, "result")
        command = asked.params.get("command") if isinstance(asked.params, dict) else None
        if name == "workspace/executeCommand" and isinstance(command, str) and command.startswith("agent."):
            problems += ours.result_problems(command, result)
        if name == "initialize" and isinstance(result, dict):
            experimental = result.get("capabilities", {}).get("experimental", {})
            problems += ours.capability_problems(experimental.get("agentLsp")) if "agentLsp" in experimental else []
        return problems

    def _error(self, method: str, error: Any) -> list[str]:
        if not isinstance(error, dict):
            return []  # the envelope was told already
        requests = self._requests() or {}
        kind = requests[method].error_data if method in requests else None
        return self._check(kind, error["data"], "data") if kind is not None and "data" in error else []

    def _progress(self, params: Mapping[str, Any]) -> list[str]:
        token = self._tokens.get(_key(params.get("token")))
        if token is None:
            return [f"token: {params.get('token')!r} is nobody's"]
        value = params.get("value")
        if token.partial_of is not None:
            method = (self._requests() or {}).get(token.partial_of)
            return self._check(method.partial_result, value, "value") if method and method.partial_result else []
        kind = value.get("kind") if isinstance(value, dict) else None
        names = {"begin": "WorkDoneProgressBegin", "report": "WorkDoneProgressReport", "end": "WorkDoneProgressEnd"}
        if kind not in names:
            return [f"value.kind: {kind!r} is not begin, report or end"]
        problems = self._check(Reference(names[kind]), value, "value")
        if token.ended or token.begun != (kind != "begin"):
            problems.append(f"value.kind: {kind} comes {'after end' if token.ended else 'out of turn'}")
        token.begun, token.ended = True, kind == "end"
        return problems

    def _registration(self, row: Any) -> list[str]:
        if self.model is None or not isinstance(row, dict):
            return []
        method, options = row.get("method"), row.get("registerOptions")
        kinds = self.model.registrations()
        if method not in kinds:
            known = {**self.model.requests, **self.model.notifications}
            return [] if method in known else [f"registrations.method: LSP has no {method!r}"]
        return [] if options is None else self._check(kinds[method], options, f"registerOptions of {method}")

    def _undeclared(self, method: Method) -> list[str]:
        """A request that the client has not said that it takes."""
        path = _UNDECLARED.get(method.name, method.client_capability)
        value = self._capabilities
        for key in path.split(".") if path else ():
            value = value.get(key) if isinstance(value, dict) else None
        declared = value is not None and value is not False
        # Before 3.6 there was no such capability, and every client shows messages with buttons.
        return [] if declared or not path or method.name == "window/showMessageRequest" else [f"needs {path}"]

    # --- what is remembered ----------------------------------------------------------------------------------------

    def _remember(self, side: Side, message: Mapping[str, Any], *, lawful: bool) -> None:
        method = message["method"] if isinstance(message["method"], str) else ""
        asked = Asked(method, message.get("params"), lawful)
        waiting = self._asked[side].setdefault(_key(message.get("id")), [])
        if waiting and lawful:
            self._tell(side, asked.method, [f"its id {message.get('id')!r} is in use"])
        waiting.append(asked)
        if not lawful:
            self._open_tokens(asked.params, asked.method)

    def _open_tokens(self, params: Any, method: str) -> None:
        """Tokens that a request carries, our commands' arguments included."""
        if not isinstance(params, dict):
            return
        arguments = params.get("arguments")
        for table in (params, *(arguments if isinstance(arguments, list) else ())):
            if isinstance(table, dict) and isinstance(table.get("workDoneToken"), int | str):
                key = _key(table["workDoneToken"])
                if key not in self._tokens or self._tokens[key].ended:  # one that has ended serves again
                    self._tokens[key] = Token()
        if isinstance(params.get("partialResultToken"), int | str):
            self._tokens[_key(params["partialResultToken"])] = Token(partial_of=method)

    def _create_token(self, side: Side, token: Any) -> None:
        if _key(token) in self._tokens:
            self._tell(side, "window/workDoneProgress/create", [f"token: {token!r} is in use"])
        self._tokens[_key(token)] = Token()

    # --- the rest --------------------------------------------------------------------------------------------------

    def _check(self, kind: Any, value: Any, where: str) -> list[str]:
        if self.model is None:
            return []
        return [f"{where}.{problem}" for problem in self.model.problems(kind, value)]

    def _requests(self) -> Mapping[str, Method] | None:
        return None if self.model is None else self.model.requests

    def _notifications(self) -> Mapping[str, Method] | None:
        return None if self.model is None else self.model.notifications

    def _tell(self, side: Side, what: str, problems: list[str]) -> None:
        self.problems += [f"{side}: {what}: {problem}" for problem in problems]


def _envelope(message: Mapping[str, Any]) -> list[str]:
    """JSON-RPC's own rules, as LSP narrows them."""
    problems = [] if message.get("jsonrpc") == "2.0" else ["jsonrpc: is not 2.0"]
    is_call = "method" in message
    allowed = {"jsonrpc", "id", "method", "params"} if is_call else {"jsonrpc", "id", "result", "error"}
    problems += [f"{key}: JSON-RPC has no such key here" for key in message.keys() - allowed]
    if is_call and not isinstance(message["method"], str):
        problems.append("method: is no text")
    if is_call and "params" in message and not isinstance(message["params"], dict | list):
        problems.append("params: is neither an object nor a list")
    if "id" in message and not _is_id(message["id"]) and not ("error" in message and message["id"] is None):
        problems.append(f"id: {message['id']!r} is neither an integer nor a text")
    if not is_call:
        problems += _answer_envelope(message)
    return problems


def _answer_envelope(message: Mapping[str, Any]) -> list[str]:
    problems = [] if "id" in message else ["id: is missing"]
    if ("result" in message) == ("error" in message):
        problems.append("has result and error both, or neither")
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict):
            return [*problems, "error: is no object"]
        code = error.get("code")
        checks: list[tuple[bool, str]] = [
            (isinstance(code, int) and not isinstance(code, bool), "error.code: is no integer"),
            (isinstance(error.get("message"), str), "error.message: is no text"),
            (error.keys() <= {"code", "message", "data"}, "error: has keys that JSON-RPC does not know"),
        ]
        problems += [text for good, text in checks if not good]
    return problems


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _key(value: Any) -> tuple[str, str]:
    """`1`, `"1"`, `1.0` and `true` are four ids."""
    return type(value).__name__, repr(value)
