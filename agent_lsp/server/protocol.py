"""Owns what is said on the wire: dispatch of requests and notifications, one answer each, and our own questions.

Each override of pygls 2.1.1 stands for a defect of it (tests/server/test_protocol.py shows them):
- invalid params, an unknown request without params, a result that cannot be encoded: no answer at all;
- `$/cancelRequest` of `workspace/executeCommand` leaves the coroutine running;
- every notification leaks an entry of `_request_futures`; every outgoing body is logged at INFO;
- an argument with a key `jsonrpc` is taken for a message; a malformed answer leaves its question waiting;
- tracebacks go to the client; a failing notification opens a dialog in the editor.
None of pygls' built-in methods is registered: life cycle, documents and commands are features here.
"""

import asyncio
import inspect
import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter

from agent_lsp.domain.errors import OperatorError
from agent_lsp.domain.scope import scope
from agent_lsp.server.wire import encode_frame

logger = logging.getLogger(__name__)

MsgId = int | str

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NOT_INITIALIZED: Final = -32002
CANCELLED: Final = -32800

QUESTION_TIMEOUT_S: Final = 10.0
"""How long an editor may take to answer a question that no person has to think about."""


class RequestError(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class EditorRefusedError(OperatorError):
    """The editor answered a request of ours with an error, or in a shape that says nothing."""

    code = "editor_refused"


class EdgeProtocol(LanguageServerProtocol):
    """One conversation with one editor."""

    def __init__(self, server: LanguageServer, converter: Any) -> None:
        super().__init__(server, converter)
        self.initialized = False
        self._closing = False
        self._answering: dict[MsgId, asyncio.Task[Any]] = {}
        self._hearing: set[asyncio.Task[Any]] = set()
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._last_question = 0

    def _register_builtin_features(self) -> None:
        """pygls' own handlers stay out."""

    # --- what comes in ---------------------------------------------------------------------------------------------

    def take(self, body: bytes) -> None:
        """One frame. Never raises: what cannot be understood is answered as JSON-RPC says."""
        try:
            message = json.loads(body)
        except ValueError:
            self._fail(None, PARSE_ERROR, "the message is not JSON")
            return
        if not isinstance(message, dict):
            self._fail(None, INVALID_REQUEST, "a message is one JSON object; batches are not part of LSP")
            return
        msg_id, method = message.get("id"), message.get("method")
        if msg_id is not None and (isinstance(msg_id, bool) or not isinstance(msg_id, int | str)):
            self._fail(None, INVALID_REQUEST, "an id is an integer or a string")
        elif method is None:
            self._take_answer(msg_id, message)
        elif message.get("jsonrpc") != "2.0" or not isinstance(method, str):
            self._fail(msg_id, INVALID_REQUEST, 'a message has "jsonrpc": "2.0" and a method')
        elif msg_id is None:
            self._take_notification(method, message.get("params"))
        else:
            self._take_request(msg_id, method, message.get("params"))

    def begin_closing(self) -> None:
        """From now on requests are refused; those that are being answered are cancelled."""
        self._closing = True
        current = asyncio.current_task()
        for task in list(self._answering.values()):
            if task is not current:
                task.cancel()

    def abandon(self) -> None:
        """The editor is gone: nobody will answer, and nobody waits for answers."""
        for task in [*self._answering.values(), *self._hearing]:
            task.cancel()
        for future in self._asked.values():
            future.cancel()

    def _take_request(self, msg_id: MsgId, method: str, params: Any) -> None:
        with scope(request_id=msg_id, operation=method):
            self._serve_request(msg_id, method, params)

    def _serve_request(self, msg_id: MsgId, method: str, params: Any) -> None:
        try:
            self._check_phase(method)
            handler = self.fm.features.get(method)
            if handler is None or method == types.EXIT:
                raise RequestError(METHOD_NOT_FOUND, f"unknown method {method}")
            if msg_id in self._answering:
                raise RequestError(INVALID_REQUEST, f"a request with the id {msg_id!r} is being answered")
            structured = self._structured(method, params)
            if not inspect.iscoroutinefunction(handler):
                self._reply(msg_id, handler(structured))
                return
        except RequestError as error:
            self._fail(msg_id, error.code, error.message)
        except Exception as error:
            logger.exception("the request %s failed", method)
            self._fail(msg_id, INTERNAL_ERROR, f"{type(error).__name__} in {method}; see the log")
        else:
            task = asyncio.get_running_loop().create_task(handler(structured))
            self._answering[msg_id] = task
            task.add_done_callback(partial(self._answered, msg_id, method))

    def _answered(self, msg_id: MsgId, method: str, task: asyncio.Task[Any]) -> None:
        self._answering.pop(msg_id, None)
        if task.cancelled():
            self._fail(msg_id, CANCELLED, "cancelled")
            return
        error = task.exception()
        if error is None:
            self._reply(msg_id, task.result())
        elif isinstance(error, RequestError):
            self._fail(msg_id, error.code, error.message)
        else:
            logger.error("the request %s failed", method, exc_info=error)
            self._fail(msg_id, INTERNAL_ERROR, f"{type(error).__name__} in {method}; see the log")

    def _take_notification(self, method: str, params: Any) -> None:
        if method == types.CANCEL_REQUEST:
            self._cancel(params)
            return
        handler = self.fm.features.get(method)
        if handler is None or ((self._closing or not self.initialized) and method != types.EXIT):
            logger.debug("ignored the notification %s", method)
            return
        try:
            result = handler(self._structured(method, params))
        except RequestError as error:
            logger.warning("ignored a malformed %s: %s", method, error)
        except Exception:
            logger.exception("the notification %s failed", method)
        else:
            if inspect.iscoroutine(result):
                self.in_background(result)

    def in_background(self, work: Any) -> asyncio.Task[Any]:
        """Runs a coroutine that nobody awaits; what it raises is logged."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._hearing.add(task)
        task.add_done_callback(self._heard)
        return task

    def _heard(self, task: asyncio.Task[Any]) -> None:
        self._hearing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("work in the background failed", exc_info=error)

    def _cancel(self, params: Any) -> None:
        msg_id = params.get("id") if isinstance(params, Mapping) else None
        task = self._answering.get(msg_id) if isinstance(msg_id, int | str) else None
        if task is not None:
            task.cancel()

    def _check_phase(self, method: str) -> None:
        if self._closing:
            raise RequestError(INVALID_REQUEST, "the server is shutting down")
        if not self.initialized and method != types.INITIALIZE:
            raise RequestError(NOT_INITIALIZED, "send initialize first")

    def _structured(self, method: str, params: Any) -> Any:
        """The params as their LSP type; as they came for methods that LSP does not have."""
        known = types.METHOD_TO_TYPES.get(method)
        expected: Any = None if known is None else known[2]
        if expected is None or method == types.INITIALIZE:
            return params
        try:
            return self._converter.structure(params, expected)
        except Exception as error:  # noqa: BLE001  # cattrs raises whatever the shape provokes
            logger.info("invalid params of %s: %s", method, error)
            raise RequestError(INVALID_PARAMS, f"invalid params for {method}") from None

    def _take_answer(self, msg_id: MsgId | None, message: Mapping[str, Any]) -> None:
        future = self._asked.get(msg_id) if isinstance(msg_id, str) else None
        if future is None or future.done():
            if msg_id is not None and "result" not in message and "error" not in message:
                self._fail(msg_id, INVALID_REQUEST, "a message has a method, a result or an error")
            return
        if "result" in message and message.get("error") is None:
            future.set_result(message["result"])
            return
        error = message.get("error")
        text = error.get("message") if isinstance(error, Mapping) else None
        future.set_exception(EditorRefusedError(str(text or "the editor answered neither a result nor an error")))

    # --- what goes out ---------------------------------------------------------------------------------------------

    def notify(self, method: str, params: Any | None = None) -> None:
        """Tells the editor something; `params` are an LSP type or plain data."""
        self._send_data({"jsonrpc": "2.0", "method": method, **self._params(params)})

    async def ask(self, method: str, params: Any, *, timeout_s: float | None = QUESTION_TIMEOUT_S) -> Any:
        """The editor's answer as plain data; it may have any shape.

        Raises EditorRefusedError or TimeoutError. None as the time-out is for questions to a person.
        """
        self._last_question += 1
        msg_id = f"agent-lsp-{self._last_question}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[msg_id] = future
        try:
            self._send_data({"jsonrpc": "2.0", "id": msg_id, "method": method, **self._params(params)})
            async with asyncio.timeout(timeout_s):
                return await future
        except (TimeoutError, asyncio.CancelledError):
            self.notify(types.CANCEL_REQUEST, {"id": msg_id})
            raise
        finally:
            del self._asked[msg_id]

    def _params(self, params: Any) -> dict[str, Any]:
        return {} if params is None else {"params": self._plain(params)}

    def _plain(self, value: Any) -> Any:
        return self._converter.unstructure(value)

    def _reply(self, msg_id: MsgId, result: Any) -> None:
        try:
            frame = encode_frame({"jsonrpc": "2.0", "id": msg_id, "result": self._plain(result)})
        except Exception as error:
            logger.exception("a result could not be encoded")
            self._fail(msg_id, INTERNAL_ERROR, f"{type(error).__name__} while encoding the result; see the log")
            return
        self._write(frame)

    def _fail(self, msg_id: MsgId | None, code: int, message: str) -> None:
        self._send_data({"jsonrpc": "2.0", "id": msg_id, "error": {"code": code, "message": message}})

    def _send_data(self, data: Any) -> None:
        self._write(encode_frame(data))

    def _write(self, frame: bytes) -> None:
        if self.writer is not None:
            self.writer.write(frame)


class EdgeServer(LanguageServer):
    """The registry of features; errors of handlers go to the log and never to a dialog."""

    protocol: EdgeProtocol

    def __init__(self, version: str) -> None:
        logging.getLogger("pygls").setLevel(logging.WARNING)
        super().__init__("agent-lsp", version, protocol_cls=EdgeProtocol, converter_factory=default_converter)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs."""
        logger.error("%s: %s", getattr(source, "__name__", source), error)
