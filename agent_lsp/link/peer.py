"""Owns one end of the pipe: calls with answers both ways and events, as JSON lines over asyncio streams."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from agent_lsp.domain.errors import AgentLspError, BadArgumentError, LinkClosedError, error_body
from agent_lsp.link.messages import STOPPABLE

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
EventHandler = Callable[[str, Mapping[str, Any]], None]

LINE_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""The longest frame that is read; a whole large buffer is one line."""


class PeerError(AgentLspError):
    """The other side answered a call with an error; code, message and hint are its own."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class NeverSentError(LinkClosedError):
    """The other process was gone before the call was sent: it may be sent to the next one."""


class Peer:
    """Speaks with the other process until it is gone. `serve` must run for anything to be heard."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handlers: Mapping[str, Handler],
        on_event: EventHandler | None = None,
        stoppable: Collection[str] = STOPPABLE,
    ) -> None:
        """`stoppable` are the handlers that end when the other side gives their call up."""
        self._reader, self._writer = reader, writer
        self._handlers, self._on_event, self._stoppable = handlers, on_event, stoppable
        self._pending: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._serving: dict[Any, asyncio.Task[None]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._closed = False

    async def call(self, name: str, args: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """The other side's result. Raises PeerError, TimeoutError, or LinkClosedError when it is gone.

        Cancelling it also ends the work on the other side, where that can be stopped. A time-out does not.
        """
        if self._closed:
            raise NeverSentError("the other process is gone")
        self._last_id += 1
        call_id = self._last_id
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[call_id] = future
        try:
            self._send({"id": call_id, "call": name, "args": args})
            async with asyncio.timeout(timeout_s):
                return await future
        except asyncio.CancelledError:
            if not self._closed:
                self._send({"cancel": call_id})
            raise
        finally:
            self._pending.pop(call_id, None)

    def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Tells the other side something; silently dropped when it is gone."""
        if not self._closed:
            self._send({"event": event, "data": data})

    async def serve(self) -> None:
        """Reads frames until the other side closes. Every pending call then raises LinkClosedError."""
        try:
            while line := await self._reader.readline():
                self._take(line)
        except (ConnectionError, ValueError) as error:
            logger.warning("the link broke: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the conversation from this side."""
        if self._closed:
            return
        self._closed = True
        for future in self._pending.values():
            if not future.done():
                future.set_exception(LinkClosedError("the other process is gone"))
        for task in self._tasks:
            task.cancel()
        self._writer.close()

    def _send(self, frame: Mapping[str, Any]) -> None:
        try:
            self._writer.write(json.dumps(frame, separators=(",", ":")).encode() + b"\n")
        except (ConnectionError, RuntimeError) as error:
            logger.warning("could not write to the link: %s", error)

    def _take(self, line: bytes) -> None:
        try:
            frame = json.loads(line)
        except ValueError:
            frame = None
        if not isinstance(frame, dict):
            logger.error("a frame of the link is not a JSON object: %.200r", line)
        elif "call" in frame:
            self._serve_call(frame)
        elif "cancel" in frame:
            self._give_up(frame["cancel"])
        elif "event" in frame:
            self._hear(str(frame["event"]), frame.get("data"))
        else:
            self._settle(frame)

    def _serve_call(self, frame: Mapping[str, Any]) -> None:
        call_id = frame.get("id")
        task = asyncio.get_running_loop().create_task(self._answer(frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if isinstance(call_id, int) and isinstance(frame["call"], str) and frame["call"] in self._stoppable:
            self._serving[call_id] = task
            task.add_done_callback(lambda _: self._serving.pop(call_id, None))

    def _give_up(self, call_id: Any) -> None:
        task = self._serving.pop(call_id, None) if isinstance(call_id, int) else None
        if task is not None:
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)
            task.cancel()

    def _hear(self, event: str, data: Any) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event, data if isinstance(data, dict) else {})
        except Exception:
            logger.exception("the event %s of the link could not be taken", event)

    def _settle(self, frame: Mapping[str, Any]) -> None:
        call_id = frame.get("id")
        future = self._pending.get(call_id) if isinstance(call_id, int) else None
        if future is None or future.done():
            return
        result, body = frame.get("result", {}), frame.get("error")
        if body is not None:
            known = body if isinstance(body, dict) else {"message": body}
            code, message, hint = (str(known.get(key) or "") for key in ("code", "message", "hint"))
            future.set_exception(PeerError(code or "internal", message or "an error without a message", hint))
        elif isinstance(result, dict):
            future.set_result(result)
        else:
            future.set_exception(PeerError("internal", "the answer is not an object", ""))

    async def _answer(self, frame: Mapping[str, Any]) -> None:
        try:
            result = await self._dispatch(frame["call"], frame.get("args", {}))
            answer: dict[str, Any] = {"id": frame.get("id"), "result": result}
            json.dumps(result)  # a result that is not JSON is an error of the call, not of the link
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._given_up and not self._closed:  # the caller waits still
                self._send({"id": frame.get("id"), "error": {"code": "cancelled", "message": "It was cancelled."}})
            raise
        except AgentLspError as error:
            answer = {"id": frame.get("id"), **error_body(error).to_json()}
        except Exception as error:
            logger.exception("the call %s failed", frame["call"])
            body = {"code": "internal", "message": f"{type(error).__name__}: {error}", "hint": "See agent-lsp log."}
            answer = {"id": frame.get("id"), "error": body}
        if not self._closed:
            self._send(answer)

    async def _dispatch(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        handler = self._handlers.get(name)
        if handler is None:
            raise BadArgumentError(f"no call named {name}")
        return await handler(args)
