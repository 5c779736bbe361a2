"""Owns what is said on the wire: dispatch of requests and notifications, one answer each, and our own questions.

Each override of pygls 2.1.1 stands for a defect of it (tests/server/test_protocol.py shows them):
- invalid params, an unknown request without params, a result that cannot be encoded: no answer at all;
- `$/cancelRequest` of `workspace/executeCommand` leaves the coroutine running;
- every notification leaks an entry of `_request_futures`; every outgoing body is logged at INFO;
- an argument with a key `jsonrpc` is taken for a message; a malformed answer leaves its question waiting;
- tracebacks go to the client; a failing notification opens a dialog in the editor.
None of pygls' built-in methods is registered: life cycle, documents and commands are features here.

Exactly one answer to each request. A second request with an id that is being answered is refused, and the first still
gets its own answer: a client that reuses an id cannot tell the two apart, the log can. A request's method sent as a
notification is ignored, since what it does could not be told; a notification's method sent as a request is done and
answered with null.
"""

import asyncio
import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter

from agent_lsp.domain.errors import OperatorError
from agent_lsp.domain.scope import scope
from agent_lsp.server.incoming import NO_MESSAGE, Answer, MsgId, Notification, Request, is_id, read
from agent_lsp.server.params_schema import check
from agent_lsp.server.plain_data import is_plain
from agent_lsp.server.wire import encode_frame

logger = logging.getLogger(__name__)

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NOT_INITIALIZED: Final = -32002
CANCELLED: Final = -32800

QUESTION_TIMEOUT_S: Final = 10.0
"""How long an editor may take to answer a question that no person has to think about."""


UNJUDGED: Final = frozenset({types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE})
"""Notifications whose handlers take the params as they came and judge them alone (features/documents.py).

They come with every key that is pressed, and dropping one over a missing version would lose what was typed.
"""


_NOTIFICATIONS: Final = frozenset(method for method, known in types.METHOD_TO_TYPES.items() if known[1] is None)
_SHOWN_CHARS: Final = 100


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
        message = read(body)
        if isinstance(message, Request):
            with scope(request_id=message.id, operation=message.method):
                self._take_request(message.id, message.method, message.params)
        elif isinstance(message, Notification):
            self._take_notification(message.method, message.params)
        elif isinstance(message, Answer):
            self._take_answer(message)
        else:
            self._refuse(message.id, "a message", INVALID_REQUEST if message.is_json else PARSE_ERROR, message.why)

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
        try:
            self._check_phase(method)
            handler = self.fm.features.get(method)
            if handler is None or method == types.EXIT:
                raise RequestError(METHOD_NOT_FOUND, f"unknown method {method[:_SHOWN_CHARS]}")
            if msg_id in self._answering:
                raise RequestError(INVALID_REQUEST, "a request with this id is being answered")
            taken = self._taken(method, params, handler)
            if not inspect.iscoroutinefunction(handler):
                self._reply(msg_id, method, handler(taken))
                return
        except RequestError as error:
            self._refuse(msg_id, method, error.code, error.message)
        except Exception as error:  # noqa: BLE001  # _failed logs it
            self._failed(msg_id, method, error)
        else:
            task = asyncio.get_running_loop().create_task(handler(taken))
            self._answering[msg_id] = task
            task.add_done_callback(partial(self._answered, msg_id, method))

    def _answered(self, msg_id: MsgId, method: str, task: asyncio.Task[Any]) -> None:
        self._answering.pop(msg_id, None)
        if task.cancelled():
            logger.info("%s (id %.40r) was cancelled", method, msg_id)
            self._fail(msg_id, CANCELLED, "cancelled")
            return
        error = task.exception()
        if error is None:
            self._reply(msg_id, method, task.result())
        elif isinstance(error, RequestError):
            self._refuse(msg_id, method, error.code, error.message)
        else:
            self._failed(msg_id, method, error)

    def _take_notification(self, method: str, params: Any) -> None:
        if method == types.CANCEL_REQUEST:
            self._cancel(params)
            return
        handler = self.fm.features.get(method)
        if handler is None or ((self._closing or not self.initialized) and method != types.EXIT):
            logger.debug("ignored the notification %.100s", method)
            return
        if method not in _NOTIFICATIONS:
            logger.warning("ignored %s: it is a request and came without an id", method)
            return
        try:
            result = handler(self._taken(method, params, handler))
        except RequestError as error:
            logger.warning("ignored %s: %s", method, error)
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
        msg_id: Any = params.get("id") if isinstance(params, Mapping) else None
        task = self._answering.get(msg_id) if is_id(msg_id) else None
        if task is not None:
            task.cancel()

    def _check_phase(self, method: str) -> None:
        if self._closing:
            raise RequestError(INVALID_REQUEST, "the server is shutting down")
        if not self.initialized and method != types.INITIALIZE:
            raise RequestError(NOT_INITIALIZED, "send initialize first")

    def _taken(self, method: str, params: Any, handler: Any) -> Any:
        """The params as the handler takes them. Raises RequestError, naming the key that is wrong."""
        known = types.METHOD_TO_TYPES.get(method)
        expected: Any = None if known is None else known[2]
        if expected is None or method == types.INITIALIZE or method in UNJUDGED:
            return params
        problem = check(method, params)
        if problem is not None:
            raise RequestError(INVALID_PARAMS, f"invalid params for {method}: {problem}")
        if is_plain(handler):
            return params
        try:
            return self._converter.structure(params, expected)
        except Exception as error:  # noqa: BLE001  # cattrs raises whatever the shape provokes
            logger.info("lsprotocol does not take the params of %s: %s", method, error)
            raise RequestError(INVALID_PARAMS, f"invalid params for {method}") from None

    def _take_answer(self, answer: Answer) -> None:
        future = self._asked.get(answer.id) if isinstance(answer.id, str) else None
        if answer.empty and future is None:
            self._refuse(answer.id, "a message", INVALID_REQUEST, NO_MESSAGE)
        elif future is None or future.done():
            logger.warning("an answer to no open question, id %.40r: %s", answer.id, answer.failure or "a result")
        elif answer.failure is None:
            future.set_result(answer.result)
        else:
            future.set_exception(EditorRefusedError(answer.failure))

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

    def _reply(self, msg_id: MsgId, method: str, result: Any) -> None:
        try:
            given = result if is_plain(self.fm.features.get(method)) else self._plain(result)
            frame = encode_frame({"jsonrpc": "2.0", "id": msg_id, "result": given})
        except Exception as error:  # noqa: BLE001  # _failed logs it
            self._failed(msg_id, method, error)
            return
        self._write(frame)

    def _failed(self, msg_id: MsgId, method: str, error: BaseException) -> None:
        """The log has the whole of it, the client the kind."""
        logger.error("%s (id %.40r) failed", method, msg_id, exc_info=error)
        self._fail(msg_id, INTERNAL_ERROR, f"{type(error).__name__} in {method}; see the log")

    def _refuse(self, msg_id: MsgId | None, method: str, code: int, message: str) -> None:
        logger.warning("refused %.100s (id %.40r): %d %s", method, msg_id, code, message)
        self._fail(msg_id, code, message)

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
