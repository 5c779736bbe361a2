"""Owns the runtime as a process: its pipe to the edge, its idle end, and its end with the edge."""

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.app.edge import CLIENT_SETTINGS
from agent_lsp.app.runtime import Runtime, open_runtime
from agent_lsp.domain.errors import AgentLspError
from agent_lsp.link.editor import LinkEditor
from agent_lsp.link.editor_models import LinkModels
from agent_lsp.link.peer import LINE_LIMIT_BYTES, Handler, Peer
from agent_lsp.workspace.process import die_with_parent

logger = logging.getLogger(__name__)

_IDLE_LOOK_S: Final = 5.0

_AT_ONCE: Final = frozenset({"status", "trust", "configure"})
"""All else waits for the recovery: it must not see what a crash left half applied, nor miss what comes back."""


def serve_runtime(root: Path) -> int:
    """Serves one edge until it says stop, closes the pipe, or nothing has happened for long."""
    if not root.is_dir():
        print(f"agent-lsp runtime: {root} is not a folder", file=sys.stderr)
        return 2
    die_with_parent()
    incoming, outgoing = _keep_the_pipe()
    try:
        asyncio.run(_serve(root, incoming, outgoing))
    except AgentLspError as error:
        logger.error("the runtime could not start: %s %s", error.message, error.hint)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _keep_the_pipe() -> tuple[int, int]:
    """Our own copies of the pipe; what a library prints goes to standard error, and no child inherits the pipe."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


async def _serve(root: Path, incoming: int, outgoing: int) -> None:
    gc.enable()
    gc.freeze()
    reader, writer = await _streams(incoming, outgoing)
    editor, lent = LinkEditor(), LinkModels()
    early: list[tuple[str, Mapping[str, Any]]] = []
    peer: Peer | None = None

    def publish(event: str, data: Mapping[str, Any]) -> None:
        if peer is None:
            early.append((event, data))
        else:
            peer.emit(event, data)

    runtime = await open_runtime(
        root, publish=publish, editor=editor, process="runtime", client=_client_settings(), lent=lent
    )
    ended, recovered = asyncio.Event(), asyncio.Event()
    peer = Peer(reader, writer, _handlers(runtime, lent, ended, recovered))
    editor.connect(peer)
    lent.connect(peer)
    serving = asyncio.create_task(peer.serve())
    after_s = runtime.configuration.settings.proposal.revalidate_after_s
    peer.emit("ready", {"pid": os.getpid(), "revalidateAfterS": after_s})
    for event, data in early:
        peer.emit(event, data)
    recovering = asyncio.create_task(_recover(runtime, lent, recovered))
    waits = [serving, asyncio.create_task(ended.wait()), asyncio.create_task(_idle(runtime))]
    watching = asyncio.create_task(runtime.watch_models())
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        recovering.cancel()
        watching.cancel()
        await runtime.close()
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, recovering, watching, return_exceptions=True)
        peer.close()


async def _streams(incoming: int, outgoing: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(incoming, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(outgoing, "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


def _handlers(runtime: Runtime, lent: LinkModels, ended: asyncio.Event, recovered: asyncio.Event) -> dict[str, Handler]:
    def named(name: str) -> Handler:
        async def call(args: Mapping[str, Any]) -> Mapping[str, Any]:
            if name not in _AT_ONCE:
                await recovered.wait()
            if name == "run" and runtime.configuration.may_borrow:
                await lent.refresh()
            return await runtime.call(name, args)

        return call

    async def stop(args: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await runtime.call("stop", args)
        ended.set()
        return answer

    return {**{name: named(name) for name in runtime.handlers}, "stop": stop}


async def _recover(runtime: Runtime, lent: LinkModels, recovered: asyncio.Event) -> None:
    """Undoes what a crash left, goes on with what was at work, and tries the sandboxes before a run needs one."""
    try:
        try:
            await runtime.recover()
            if await runtime.resuming.left():
                if runtime.configuration.may_borrow:
                    await lent.refresh()
                await runtime.resume()
        finally:
            recovered.set()
        await runtime.warm_up()
    except AgentLspError as error:
        logger.error("what a crash left could not be mended: %s %s", error.message, error.hint)
    except Exception:
        logger.exception("what a crash left could not be mended")


async def _idle(runtime: Runtime) -> None:
    limit_s = runtime.configuration.settings.runtime.idle_exit_s
    while (left_s := limit_s - runtime.idle_s) > 0:  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(min(_IDLE_LOOK_S, left_s))


def _client_settings() -> Mapping[str, Any]:
    try:
        settings = json.loads(os.environ.pop(CLIENT_SETTINGS, "{}"))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}
