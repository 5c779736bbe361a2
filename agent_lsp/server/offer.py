"""Owns the shape of an offer: one thing that can be done at a place, in no protocol's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

QUICKFIX: Final = "quickfix"
REWRITE: Final = "refactor.rewrite"
SOURCE: Final = "source.agent"
HERE: Final = (QUICKFIX, SOURCE)


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to do. `kinds` are tried in order against the client's filter; `refused` says why it cannot be done.

    `short` is a title for a narrow place where what it is about is shown beside; empty where the title is short.
    """

    title: str
    kinds: tuple[str, ...]
    command: str
    argument: Mapping[str, Any]
    refused: str | None = None
    preferred: bool = False
    diagnostics: Sequence[Any] = field(default=())
    short: str = ""
