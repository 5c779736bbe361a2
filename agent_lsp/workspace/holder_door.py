"""Owns the door of a candidate whose network is off: a listening socket on its own loopback, handed to the runtime.

Run inside the holder, standard library only. A socket belongs to the network in which it was made, so who accepts
from it outside hears what connects inside, and nothing stands in between: no process, no path, no second copying.
"""

import socket
from typing import Any

PORT = 26817
"""The same in every candidate, so that what commands see is the same; none of those that systems give out."""

_WAITING = 128


def open_door(handle: int, env: dict[str, Any]) -> None:
    """Sends a listening socket over the inherited one and tells commands of it by their environment. Raises OSError."""
    with (
        socket.socket(fileno=handle) as to_runtime,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening,
    ):
        listening.bind(("127.0.0.1", PORT))
        listening.listen(_WAITING)
        socket.send_fds(to_runtime, [b"door"], [listening.fileno()])
    address = f"http://127.0.0.1:{PORT}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        env[name] = env[name.lower()] = address
    env["NO_PROXY"] = env["no_proxy"] = "localhost,127.0.0.1,::1"
    env["NODE_USE_ENV_PROXY"] = "1"
