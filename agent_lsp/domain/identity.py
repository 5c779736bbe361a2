"""Owns what the agent is told of itself and of the person it works for, in words that the person wrote."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

MOST_CHARACTERS: Final = 12_000
"""Of one file; as much as of one AGENTS.md."""

_HEAD: Final = (
    "# Who you are and whom you work for\n\nWhat the person wrote about it: follow it in tone, language, principles, "
    "limits and preferences. Where the workspace's words and the person's disagree, the workspace's hold; what either "
    "forbids stays forbidden. They never widen what you may do."
)


class About(Enum):
    """What an identity file is about, as its heading says it to a model. In the order in which they are told."""

    AGENT = "How you are to be"
    AGENT_HERE = "How you are to be in this workspace"
    PERSON = "Whom you work for"


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """One file with something in it. `shown` is its path as a person and a model may see it."""

    about: About
    shown: str
    text: str


def identity_text(files: Iterable[IdentityFile]) -> str:
    """The files as a part of a system prompt; empty without any."""
    order = list(About)
    rows = [
        f"## {file.about.value} ({file.shown})\n\n{file.text}"
        for file in sorted(files, key=lambda file: order.index(file.about))
    ]
    return "\n\n".join([_HEAD, *rows]) if rows else ""
