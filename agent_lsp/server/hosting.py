"""Owns the process around one editor's session over stdio: its signals, its garbage collector, its last moment."""

import asyncio
import gc
import signal
from collections.abc import Mapping
from typing import Any, Final

from agent_lsp.server.edge import Edge
from agent_lsp.server.editor_watch import POLL_S
from agent_lsp.server.main import EdgeDependencies
from agent_lsp.server.transport import Channel

LEAVING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_LAST_MOMENT_S: Final = 0.49 - POLL_S
"""How long a process that saw its editor go may live: with the time of seeing it, half a second.

The kernel sees to it, whatever a thread or a library holds up.
"""


async def serve_one(dependencies: EdgeDependencies, channel: Channel, params: Mapping[str, Any] | None) -> int:
    """Serves one editor; the exit status of the process."""
    loop = asyncio.get_running_loop()
    edge = Edge(dependencies, channel, on_hurry=end_soon)
    for number in LEAVING_SIGNALS:
        loop.add_signal_handler(number, edge.leave, 128 + number, f"signal {number.name}")
    loop.call_soon(keep_what_was_built)
    return await edge.serve(params)


def keep_what_was_built() -> None:
    """The collector runs again and leaves alone what was imported: a pause of 19 ms less."""
    gc.enable()
    gc.freeze()


def end_soon() -> None:
    """The process ends within less than half a second from now, by the kernel's hand if not by its own."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _LAST_MOMENT_S)
