"""Owns the looking up of host names: in threads of its own, since a name server may take its time."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Final

from agent_lsp.domain.network_hosts import Address

_WITHIN_S: Final = 10.0
_AT_ONCE: Final = 16
"""Threads, those included that wait for an answer which nobody waits for any more."""


class Lookups:
    """Looks names up as this machine does. A thread that hangs holds up no end of the process."""

    def __init__(self) -> None:
        self._running = 0

    async def addresses(self, name: str, port: int) -> list[Address]:
        """In the order in which they are to be tried. Raises OSError, TimeoutError among them."""
        if self._running >= _AT_ONCE:
            raise OSError("too many names are being looked up")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Address]] = loop.create_future()

        def settle(answer: list[Address] | OSError) -> None:
            self._running -= 1
            if found.done():
                return
            if isinstance(answer, OSError):
                found.set_exception(answer)
            else:
                found.set_result(answer)

        def look() -> None:
            answer = _ask(name, port)
            with contextlib.suppress(RuntimeError):  # the loop may have been closed meanwhile
                loop.call_soon_threadsafe(settle, answer)

        self._running += 1
        threading.Thread(target=look, name="agent-lsp-lookup", daemon=True).start()
        async with asyncio.timeout(_WITHIN_S):
            return await found


def _ask(name: str, port: int) -> list[Address] | OSError:
    try:
        rows = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(str(error))
    return list(dict.fromkeys(ipaddress.ip_address(str(row[4][0])) for row in rows))
