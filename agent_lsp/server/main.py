"""Owns the way in: takes stdin and stdout, answers `initialize` before anything heavy is imported, then serves.

The answer needs the standard library alone; what comes after it waits in the pipe while the rest is loaded.
"""

import gc
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_lsp.server.capabilities import initialize_result
from agent_lsp.server.early_watch import leaving_with, process_of
from agent_lsp.server.wire import FrameDecoder, Noise, Stdio, encode_frame, take_stdio, write_all

if TYPE_CHECKING:
    from agent_lsp.server.address import Listening
    from agent_lsp.server.runtime import RuntimeProcess

LOST_CLIENT = 1
_READ_BYTES = 65536


def _nothing_to_end() -> None:
    """For an edge without a log of its own."""


@dataclass(frozen=True, slots=True)
class EdgeDependencies:
    """What the edge is given, so that it starts no process and reads no log by itself.

    `read_log(root, lines, errors_only)` gives the text and the log's path; `on_initialized(roots, options)` loads
    what may be slow. Both are called in threads, after `initialize` was answered. `begin_session` is called first in
    every session, in the context that all its tasks and threads inherit, and gives what is called last.
    """

    start_runtime: "Callable[[Path, Mapping[str, Any]], Awaitable[RuntimeProcess]]"
    read_log: Callable[[Path, int, bool], tuple[str, str]]
    on_initialized: Callable[[list[Path], Any], None]
    version: str
    begin_session: Callable[[], Callable[[], None]] = lambda: _nothing_to_end


@dataclass(frozen=True, slots=True)
class Opening:
    """How a conversation began: the parameters of `initialize` if that was answered, and what was read besides."""

    params: Mapping[str, Any] | None
    read: list[bytes | Noise]


def serve_stdio(dependencies: EdgeDependencies) -> int:
    """Serves one editor until it is gone.

    The exit status: 0 after shutdown and exit, 1 for exit without shutdown or a lost client, 130 after Ctrl-C.
    """
    stdio, decoder = take_stdio(), FrameDecoder()
    try:
        opening = _open(decoder, stdio, dependencies.version)
        if opening is None:
            return LOST_CLIENT
        gc.disable()  # importing makes no garbage, only work for the collector
        with leaving_with(process_of(opening.params or {}), LOST_CLIENT):
            import asyncio

            from agent_lsp.server.light_types import load_light_types

            load_light_types()
            from agent_lsp.server.hosting import serve_one
            from agent_lsp.server.transport import StdioChannel

        channel = StdioChannel(stdio, decoder, opening.read)
        return asyncio.run(serve_one(dependencies, channel, opening.params))
    except KeyboardInterrupt:
        return 130


def serve_listening(dependencies: EdgeDependencies, listening: "Listening") -> int:
    """Serves clients over sockets until a signal comes; the exit status. Raises AddressError."""
    stdio = take_stdio()
    os.close(stdio.outgoing)
    gc.disable()
    import asyncio

    from agent_lsp.server.light_types import load_light_types

    load_light_types()
    from agent_lsp.server.sockets import serve_sockets

    return asyncio.run(serve_sockets(dependencies, listening, stdio.incoming))


def _open(decoder: FrameDecoder, stdio: Stdio, version: str) -> Opening | None:
    """Reads up to the first message and answers it if it is a sound `initialize`; None if the editor is gone."""
    read: list[bytes | Noise] = []
    while not any(isinstance(item, bytes) for item in read):
        data = _read(stdio.incoming)
        if not data:
            return None
        read += decoder.feed(data)
    first = next(item for item in read if isinstance(item, bytes))
    try:
        message = json.loads(first)
    except (ValueError, RecursionError):
        return Opening(None, read)
    if not _is_initialize(message):
        return Opening(None, read)
    read.remove(first)
    params = message["params"]
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": initialize_result(params, version)}
    try:
        write_all(stdio.outgoing, encode_frame(answer))
    except OSError:
        return None
    return Opening(params, read)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""


def _is_initialize(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("jsonrpc") == "2.0"
        and message.get("method") == "initialize"
        and type(message.get("id")) in (int, str)
        and is_initialize_params(message.get("params"))
    )


def is_initialize_params(params: Any) -> bool:
    """Whether these are parameters that a session can begin with."""
    return isinstance(params, Mapping) and isinstance(params.get("capabilities"), Mapping)
