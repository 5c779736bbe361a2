"""Owns where a model is, how long to wait for it, and by which names a person sets that up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Names:
    """The environment variables of a provider, for advice."""

    key: str
    address: str


ANTHROPIC: Final = Names("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
OPENAI: Final = Names("OPENAI_API_KEY", "OPENAI_BASE_URL")
OLLAMA: Final = Names("OLLAMA_API_KEY", "OLLAMA_HOST")
NAMES: Final[Mapping[str, Names]] = {"anthropic": ANTHROPIC, "openai": OPENAI, "ollama": OLLAMA}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is and how long to wait for it.

    `request_timeout_s` is for the answer to begin, `stall_timeout_s` for each of its events after the one before.
    Without an `api_key` the one of `keyring`, as `service/user`, is taken when the first question is asked.
    """

    model: str
    api_key: str = field(repr=False)
    base_url: str
    request_timeout_s: float = 120.0
    stall_timeout_s: float = 60.0
    names: Names = field(default=ANTHROPIC, repr=False)
    keyring: str = field(default="", repr=False)
