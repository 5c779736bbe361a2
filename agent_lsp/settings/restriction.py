"""Owns what the file of a workspace may not set by itself, and why."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent_lsp.settings.layers import ENDPOINTS


@dataclass(frozen=True, slots=True)
class Rule:
    """When a value waits for trust. `needs_trust` gets the value and what stands beneath it.

    `words` stand in docs/configuration.md, `why` in the question that the person is asked.
    """

    words: str
    why: str
    needs_trust: Callable[[Any, Any], bool]
    safe_in_sandbox: bool = False


def _differs(value: Any, below: Any) -> bool:
    return bool(value != below)


def _raised(value: Any, below: Any) -> bool:
    if below is None:
        return False
    return value is None or value > below


def _turned_on(value: Any, below: Any) -> bool:
    return bool(value) and not below


_STRENGTH: Final = {"clone": 0, "auto": 1, "bubblewrap": 2, "overlay": 2}


def _weaker(value: Any, below: Any) -> bool:
    return _STRENGTH[value] < _STRENGTH[below]


_ATTENTION: Final = {"off": 0, "tell": 1, "block": 2}


def _laxer(value: Any, below: Any) -> bool:
    return _ATTENTION[value] < _ATTENTION[below]


_CAUTION: Final = {"tell": 0, "refuse": 1}


def _bolder(value: Any, below: Any) -> bool:
    return _CAUTION[value] < _CAUTION[below]


def _adds(value: Any, below: Any) -> bool:
    return not set(value) <= set(below)


def _takes_away(value: Any, below: Any) -> bool:
    """Of patterns the last that matches decides: one with `!` opens what others shut."""
    return any(pattern.startswith("!") for pattern in value if pattern not in below)


def joined(key: str, value: Any, below: Any) -> Any:
    """What the workspace's file gets where its list is laid upon the one beneath instead of replacing it."""
    if key not in _JOINED:
        return value
    return (*below, *(part for part in value if part not in below))


def _set(why: str) -> Rule:
    return Rule("with trust", why, _differs)


def _raise(why: str) -> Rule:
    return Rule("lower: yes; raise: with trust", why, _raised)


_WHO: Final = "chooses who gets your code"
_PRICE: Final = "changes what a run is counted to cost"
_LIMIT: Final = "raises a limit of yours"

_JOINED: Final = frozenset({"context.private"})

RULES: Final[Mapping[str, Rule]] = {
    "model.provider": _set(_WHO),
    "model.base_url": _set("sends your code and your key to another address"),
    "model.api_key_env": _set("sends another secret of your environment"),
    "model.api_key_keyring": _set("sends a secret of your keyring"),
    "model.file": _set("reads a file of yours"),
    "model.record": _set("writes to a file of yours"),
    "model.input_usd_per_mtok": _set(_PRICE),
    "model.output_usd_per_mtok": _set(_PRICE),
    "model.cache_read_usd_per_mtok": _set(_PRICE),
    "model.cache_write_usd_per_mtok": _set(_PRICE),
    "tiers.tiny": _set(_WHO),
    "tiers.mid": _set(_WHO),
    "tiers.thinker": _set(_WHO),
    "budget.tokens": _raise(_LIMIT),
    "budget.cost_usd": _raise(_LIMIT),
    "budget.wall_clock_s": _raise(_LIMIT),
    "budget.turns": _raise(_LIMIT),
    "budget.tries": _raise(_LIMIT),
    "budget.day_tokens": _raise(_LIMIT),
    "budget.day_cost_usd": _raise(_LIMIT),
    "budget.day_turns": _raise(_LIMIT),
    "budget.day_wall_clock_s": _raise(_LIMIT),
    "context.private": Rule("adds: yes; takes away: with trust", "shows models files of yours", _takes_away),
    "tests.interpreter": Rule("inside a sandbox; else with trust", "names a program to run", _differs, True),
    "tests.command": Rule("inside a sandbox; else with trust", "names a program to run", _differs, True),
    "tests.baselines_mb": _raise(_LIMIT),
    "tests.mutations": _raise(_LIMIT),
    "tests.new_findings": Rule("stricter: yes; laxer: with trust", "hides what checkers find", _laxer),
    "sandbox.kind": Rule("stronger: yes; weaker: with trust", "weakens the sandbox", _weaker),
    "sandbox.network": Rule("off: yes; on: with trust", "opens the network", _turned_on),
    "sandbox.network_hosts": Rule("fewer: yes; more: with trust", "lets commands reach these hosts", _adds),
    "sandbox.commands_without_sandbox": Rule("off: yes; on: with trust", "runs commands unprotected", _turned_on),
    "sandbox.tests_without_sandbox": Rule("stricter: yes; laxer: with trust", "runs tests unprotected", _bolder),
    "sandbox.visible": Rule("fewer: yes; more: with trust", "shows commands more of your disk", _adds),
    "proposal.allow_unproven": Rule("off: yes; on: with trust", "lets untested changes be applied", _turned_on),
    "cache.max_gb": _raise(_LIMIT),
    "repair.tries": _raise(_LIMIT),
    "runs.parallel_machine": _raise(_LIMIT),
    "repair.wall_clock_s": _raise(_LIMIT),
}
"""Keys that are not here may be set by any workspace, except those of an endpoint."""

_ENDPOINT: Final = _set(_WHO)


def rule_of(key: str) -> Rule | None:
    """The rule of a key; None for one that any workspace may set."""
    return _ENDPOINT if key.startswith(f"{ENDPOINTS}.") else RULES.get(key)


@dataclass(frozen=True, slots=True)
class Withheld:
    """A value of the workspace's file that waits for trust."""

    key: str
    value: Any
    why: str


def digest(withheld: tuple[Withheld, ...]) -> str:
    """Names exactly these keys and values: when one changes, trust is asked for again."""
    rows = sorted((row.key, json.dumps(row.value, default=list)) for row in withheld)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def question(root: str, withheld: tuple[Withheld, ...]) -> str:
    """What the person is asked, on one line each."""
    lines = [f"{row.key} = {json.dumps(row.value, default=list)} ({row.why})" for row in withheld]
    return "\n".join((f"agent-lsp.toml of {root} wants settings that need your trust:", *lines))
