"""The proxy of listed hosts by itself: what it sends on, what it refuses, and when it gives up."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from agent_lsp.domain.network_hosts import Address, HostList
from agent_lsp.workspace.host_proxy import HostProxy, Patience
from agent_lsp.workspace.lookup import Lookups
from agent_lsp.workspace.proxy_request import Asked, RequestError

Ways = tuple[asyncio.StreamReader, asyncio.StreamWriter]
NAME = "site.localhost"
"""A name that may lead to this machine."""


class Led(Lookups):
    """Names lead where the test says, each answer once."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), list[str]()

    async def addresses(self, name: str, port: int) -> list[Address]:
        self.asked.append(f"{name}:{port}")
        return [ip_address(self.answers.pop(0))]


@asynccontextmanager
async def server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Something that listens on this machine; its port."""

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    made = await asyncio.start_server(met, host, 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        await made.wait_closed()


class Behind:
    """A door in this machine's own network, as a candidate's would be."""

    def __init__(self, *entries: str, lookups: Lookups | None = None, **patience: float) -> None:
        self.proxy = HostProxy(HostList.read(entries), lookups or Lookups(), Patience(**patience))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]

    async def __aenter__(self) -> "Behind":
        self.door = self.proxy.open(self.listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.door.close()

    async def connect(self) -> Ways:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, request: bytes) -> bytes:
        """One request, and all that comes back until the connection ends."""
        reader, writer = await self.connect()
        writer.write(request)
        async with asyncio.timeout(10):
            answer = await reader.read(-1)
        writer.close()
        return answer


async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what it heard, twice if it is asked twice, and keeps the connection open."""
    heard = b""
    while chunk := await reader.read(65536):
        heard += chunk
        if heard.endswith((b"\r\n\r\n", b"END")):
            head = b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(heard) + heard)
            await writer.drain()


async def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_reached() -> None:
    led = Led("127.0.0.2", "127.0.0.3")
    async with server(told, "127.0.0.2") as port, Behind(f"{NAME}:{port}", lookups=led) as behind:
        reader, writer = await behind.connect()
        writer.write(b"CONNECT %s:%d HTTP/1.1\r\n\r\nEND" % (NAME.encode(), port))
        async with asyncio.timeout(10):
            assert await reader.readexactly(39) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        writer.close()
    assert led.asked == [f"{NAME}:{port}"]


@pytest.mark.parametrize(
    ("entry", "address", "remedy"),
    [
        ("inner.example", "10.0.0.5", "list it with its port (inner.example:443)"),
        ("inner.example", "127.0.0.1", "an entry of sandbox.network_hosts that names the address itself"),
        ("inner.example:443", "169.254.169.254", "names the address itself"),
        ("*.example", "::1", "names the address itself"),
    ],
)
async def test_a_listed_name_that_leads_inside_is_refused_with_what_to_list(
    entry: str, address: str, remedy: str
) -> None:
    async with Behind(entry, lookups=Led(address)) as behind:
        answer = (await behind.say(b"CONNECT inner.example:443 HTTP/1.1\r\n\r\n")).decode()
        assert answer.startswith(f"HTTP/1.1 403 inner.example:443 leads to {address}, which is not public: ")
        assert remedy in answer.splitlines()[0]


async def test_an_unlisted_name_is_not_even_looked_up(caplog: pytest.LogCaptureFixture) -> None:
    led = Led()
    caplog.set_level(logging.INFO, logger="agent_lsp")
    async with Behind("index.example.net", lookups=led) as behind:
        for _ in range(2):
            answer = await behind.say(b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
        before = behind.door.refusals
        await behind.say(b"CONNECT index.example.net:22 HTTP/1.1\r\n\r\n")
        refused = "index.example.net:22 is not listed in sandbox.network_hosts of agent-lsp"
        assert behind.door.refused_since(before) == (refused,)
    sentence = "evil.example:443 is not listed in sandbox.network_hosts of agent-lsp"
    assert answer.startswith(f"HTTP/1.1 403 {sentence}\r\n".encode())
    assert answer.endswith(f"\r\n\r\n{sentence}\n".encode())
    assert led.asked == []
    lines = [record.message for record in caplog.records]
    assert lines == [f"a command was refused: {sentence}", f"a command was refused: {refused}"], "each once"


async def test_a_program_that_asks_for_hosts_without_end_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy = HostProxy(HostList.read(["index.example.net"]), Led())
    for number in range(300):
        with pytest.raises(RequestError):
            await proxy.connect(Asked(f"h{number}.example", 443))
    assert len(caplog.records) == 201
    assert caplog.records[-1].message == "commands ask for more than 200 hosts; the others are not told"


async def test_one_request_is_sent_on_for_its_own_host_and_nothing_after_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="agent_lsp")
    async with server(told) as port, Behind(f"localhost:{port}") as behind:
        reader, writer = await behind.connect()
        writer.write(
            b"GET http://localhost:%d/a?b=c HTTP/1.1\r\nHost: other.example\r\nConnection: close, X-Mine\r\n"
            b"X-Mine: 1\r\nProxy-Authorization: k\r\nUpgrade: h2c\r\nAccept: */*\r\n\r\n"
            b"GET http://other.example/ HTTP/1.1\r\n\r\n" % port
        )
        heard = b"GET /a?b=c HTTP/1.1\r\nHost: localhost:%d\r\nAccept: */*\r\nConnection: close\r\n\r\n" % port
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            assert head[1:] == [b"Content-Length: %d" % len(heard), b"Connection: close", b"", b""]
            assert await reader.readexactly(len(heard)) == heard
        writer.close()
    assert [record.message for record in caplog.records] == [f"a command reaches localhost:{port}"]


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (b"Content-Length: 6", b"abcEND"),
        (b"Transfer-Encoding: chunked", b"3;x=y\r\nabc\r\n3\r\nEND\r\n0\r\nT: 1\r\n\r\n"),
    ],
)
async def test_bodies_arrive_whole_in_either_form(length: bytes, body: bytes) -> None:
    heard = bytearray()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        heard.extend(await reader.readuntil(b"END" if b"Content" in length else b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with server(keep) as port, Behind(f"localhost:{port}") as behind:
        answer = await behind.say(b"POST http://localhost:%d/ HTTP/1.1\r\n%s\r\n\r\n%s" % (port, length, body))
    assert answer == b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    assert bytes(heard) == body.replace(b"T: 1\r\n", b"")


async def test_an_answer_that_comes_before_the_whole_body_ends_the_request() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\n\r\nno")

    async with server(refuse) as port, Behind(f"localhost:{port}") as behind:
        reader, writer = await behind.connect()
        writer.write(b"PUT http://localhost:%d/ HTTP/1.1\r\nContent-Length: 9000\r\n\r\nabc" % port)
        async with asyncio.timeout(10):
            assert await reader.read(-1) == b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno"
            while behind.door.connections:
                await asyncio.sleep(0.02)
        writer.close()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1",
        b"GET https://index.example.net/ HTTP/1.1",
        b"GET ftp://index.example.net/ HTTP/1.1",
        b"GET http://u:p@index.example.net/ HTTP/1.1",
        b"GET http://index.example.net/ HTTP/1.1\r\nbad header",
        b"GET http://index.example.net/ HTTP/1.1\r\nA: b\nHost: evil",
        b"POST http://index.example.net/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        b"POST http://index.example.net/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"POST http://index.example.net/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        b"CONNECT index.example.net HTTP/1.1",
        b"CONNECT index.example.net:https HTTP/1.1",
        b"CONNECT 2130706433:80 HTTP/1.1",
        b"CONNECT p\xc3.example.net:443 HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_what_is_not_clear_is_answered_and_never_sent_on(request_line: bytes) -> None:
    led = Led()
    async with Behind("index.example.net", "*.org", lookups=led) as behind:
        assert (await behind.say(request_line + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert led.asked == []


async def test_a_refusal_is_read_by_a_client_that_is_still_sending() -> None:
    async with Behind("index.example.net") as behind:
        body = b"POST http://evil.example/ HTTP/1.1\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
        assert (await behind.say(body)).startswith(b"HTTP/1.1 403 evil.example:80 is not listed")


async def test_a_head_without_end_is_answered() -> None:
    async with Behind("index.example.net", head_s=0.2) as behind:
        assert (await behind.say(b"GET http://index.example.net/ HTTP/1.1\r\nA: " + b"x" * 200_000)).startswith(
            b"HTTP/1.1 431"
        )
        assert await behind.say(b"GET http://index.example.net/") == b"", "cut after a while"


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        ("CONNECT localhost:{} HTTP/1.1", b"HTTP/1.1 200 Connection established\r\n\r\n"),
        ("GET http://localhost:{}/ HTTP/1.1", b"HTTP/1.1 504 the host did not answer within 0.2 s\r\n"),
    ],
)
async def test_a_host_that_says_nothing_is_given_up(request_text: str, answer: bytes) -> None:
    async with server(silence) as port, Behind(f"localhost:{port}", idle_s=0.2) as behind:
        assert (await behind.say(request_text.format(port).encode() + b"\r\n\r\n")).startswith(answer)


async def test_a_host_that_cannot_be_reached_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with Behind(f"127.0.0.1:{port}", "nowhere.invalid") as behind:
        answer = await behind.say(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % port)
        assert answer.startswith(b"HTTP/1.1 504 127.0.0.1:%d cannot be reached: " % port)
        unknown = await behind.say(b"CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n")
        assert unknown.startswith(b"HTTP/1.1 502 nowhere.invalid:443 cannot be looked up: ")


async def test_a_reader_that_stops_reading_stops_the_sender_too() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 256 << 20:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with server(flood) as port, Behind(f"localhost:{port}", idle_s=0.5) as behind:
        reader, writer = await behind.connect()
        writer.write(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % port)
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            while behind.door.connections:
                await asyncio.sleep(0.02)
        assert sent < 64 << 20
        writer.close()


async def test_half_an_end_is_passed_on_and_the_other_half_still_works() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read(-1)))
        await writer.drain()

    async with server(count) as port, Behind(f"localhost:{port}") as behind:
        reader, writer = await behind.connect()
        writer.write(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % port + b"x" * 1_000_000)
        writer.write_eof()
        async with asyncio.timeout(10):
            assert (await reader.read(-1)).endswith(b"\r\n\r\n1000000")
        writer.close()
