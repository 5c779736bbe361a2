"""A raw JSON-RPC client over stdio: no pygls, so it sees what is really on the wire.

    client = RawClient()
    await client.start([sys.executable, "serve.py"], cwd=root)
    await client.initialize(VSCODE, root)
    client.open(path)
    answer = await client.command("agent.run", {"goal": "…"})
    note = await client.wait_for("textDocument/publishDiagnostics", lambda p: p["diagnostics"])
    assert await client.close() == 0

Every message is judged, in both directions (tests/judge): what the server says always, what the client says unless it
goes through `send`, `send_bytes` or a `raw_…` method. What is wrong fails the test: `close` raises it, and
tests/conftest.py looks again after each test.

It keeps an editor in memory: documents with versions, and `workspace/applyEdit` applied honestly (versions checked,
`didChange` sent, then the answer). Handlers for server requests can be replaced in `client.handlers`.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.judge.judge import Judge

Json = dict[str, Any]
RequestHandler = Callable[[Any], Any]

_WAIT_S = 10.0


def _actions(resolves: Sequence[str], **more: Any) -> Json:
    return {
        "dynamicRegistration": True,
        "codeActionLiteralSupport": {
            "codeActionKind": {"valueSet": ["", "quickfix", "refactor", "refactor.rewrite", "source"]}
        },
        "isPreferredSupport": True,
        "dataSupport": True,
        "resolveSupport": {"properties": list(resolves)},
        **more,
    }


VSCODE: Json = {
    "clientInfo": {"name": "Visual Studio Code", "version": "1.139.1"},
    "capabilities": {
        "workspace": {
            "applyEdit": True,
            "configuration": True,
            "workspaceFolders": True,
            "workspaceEdit": {"documentChanges": True, "resourceOperations": ["create", "rename", "delete"]},
            "codeLens": {"refreshSupport": True},
            "didChangeWatchedFiles": {"dynamicRegistration": True, "relativePatternSupport": True},
            "didChangeConfiguration": {"dynamicRegistration": True},
            "executeCommand": {"dynamicRegistration": True},
            "textDocumentContent": {"dynamicRegistration": True},
        },
        "textDocument": {
            "synchronization": {"dynamicRegistration": True, "didSave": True},
            "publishDiagnostics": {"relatedInformation": True, "dataSupport": True, "versionSupport": False},
            "codeAction": _actions(["edit", "command"], disabledSupport=True, tagSupport={"valueSet": [1]}),
            "codeLens": {"dynamicRegistration": True, "resolveSupport": {"properties": ["command"]}},
        },
        "window": {
            "workDoneProgress": True,
            "showDocument": {"support": True},
            "showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}},
        },
        "general": {"positionEncodings": ["utf-16"]},
    },
}
"""What VS Code of 2026 sends, as far as it concerns a server like this."""

NEOVIM: Json = {
    "clientInfo": {"name": "Neovim", "version": "0.11.4"},
    "capabilities": {
        "workspace": {
            "applyEdit": True,
            "configuration": True,
            "workspaceFolders": True,
            "workspaceEdit": {"resourceOperations": ["rename", "create", "delete"]},
            "didChangeWatchedFiles": {"dynamicRegistration": False, "relativePatternSupport": True},
            "didChangeConfiguration": {"dynamicRegistration": False},
        },
        "textDocument": {
            "synchronization": {"dynamicRegistration": False, "didSave": True},
            "publishDiagnostics": {"relatedInformation": True, "dataSupport": True},
            "codeAction": _actions(["edit", "command"]),
            "codeLens": {"dynamicRegistration": False, "resolveSupport": {"properties": ["command"]}},
        },
        "window": {
            "workDoneProgress": True,
            "showDocument": {"support": True},
            "showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}},
        },
        "general": {"positionEncodings": ["utf-8", "utf-16", "utf-32"]},
    },
}
"""What stock Neovim 0.11.4 sends: it applies versioned edits without declaring documentChanges."""

BARE: Json = {"clientInfo": {"name": "bare"}, "capabilities": {}}
"""A client that declares nothing."""


def with_capabilities(profile: Json, **paths: Any) -> Json:
    """A copy of a profile with capabilities set by path, `__` between the keys: `window__workDoneProgress=False`."""
    copy: Json = json.loads(json.dumps(profile))
    for path, value in paths.items():
        *parents, last = path.split("__")
        table = copy["capabilities"]
        for key in parents:
            table = table.setdefault(key, {})
        table[last] = value
    return copy


def aware(profile: Json) -> Json:
    """The profile of a client that knows the notifications of PROTOCOL.md section 5."""
    return with_capabilities(profile, experimental__agentLsp={"version": "1"})


class RpcError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code, self.message, self.data = error.get("code"), error.get("message"), error.get("data")


@dataclass
class Buffer:
    """A document in the editor; positions are in `encoding`."""

    uri: str
    version: int
    text: str
    encoding: str

    def offset(self, position: Json) -> int:
        """The index of a position; raises AssertionError for one that no editor would take."""
        start = 0
        for _ in range(position["line"]):
            ends = [self.text.find(end, start) for end in ("\r\n", "\n", "\r")]
            found = [(at, len(end)) for at, end in zip(ends, ("\r\n", "\n", "\r"), strict=True) if at >= 0]
            assert found, f"line {position['line']} is beyond the document"
            at, length = min(found, key=lambda pair: (pair[0], -pair[1]))
            start = at + length
        units = position["character"]
        while units > 0:
            assert start < len(self.text), "a column is beyond the line"
            assert self.text[start] not in "\r\n", "a column is beyond the line"
            units -= width(self.text[start], self.encoding)
            start += 1
        assert units == 0, "a column is inside a character"
        return start

    def position(self, offset: int) -> Json:
        """The position of an index."""
        before = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        line = before.rpartition("\n")[2]
        return {"line": before.count("\n"), "character": sum(width(char, self.encoding) for char in line)}

    def apply(self, edits: Sequence[Json]) -> None:
        """Applies text edits that do not overlap, all relative to the text as it is."""
        spans = sorted(
            ((self.offset(e["range"]["start"]), self.offset(e["range"]["end"]), e["newText"]) for e in edits),
            reverse=True,
        )
        for start, end, new in spans:
            self.text = self.text[:start] + new + self.text[end:]


def width(char: str, encoding: str) -> int:
    """Code units of one character."""
    if encoding == "utf-32":
        return 1
    return len(char.encode("utf-8")) if encoding == "utf-8" else len(char.encode("utf-16-le")) // 2


def uri_for(path: Path) -> str:
    """A file URI as editors spell it."""
    return "file://" + quote(str(path))


@dataclass
class RawClient:
    """One server process and what was heard from it."""

    handlers: dict[str, RequestHandler] = field(default_factory=dict)
    notifications: list[tuple[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    diagnostics: dict[str, list[Json]] = field(default_factory=dict)
    stderr: bytearray = field(default_factory=bytearray)
    capabilities: Json = field(default_factory=dict)
    encoding: str = "utf-16"
    settings: Any = None
    judge: Judge = field(default_factory=Judge)
    process: asyncio.subprocess.Process = field(init=False)

    def __post_init__(self) -> None:
        self._pending: dict[Any, asyncio.Future[Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = asyncio.Condition()
        self._last_id = 0
        self._write: Callable[[bytes], None]
        self.handlers = {
            "window/workDoneProgress/create": lambda _: None,
            "client/registerCapability": lambda _: None,
            "client/unregisterCapability": lambda _: None,
            "workspace/codeLens/refresh": lambda _: None,
            "workspace/textDocumentContent/refresh": lambda _: None,
            "workspace/configuration": lambda params: [self.settings for _ in params["items"]],
            "workspace/applyEdit": self.apply_edit,
            "window/showDocument": lambda _: {"success": True},
            "window/showMessageRequest": lambda _: None,
            **self.handlers,
        }

    # --- the process -----------------------------------------------------------------------------------------------

    async def start(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Starts the server and hears it."""
        self.process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            limit=64 * 1024 * 1024,
        )
        self._guard_stdin()
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._drain())]

    def _guard_stdin(self) -> None:
        """A test that writes to the pipe by itself says what the judge cannot follow."""
        assert self.process.stdin is not None
        write = self._write = self.process.stdin.write

        def unframed(data: bytes) -> None:
            self.judge.unframed()
            write(data)

        self.process.stdin.write = unframed  # type: ignore[method-assign, assignment]

    async def initialize(
        self, profile: Json, *roots: Path, options: Any = None, process_id: int | None = None, **more: Any
    ) -> Json:
        """Begins the session; the result of `initialize`."""
        params: Json = {
            "processId": os.getpid() if process_id is None else process_id,
            "clientInfo": profile["clientInfo"],
            "capabilities": profile["capabilities"],
            "rootUri": uri_for(roots[0]) if roots else None,
            "workspaceFolders": [{"uri": uri_for(root), "name": root.name} for root in roots] or None,
            **({} if options is None else {"initializationOptions": options}),
            **more,
        }
        result: Json = await self.request("initialize", params)
        self.capabilities = result["capabilities"]
        self.encoding = self.capabilities.get("positionEncoding", "utf-16")
        self.notify("initialized", {})
        return result

    async def close(self) -> int:
        """shutdown, exit, and the exit status."""
        await self.request("shutdown", None)
        self.notify("exit", None)
        status = await self.wait_exit()
        assert not self.judge.problems, "\n".join(self.judge.problems)
        assert not self.judge.unanswered(), f"never answered: {self.judge.unanswered()}"
        return status

    async def wait_exit(self, timeout_s: float = _WAIT_S) -> int:
        """The exit status of a server that is about to end."""
        status = await asyncio.wait_for(self.process.wait(), timeout_s)
        await asyncio.gather(*self._tasks)
        return status

    async def kill(self) -> None:
        """Ends a server that a test has left running."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await asyncio.gather(*self._tasks)
        if self.process.stdin is not None:
            self.process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self.process.stdin.wait_closed()

    # --- speaking --------------------------------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Any JSON value as one frame; not judged."""
        self.judge.client_raw(message)
        self._frame(json.dumps(message).encode())

    def send_bytes(self, body: bytes) -> None:
        """Any bytes as one frame; not judged."""
        try:
            self.judge.client_raw(json.loads(body.decode("utf-8-sig"), parse_constant=_no_json))
        except (ValueError, RecursionError):
            self.judge.unreadable()
        self._frame(body)

    def _say(self, message: Json) -> None:
        self.judge.client_says(message)
        self._frame(json.dumps(message).encode())

    def _frame(self, body: bytes) -> None:
        self._write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method: str, params: Any) -> None:
        """A notification."""
        self._say(_call(method, params))

    def raw_notify(self, method: str, params: Any) -> None:
        """A notification that may be malformed."""
        self.send(_call(method, params))

    def ask(self, method: str, params: Any) -> tuple[int, asyncio.Future[Any]]:
        """A request; its id and the future of its result."""
        msg_id, future = self._expect()
        self._say({**_call(method, params), "id": msg_id})
        return msg_id, future

    def raw_ask(self, method: str, params: Any) -> tuple[int, asyncio.Future[Any]]:
        """A request that may be malformed; its id and the future of its result."""
        msg_id, future = self._expect()
        self.send({**_call(method, params), "id": msg_id})
        return msg_id, future

    def _expect(self) -> tuple[int, asyncio.Future[Any]]:
        self._last_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[self._last_id] = future
        return self._last_id, future

    async def raw_request(self, method: str, params: Any, timeout_s: float = _WAIT_S) -> Any:
        """The result of a request that may be malformed. Raises RpcError."""
        return await asyncio.wait_for(self.raw_ask(method, params)[1], timeout_s)

    async def raw_command(self, name: str, argument: Any = None, **params: Any) -> Any:
        """A command whose argument may be malformed."""
        arguments = {} if argument is None else {"arguments": [argument]}
        return await self.raw_request("workspace/executeCommand", {"command": name, **arguments, **params})

    async def request(self, method: str, params: Any, timeout_s: float = _WAIT_S) -> Any:
        """The result of a request. Raises RpcError."""
        _, future = self.ask(method, params)
        return await asyncio.wait_for(future, timeout_s)

    async def command(self, name: str, argument: Any = None, **params: Any) -> Any:
        """`workspace/executeCommand` with one object as the only argument."""
        arguments = {} if argument is None else {"arguments": [argument]}
        return await self.request("workspace/executeCommand", {"command": name, **arguments, **params})

    async def actions(
        self, uri: str, start: int, end: int | None = None, *, diagnostics: Sequence[Json] = (), only: Any = None
    ) -> list[Json]:
        """Code actions from the start of one line to the start of another; a cursor without `end`."""
        stop = start if end is None else end
        context: Json = {"diagnostics": list(diagnostics), **({} if only is None else {"only": only})}
        place = {"start": {"line": start, "character": 0}, "end": {"line": stop, "character": 0}}
        params = {"textDocument": {"uri": uri}, "range": place, "context": context}
        found = await self.request("textDocument/codeAction", params)
        return list(found or [])

    async def do(self, action: Json) -> Any:
        """Resolves a code action or lens if it has no command yet, and executes that."""
        if "command" not in action:
            method = "codeLens/resolve" if "title" not in action else "codeAction/resolve"
            action = await self.request(method, action)
        command = action["command"] if isinstance(action["command"], dict) else action
        return await self.request(
            "workspace/executeCommand", {"command": command["command"], "arguments": command.get("arguments", [])}
        )

    async def lenses(self, uri: str) -> list[Json]:
        """Code lenses of a document."""
        return list(await self.request("textDocument/codeLens", {"textDocument": {"uri": uri}}) or [])

    # --- the editor ------------------------------------------------------------------------------------------------

    def open(self, path: Path, text: str | None = None, *, uri: str | None = None) -> str:
        """Opens a document, with a text of its own if it is to be unsaved; its URI."""
        uri = uri or uri_for(path)
        content = path.read_bytes().decode() if text is None else text
        self.buffers[uri] = Buffer(uri, 1, content, self.encoding)
        item = {"uri": uri, "languageId": "python", "version": 1, "text": content}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def type(self, uri: str, start: int, end: int, text: str) -> None:
        """Replaces characters `[start, end)` of a document and tells the server."""
        buffer = self.buffers[uri]
        place = {"start": buffer.position(start), "end": buffer.position(end)}
        buffer.apply([{"range": place, "newText": text}])
        self.changed(uri, [{"range": place, "text": text}])

    def changed(self, uri: str, changes: Sequence[Json]) -> None:
        """Sends `didChange` with the next version."""
        buffer = self.buffers[uri]
        buffer.version += 1
        document = {"uri": uri, "version": buffer.version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def shut(self, uri: str) -> None:
        """Closes a document."""
        del self.buffers[uri]
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def apply_edit(self, params: Json) -> Json:
        """Applies a workspace edit as an honest editor: whole or not at all, on the versions that it names."""
        edit = params["edit"]
        parts = [
            (part["textDocument"]["uri"], part["textDocument"].get("version"), part["edits"])
            for part in edit.get("documentChanges") or ()
        ] + [(uri, None, edits) for uri, edits in (edit.get("changes") or {}).items()]
        for uri, version, _ in parts:
            buffer = self.buffers.get(uri)
            if buffer is None or version not in (None, buffer.version):
                return {"applied": False, "failureReason": f"{uri} is not at version {version}"}
        for uri, _, edits in parts:
            changes = [
                {"range": row["range"], "text": row["newText"]}
                for row in sorted(edits, key=lambda row: self.buffers[uri].offset(row["range"]["start"]), reverse=True)
            ]
            self.buffers[uri].apply(edits)
            self.changed(uri, changes)
        return {"applied": True}

    # --- hearing ---------------------------------------------------------------------------------------------------

    async def wait_for(
        self, method: str, wanted: Callable[[Any], Any] = lambda _: True, timeout_s: float = _WAIT_S
    ) -> Any:
        """The params of the first notification or request of the server that is wanted, heard already or not."""
        return (await self.wait_until(lambda: self.heard(method, wanted), timeout_s))[0]

    def heard(self, method: str, wanted: Callable[[Any], Any] = lambda _: True) -> list[Any]:
        """The params of everything of this method that was heard so far."""
        return [params for name, params in [*self.notifications, *self.requests] if name == method and wanted(params)]

    async def wait_until(self, condition: Callable[[], Any], timeout_s: float = _WAIT_S) -> Any:
        """The first true value of a condition that is tried after each message."""
        async with asyncio.timeout(timeout_s), self._heard:
            return await self._heard.wait_for(condition)

    async def _hear(self) -> None:
        assert self.process.stdout is not None
        reader = self.process.stdout
        while True:
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                assert name == b"Content-Length", f"stdout carries something else: {line!r}"
                length = int(value)
            if not length:
                break
            await self._take(json.loads(await reader.readexactly(length)))
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ConnectionError("the server is gone"))
                future.exception()

    async def _take(self, message: Json) -> None:
        self.judge.server_says(message)
        self.messages.append(message)
        if "method" not in message:
            future = self._pending.pop(message.get("id"), None)
            if future is not None and not future.done():
                if "error" in message:
                    future.set_exception(RpcError(message["error"]))
                else:
                    future.set_result(message["result"])
        elif "id" in message:
            self.requests.append((message["method"], message.get("params")))
            task = asyncio.create_task(self._answer(message))
            self._tasks.append(task)
        else:
            self.notifications.append((message["method"], message.get("params")))
            if message["method"] == "textDocument/publishDiagnostics":
                self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        async with self._heard:
            self._heard.notify_all()

    async def _answer(self, message: Json) -> None:
        handler = self.handlers.get(message["method"])
        answer: Json = {"jsonrpc": "2.0", "id": message["id"]}
        say = self._say
        if handler is None:
            answer["error"] = {"code": -32601, "message": f"no {message['method']} here"}
        else:
            try:
                result = handler(message.get("params"))
                answer["result"] = await result if isinstance(result, Awaitable) else result
                if isinstance(answer["result"], Malformed):
                    answer["result"], say = answer["result"].value, self.send
            except NoAnswerError:
                return
            except RpcError as error:
                answer["error"] = {"code": error.code, "message": error.message}
        if self.process.returncode is None:
            say(answer)

    async def _drain(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self.stderr += chunk


class NoAnswerError(Exception):
    """Raised by a handler that never answers."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What a handler gives as its result when that is wrong on purpose."""

    value: Any


def _no_json(name: str) -> Any:
    raise ValueError(name)


def _call(method: str, params: Any) -> Json:
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}


def path_for(uri: str) -> Path:
    """The path of a file URI."""
    return Path(unquote(uri.removeprefix("file://")))
