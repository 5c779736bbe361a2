"""Owns the server that several clients connect to: who is let in, a session for each, and the end of all."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from typing import Any, Final

from agent_lsp.server.address import AddressError, Listening, is_loopback
from agent_lsp.server.edge import Edge
from agent_lsp.server.hosting import LEAVING_SIGNALS, end_soon, keep_what_was_built
from agent_lsp.server.main import LOST_CLIENT, EdgeDependencies
from agent_lsp.server.socket_channels import TcpChannel, WebSocketChannel
from agent_lsp.server.transport import Channel, Hearing, open_end
from agent_lsp.server.wire import FRAME_LIMIT_BYTES, encode_frame

logger = logging.getLogger(__name__)

CLIENT_LIMIT: Final = 16
"""How many clients are served at once. Each has its own runtimes."""

OPENING_S: Final = 60.0
"""How long a client may take to send `initialize`."""

_REFUSAL_S: Final = 5.0
_REQUEST_FAILED: Final = -32803
_FULL: Final = (
    f"This agent-lsp serves {CLIENT_LIMIT} clients already; close one of them, or start another server on its own port."
)


async def serve_sockets(dependencies: EdgeDependencies, listening: Listening, incoming: int) -> int:
    """Serves until a signal comes, or until `incoming` closes where that is a pipe; the exit status.

    `incoming` is standard input: a program that started this server as its child holds its other end.
    Raises AddressError.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[tuple[int, str]] = loop.create_future()

    def stop(status: int, why: str) -> None:
        if not stopped.done():
            end_soon()
            stopped.set_result((status, why))

    clients = Clients(dependencies)
    close, address = await (_listen_tcp if listening.kind == "tcp" else _listen_websocket)(listening, clients)
    for number in LEAVING_SIGNALS:
        loop.add_signal_handler(number, stop, 128 + number, f"signal {signal.Signals(number).name}")
    _watch_input(incoming, lambda: stop(0, "standard input was closed"))
    _tell(f"agent-lsp: listening on {listening.kind}://{address}")
    loop.call_soon(keep_what_was_built)
    status, why = await stopped
    close()
    await clients.end(status, why)
    return status


class Clients:
    """The sessions that go on."""

    def __init__(self, dependencies: EdgeDependencies) -> None:
        self._dependencies = dependencies
        self._edges: dict[Edge, asyncio.Task[int]] = {}
        self._others: set[asyncio.Task[None]] = set()

    def welcome(self, channel: Channel, peer: str) -> asyncio.Task[Any]:
        """Begins a session, or says that there is no room for one; the task ends with it."""
        loop = asyncio.get_running_loop()
        if len(self._edges) >= CLIENT_LIMIT:
            logger.warning("refused a client: %d are served already", CLIENT_LIMIT)
            refusal = loop.create_task(refuse(channel, _FULL))
            self._others.add(refusal)
            refusal.add_done_callback(self._others.discard)
            return refusal
        edge = Edge(self._dependencies, channel, watches_editor=is_loopback(peer))
        task = loop.create_task(self._serve(edge))
        self._edges[edge] = task
        return task

    async def end(self, status: int, why: str) -> None:
        """Ends every session; none is left when this returns."""
        for edge in self._edges:
            edge.leave(status, why)
        for task in self._others:
            task.cancel()
        await asyncio.gather(*self._edges.values(), *self._others, return_exceptions=True)

    async def _serve(self, edge: Edge) -> int:
        opening = asyncio.get_running_loop().call_later(OPENING_S, self._hurry, edge)
        try:
            return await edge.serve(None)
        except Exception:
            logger.exception("a session failed")
            return LOST_CLIENT
        finally:
            opening.cancel()
            del self._edges[edge]

    def _hurry(self, edge: Edge) -> None:
        if not edge.begun:
            edge.leave(LOST_CLIENT, f"no initialize came within {OPENING_S:.0f} s")


async def refuse(channel: Channel, text: str) -> None:
    """Answers the client's first request with an error that says why, and hangs up."""
    done = asyncio.Event()

    def answer(body: bytes) -> None:
        try:
            msg_id = json.loads(body).get("id")
        except (ValueError, AttributeError):
            msg_id = None
        error = {"code": _REQUEST_FAILED, "message": text}
        channel.write(encode_frame({"jsonrpc": "2.0", "id": msg_id, "error": error}))
        done.set()

    channel.start(Hearing(answer, lambda _: done.set(), lambda _: done.set()))
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _REFUSAL_S)
        await channel.drain(1.0)
    finally:
        channel.close()


async def _listen_tcp(listening: Listening, clients: Clients) -> tuple[Callable[[], None], str]:
    def welcome(channel: TcpChannel) -> None:
        clients.welcome(channel, channel.peer)

    async def listen(host: str) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: TcpChannel(welcome), host, listening.port)

    server = await _listen(listening, listen)
    return server.close, _address(server)


async def _listen_websocket(listening: Listening, clients: Clients) -> tuple[Callable[[], None], str]:
    """A handshake with the Origin of a web page that is not listed is refused: a page must not drive this."""
    from websockets.asyncio.server import Server, ServerConnection, serve
    from websockets.typing import Origin

    async def talk(connection: ServerConnection) -> None:
        channel = WebSocketChannel(connection)
        session = clients.welcome(channel, channel.peer)
        await asyncio.sleep(0)  # the session starts the channel
        listen = asyncio.create_task(channel.listen())
        try:
            await session
        finally:
            listen.cancel()
            await asyncio.gather(listen, return_exceptions=True)

    async def listen(host: str) -> Server:
        return await serve(
            talk,
            host,
            listening.port,
            origins=[None, *map(Origin, listening.origins)],
            compression=None,
            server_header=None,
            max_size=FRAME_LIMIT_BYTES,
            close_timeout=1,
        )

    server = await _listen(listening, listen)
    return server.close, _address(server)


async def _listen(listening: Listening, start: Callable[[str], Awaitable[Any]]) -> Any:
    """Listens on one address, so that port 0 means one port. Raises AddressError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(listening.host, listening.port, type=1)
        hosts = sorted({str(row[4][0]) for row in found}, key=lambda host: ":" in host)
        if not listening.allow_remote:
            hosts = [host for host in hosts if is_loopback(host)]
        if not hosts:
            raise AddressError(f"{listening.host} is not an address of this machine alone; use 127.0.0.1")
        return await start(hosts[0])
    except OSError as error:
        where = f"{listening.host}:{listening.port}"
        raise AddressError(f"{where} cannot be listened on: {error.strerror or error}; try port 0") from error


def _address(server: Any) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _watch_input(incoming: int, on_end: Callable[[], None]) -> None:
    """Only a pipe or a socket has somebody at its other end; a terminal or /dev/null says nothing."""
    kind = os.fstat(incoming).st_mode
    end = open_end(incoming, os.O_RDONLY) if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else None
    if end is None:
        return
    loop = asyncio.get_running_loop()

    def ready() -> None:
        try:
            if end.read(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        loop.remove_reader(end.fileno())
        on_end()

    loop.add_reader(end.fileno(), ready)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
