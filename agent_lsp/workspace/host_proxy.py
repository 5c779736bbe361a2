"""Owns the proxy by which commands reach the hosts that the settings list, and no other.

It runs in the runtime, outside of every sandbox, and accepts what connects to the doors of candidates
(holder_door.py). Names are compared before they are looked up, and the connection goes to the very address that was
checked, so neither a name nor its owner leads anywhere else.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent_lsp.domain.network_hosts import Address, HostList, is_private, reached
from agent_lsp.domain.scope import RUN_ID
from agent_lsp.workspace import relay
from agent_lsp.workspace.lookup import Lookups
from agent_lsp.workspace.proxy_request import Asked, RequestError, read_request
from agent_lsp.workspace.relay import Ends

logger = logging.getLogger(__name__)

SETTING: Final = "sandbox.network_hosts"
_ADDRESSES: Final = 4
_CONNECTIONS: Final = 128
"""Of one candidate at once; more of them wait until one ends."""
_TOLD: Final = 200
_RUNS: Final = 100
_KEPT: Final = 1000
_REFUSED: Final = 403
_PAUSE_S: Final = 0.1
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for the head of a request, for a host to answer a call, and without a byte until a cut."""

    head_s: float = 30.0
    call_s: float = 10.0
    idle_s: float = 120.0


class HostProxy:
    """Lets candidates reach the listed hosts. Each asked host is logged once in a run."""

    def __init__(self, hosts: HostList, lookups: Lookups, patience: Patience = Patience()) -> None:
        self._hosts, self._lookups, self.patience = hosts, lookups, patience
        self._told: dict[str, set[str]] = {}

    def open(self, listening: socket.socket) -> "Door":
        """Serves what connects to a candidate's door, until that is closed."""
        return Door(self, listening)

    def missing(self, why: str) -> None:
        """A candidate has no door, so that nothing is reached from it."""
        self._tell(f"the hosts of {SETTING} cannot be reached in this sandbox: {why}", warn=True)

    async def connect(self, asked: Asked) -> Ends:
        """A connection to a host, by an address that was checked. Raises RequestError."""
        where = f"{asked.name}:{asked.port}"
        entries = self._hosts.covering(asked.name, asked.port)
        if not entries:
            raise self._refusal(f"{where} is not listed in {SETTING} of agent-lsp")
        try:
            found = await self._lookups.addresses(asked.name, asked.port)
        except OSError as error:
            raise RequestError(502, f"{where} cannot be looked up: {_words(error)}") from error
        good = [address for address in found if any(entry.admits(address) for entry in entries)]
        if not good:
            raise self._refusal(f"{where} leads to {found[0]}, which is not public: {_remedy(where, found[0])}")
        self._tell(f"a command reaches {where}", warn=False)
        return await self._first(good[:_ADDRESSES], asked.port, where)

    async def _first(self, addresses: list[Address], port: int, where: str) -> Ends:
        """The first that answers. Raises RequestError."""
        trouble = ""
        for address in addresses:
            try:
                async with asyncio.timeout(self.patience.call_s):
                    return Ends(*await asyncio.open_connection(str(address), port, limit=relay.CHUNK_BYTES))
            except OSError as error:
                trouble = _words(error)
        raise RequestError(504, f"{where} cannot be reached: {trouble}")

    def _refusal(self, sentence: str) -> RequestError:
        self._tell(f"a command was refused: {sentence}", warn=True)
        return RequestError(_REFUSED, sentence)

    def _tell(self, line: str, *, warn: bool) -> None:
        told = self._told.setdefault(RUN_ID.get(), set())
        if line in told or len(told) > _TOLD:
            return
        if len(self._told) > _RUNS:
            del self._told[next(iter(self._told))]
        told.add(line)
        if len(told) > _TOLD:
            logger.warning("commands ask for more than %d hosts; the others are not told", _TOLD)
        else:
            logger.log(logging.WARNING if warn else logging.INFO, "%s", line)


def _remedy(where: str, address: Address) -> str:
    if is_private(reached(address)):
        return f"list it with its port ({where}) in {SETTING}"
    return f"only an entry of {SETTING} that names the address itself leads there"


def _words(error: OSError) -> str:
    """What went wrong, fit for one line of ASCII."""
    text = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
    return text.encode("ascii", "replace").decode("ascii").replace("\n", " ")


class Door:
    """The end of one candidate's door: accepts, and keeps every connection until it is shut."""

    def __init__(self, proxy: HostProxy, listening: socket.socket) -> None:
        self._proxy, self._listening = proxy, listening
        listening.setblocking(False)
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._talks: set[asyncio.Task[None]] = set()
        self._refused: dict[str, int] = {}
        self.refusals = 0
        self._accepting = asyncio.create_task(self._accept())
        # Not before: the loop must have let go of the descriptor.
        self._accepting.add_done_callback(lambda _: listening.close())

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._talks)

    def refused_since(self, refusals: int) -> tuple[str, ...]:
        """Why commands did not get what they asked for since there were so many refusals, each sentence once."""
        return tuple(sentence for sentence, number in self._refused.items() if number > refusals)

    def _note(self, sentence: str) -> None:
        self.refusals += 1
        if sentence in self._refused or len(self._refused) < _KEPT:
            self._refused[sentence] = self.refusals

    async def close(self) -> None:
        """Ends every connection. Safe to repeat."""
        self.shut()
        await asyncio.gather(self._accepting, *self._talks, return_exceptions=True)

    def shut(self) -> None:
        """As `close`, without waiting."""
        for task in (self._accepting, *self._talks):
            task.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                self._places.release()
                logger.warning("the proxy of a candidate cannot accept: %s", error)
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                reader, writer = await asyncio.open_connection(sock=connection, limit=relay.CHUNK_BYTES)
            except BaseException:
                connection.close()
                raise
            talk = asyncio.create_task(self._talk(Ends(reader, writer)))
            self._talks.add(talk)
            talk.add_done_callback(partial(self._ended, writer))

    def _ended(self, client: asyncio.StreamWriter, talk: asyncio.Task[None]) -> None:
        client.transport.abort()
        self._talks.discard(talk)
        self._places.release()
        if not talk.cancelled() and (error := talk.exception()) is not None:
            logger.error("the proxy of a candidate gave up on a connection: %r", error)

    async def _talk(self, client: Ends) -> None:
        try:
            async with asyncio.timeout(self._proxy.patience.head_s):
                head = await client.reader.readuntil(b"\r\n\r\n")
            asked = read_request(head)
            async with _held(await self._proxy.connect(asked)) as host:
                await self._serve(asked, client, host)
        except RequestError as error:
            if error.status == _REFUSED:
                self._note(error.sentence)
            await _refuse(client, error)
        except asyncio.LimitOverrunError:
            await _refuse(client, RequestError(431, "the head of the request is too long"))
        except (OSError, EOFError):
            return

    async def _serve(self, asked: Asked, client: Ends, host: Ends) -> None:
        idle_s = self._proxy.patience.idle_s
        if not asked.head:
            client.writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await relay.tunnel(client, host, idle_s)
        else:
            host.writer.write(asked.head)
            await relay.exchange(client, host, asked.body_bytes, idle_s)
        await _flush(client)


@asynccontextmanager
async def _held(host: Ends) -> AsyncIterator[Ends]:
    try:
        yield host
    finally:
        host.writer.transport.abort()


async def _refuse(client: Ends, error: RequestError) -> None:
    """The sentence stands in the status line too: that is all that most clients show."""
    body = f"{error.sentence}\n".encode("ascii", "replace")
    sentence = body.decode("ascii").strip()
    head = f"HTTP/1.1 {error.status} {sentence}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        client.writer.write(head.encode("ascii") + b"Connection: close\r\n\r\n" + body)
        await _flush(client)


async def _flush(client: Ends) -> None:
    """Lets the client read the last bytes: one that is still sending would lose them to a reset."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            await client.writer.drain()
            if client.writer.can_write_eof():
                client.writer.write_eof()
            left = _LINGER_BYTES
            while left > 0 and (chunk := await client.reader.read(relay.CHUNK_BYTES)):
                left -= len(chunk)
