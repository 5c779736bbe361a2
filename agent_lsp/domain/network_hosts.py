"""Owns the list of hosts that commands may reach: how its entries are read, and what each of them admits."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS: Final = frozenset({80, 443})
"""What an entry without a port admits."""

_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
_SHAPE: Final = "a host is a name like example.org or an address, without https:// and without a path"
_LAST_PORT: Final = 65_535
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


class HostError(ValueError):
    """What was written is no host; the text says why."""


@dataclass(frozen=True, slots=True)
class Host:
    """One entry. `name` is as `host_name` gives it; with `below` it stands for every name that ends in it.

    Without a port it admits those of the web.
    """

    name: str
    port: int | None = None
    below: bool = False

    def covers(self, name: str, port: int) -> bool:
        """Whether this entry is about a host, named as `host_name` gives it, and a port."""
        if port not in DEFAULT_PORTS if self.port is None else port != self.port:
            return False
        return name.endswith(f".{self.name}") if self.below else name == self.name

    def admits(self, address: Address) -> bool:
        """Whether a host that this entry covers may have this address.

        Whoever owns a name chooses where it leads, so a name leads to public addresses. An entry with a port may lead
        into private networks, and `localhost` with a port to this machine, whose other addresses and those of its own
        wire must be listed themselves.
        """
        plain = reached(address)
        if _literal(self.name) is not None or is_public(plain):
            return True
        if self.port is None:
            return False
        if plain.is_loopback:
            return self.name == "localhost" or self.name.endswith(".localhost")
        return is_private(plain)


@dataclass(frozen=True, slots=True)
class HostList:
    """All entries; an empty list admits nothing."""

    hosts: tuple[Host, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> "HostList":
        """Raises HostError naming the entry that is none."""
        return cls(tuple(map(read_host, entries)))

    def covering(self, name: str, port: int) -> tuple[Host, ...]:
        """The entries that are about a host."""
        return tuple(host for host in self.hosts if host.covers(name, port))


def read_host(entry: str) -> Host:
    """`host`, `host:port` or either with `*.` before it; an address of IPv6 stands in brackets. Raises HostError."""
    text = entry.strip()
    below = text.startswith("*.")
    try:
        if "/" in text:
            raise HostError(_SHAPE)
        name, port = split_port(text.removeprefix("*."))
        clean = host_name(name)
    except HostError as error:
        raise HostError(f"{entry!r}: {error}") from error
    literal = _literal(clean)
    if literal is not None and (below or literal.is_multicast or literal.is_unspecified):
        raise HostError(f"{entry!r}: commands cannot be let to such an address")
    return Host(clean, port, below)


def split_port(text: str) -> tuple[str, int | None]:
    """A host as it is written and its port, if it has one. Raises HostError."""
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        name, mark, port = name + bracket, rest[:1], rest[1:]
        if mark not in ("", ":"):
            raise HostError("after an address in brackets only a port can follow")
    elif text.count(":") > 1:
        return text, None
    else:
        name, mark, port = text.partition(":")
    if not mark:
        return name, None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _LAST_PORT):
        raise HostError("a port is a number from 1 to 65535")
    return name, int(port)


def host_name(text: str) -> str:
    """A host in the one form in which it is compared: ASCII, lower case, no dot at the end. Raises HostError."""
    bracketed = text.startswith("[") and text.endswith("]")
    literal = _literal(text[1:-1] if bracketed else text)
    if literal is not None:
        return str(literal)
    name = _ascii(text.removesuffix(".")).lower()
    if bracketed or not _NAME.fullmatch(name):
        raise HostError(_SHAPE)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise HostError("an address of IPv4 is written as four numbers from 0 to 255")
    return name


def _ascii(name: str) -> str:
    """A name in other letters as the name system spells it, where both versions of that spelling agree."""
    if name.isascii():
        return name
    try:
        spelt = name.encode("idna")
        same = spelt.decode("idna") == name.lower()
    except UnicodeError:
        same = False
    if not same:
        raise HostError("this name has letters that are spelt in several ways; write it as xn--...")
    return spelt.decode("ascii")


def _literal(text: str) -> Address | None:
    try:
        return None if "%" in text else reached(ipaddress.ip_address(text))
    except ValueError:
        return None


def reached(address: Address) -> Address:
    """The address of IPv4 that is reached by one of IPv6 which stands for it, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inner is None and address in _TRANSLATED:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return inner or address


def is_public(address: Address) -> bool:
    """Whether an address is one of the whole internet, and nothing special."""
    return address.is_global and not (address.is_multicast or address.is_reserved)


def is_private(address: Address) -> bool:
    """Whether an address is one of some network that is not the whole internet, and not of this machine or its wire."""
    special = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not (is_public(address) or special or address.is_reserved)
