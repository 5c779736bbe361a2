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
from agent_lsp.server.wire import FrameReader, Stdio, encode_frame, take_stdio, write_all

if TYPE_CHECKING:
    from agent_lsp.server.runtime import RuntimeProcess

LOST_CLIENT = 1


@dataclass(frozen=True, slots=True)
class EdgeDependencies:
    """What the edge is given, so that it starts no process and reads no log by itself.

    `read_log(root, lines, errors_only)` gives the text and the log's path; `on_initialized(roots, options)` loads
    what may be slow. Both are called in threads, after `initialize` was answered.
    """

    start_runtime: "Callable[[Path, Mapping[str, Any]], Awaitable[RuntimeProcess]]"
    read_log: Callable[[Path, int, bool], tuple[str, str]]
    on_initialized: Callable[[list[Path], Any], None]
    version: str


@dataclass(frozen=True, slots=True)
class Opening:
    """How a conversation began: what was read first, and the parameters of `initialize` if that was answered."""

    first_frame: bytes | None
    params: Mapping[str, Any] | None


def serve_stdio(dependencies: EdgeDependencies) -> int:
    """Serves one editor until it is gone.

    The exit status: 0 after shutdown and exit, 1 for exit without shutdown or a lost client, 130 after Ctrl-C.
    """
    stdio = take_stdio()
    reader = FrameReader(stdio.incoming)
    try:
        opening = _open(reader, stdio, dependencies.version)
        if opening is None:
            return LOST_CLIENT
        gc.disable()  # importing makes no garbage, only work for the collector
        import asyncio

        from agent_lsp.server.light_types import load_light_types

        load_light_types()
        from agent_lsp.server.edge import Edge

        return asyncio.run(Edge(dependencies, stdio, reader).serve(opening))
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(stdio.outgoing)


def _open(reader: FrameReader, stdio: Stdio, version: str) -> Opening | None:
    """Reads the first message and answers it if it is a sound `initialize`; None if there is none."""
    frame = reader.read()
    if frame is None:
        return None
    try:
        message = json.loads(frame)
    except ValueError:
        return Opening(frame, None)
    if not _is_initialize(message):
        return Opening(frame, None)
    params = message["params"]
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": initialize_result(params, version)}
    try:
        write_all(stdio.outgoing, encode_frame(answer))
    except OSError:
        return None
    return Opening(None, params)


def _is_initialize(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("jsonrpc") == "2.0"
        and message.get("method") == "initialize"
        and isinstance(message.get("id"), int | str)
        and is_initialize_params(message.get("params"))
    )


def is_initialize_params(params: Any) -> bool:
    """Whether these are parameters that a session can begin with."""
    return isinstance(params, Mapping) and isinstance(params.get("capabilities"), Mapping)
