"""Owns which addresses may be listened on."""

import ipaddress
from dataclasses import dataclass
from typing import Literal


class AddressError(ValueError):
    """An address that cannot be listened on, with what to do about it."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where clients come from. Port 0 lets the system choose. `origins` are web pages that may open a WebSocket."""

    kind: Literal["tcp", "ws"]
    host: str
    port: int
    allow_remote: bool = False
    origins: tuple[str, ...] = ()


def parse_address(text: str, *, allow_remote: bool) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPV6]:PORT`. Raises AddressError.

    Whoever reaches the address can run code as this user: without `allow_remote` it must be a loopback address.
    """
    host, colon, digits = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not digits.isascii() or not digits.isdigit() or int(digits) > 65535:
        raise AddressError(f"{text!r} is no address; write HOST:PORT, as in 127.0.0.1:2087 or [::1]:0")
    if not allow_remote and not is_loopback(host):
        raise AddressError(
            f"{host} can be reached from other machines, and whoever reaches it can run code as you; "
            "use 127.0.0.1, or add --allow-remote if the network is yours"
        )
    return host, int(digits)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; names other than localhost are not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
