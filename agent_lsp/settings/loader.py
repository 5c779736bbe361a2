"""Owns the effective configuration: the layers laid over each other, each value checked where it was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent_lsp.domain.errors import ConfigError
from agent_lsp.domain.network_hosts import HostError
from agent_lsp.settings.catalogue import catalogue, entry_of, nearest, pattern_of
from agent_lsp.settings.layers import (
    ENDPOINTS,
    PREFIX,
    WORKSPACE_FILE,
    Layer,
    arguments_layer,
    client_layer,
    environment_layer,
    environment_name,
    read_file,
    read_user_layer,
)
from agent_lsp.settings.model import Settings
from agent_lsp.settings.restriction import Withheld, digest, joined, question, rule_of
from agent_lsp.settings.trust import TrustStore, trust_file

_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and what the workspace wanted and did not get.

    `sources` tells for every key that is not a default where it was set. `digest` names the restricted values of
    the workspace's file (empty when it has none): hand it to `TrustStore.decide`. `refused` says that the person
    has already said no to exactly these, so that nobody asks again.
    """

    settings: Settings
    withheld: tuple[Withheld, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    refused: bool = False
    question: str = ""


def load(
    root: Path,
    *,
    client: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    sandboxed: bool = False,
) -> Loaded:
    """The configuration of a workspace. Raises ConfigError naming the key and the file.

    `sandboxed` says that everything the workspace names runs in a real sandbox, so that its interpreter and its
    test command need no trust.
    """
    values = {key: entry.value for key, entry in catalogue().items() if not key.startswith(f"{ENDPOINTS}.")}
    sources: dict[str, str] = {}
    _lay(read_user_layer(environ), values, sources)
    workspace = read_file(root / WORKSPACE_FILE)
    wanted = _checked(workspace)
    withheld = _restricted(wanted, values, sandboxed)
    mark = digest(withheld) if withheld else ""
    decision = TrustStore(trust_file(environ)).decision(root, mark) if withheld else None
    kept_back = () if decision else withheld
    for key in wanted.keys() - {row.key for row in kept_back}:
        values[key], sources[key] = joined(key, wanted[key], values.get(key)), workspace.source
    _check_names(environ)
    for layer in (environment_layer(environ), client_layer(client), arguments_layer(arguments)):
        _lay(layer, values, sources)
    asked = question(str(root), kept_back) if kept_back else ""
    return Loaded(_whole(values), kept_back, sources, mark, decision is False, asked)


def _lay(layer: Layer, values: dict[str, Any], sources: dict[str, str]) -> None:
    for key, value in _checked(layer).items():
        values[key], sources[key] = value, layer.origin(key)


def _checked(layer: Layer) -> dict[str, Any]:
    """The layer's values in their right types. All its problems are one ConfigError."""
    good: dict[str, Any] = {}
    problems: list[str] = []
    hints: list[str] = []
    for key, value in layer.values.items():
        entry = entry_of(key)
        if entry is None:
            problem, hint = _unknown(layer, key)
        else:
            problem, hint = _validated(layer, key, value, good)
        if problem:
            problems.append(problem)
            hints.append(hint)
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        text = "; ".join(problems[:_SHOWN_PROBLEMS]) + more
        raise ConfigError(f"{layer.source}: {text}", hint=" ".join(dict.fromkeys(filter(None, hints))))
    return good


def _unknown(layer: Layer, key: str) -> tuple[str, str]:
    spelt = layer.spelt(key)
    sections = {name.partition(".")[0] for name in catalogue()}
    parts = key.split(".")
    if parts[0] == ENDPOINTS and len(parts) == 3 and pattern_of(key) == key:
        return f"`{spelt}`: no name for an endpoint", "Use small letters, digits, `_` and `-`, a letter first."
    if key in sections or (parts[0] == ENDPOINTS and len(parts) == 2):
        return f"`{spelt}` is a section and needs keys below it", f"Write it as a table: `[{key}]`."
    meant = nearest(key)
    if meant is None:
        return f"unknown key `{spelt}`", "docs/configuration.md lists the keys."
    shown = environment_name(meant) if spelt.startswith(PREFIX) else meant
    return f"unknown key `{spelt}`", f"Did you mean `{shown}`?"


def _validated(layer: Layer, key: str, value: Any, good: dict[str, Any]) -> tuple[str, str]:
    entry = entry_of(key)
    assert entry is not None
    candidate = tuple(value) if layer.strict and isinstance(value, list) else value
    try:
        good[key] = entry.adapter.validate_python(candidate, strict=layer.strict)
    except (ValidationError, ValueError) as error:
        wanted = entry.type_name
        if isinstance(error, ValidationError) and error.errors()[0]["type"] in _RANGE_ERRORS:
            wanted += " " + error.errors()[0]["msg"].partition("should be ")[2]
        return f"`{layer.spelt(key)}` must be {wanted}, not {_shown(key, value)}", _reason(error)
    return "", ""


_RANGE_ERRORS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})


def _reason(error: ValueError) -> str:
    """What a list of hosts says of the entry that is none."""
    causes = [row.get("ctx", {}).get("error") for row in error.errors()] if isinstance(error, ValidationError) else []
    return next((f"{cause}." for cause in causes if isinstance(cause, HostError)), "")


def _shown(key: str, value: Any) -> str:
    if key.endswith(".api_key_env"):
        return "what stands there (the name of a variable, never the key itself)"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _restricted(wanted: Mapping[str, Any], below: Mapping[str, Any], sandboxed: bool) -> tuple[Withheld, ...]:
    found = []
    for key, value in wanted.items():
        rule, entry = rule_of(key), entry_of(key)
        assert entry is not None
        if rule is None or (sandboxed and rule.safe_in_sandbox):
            continue
        if rule.needs_trust(value, below.get(key, None if key.startswith(f"{ENDPOINTS}.") else entry.value)):
            found.append(Withheld(key, value, rule.why))
    return tuple(found)


def _check_names(environ: Mapping[str, str]) -> None:
    """A variable that was plainly meant as a setting and has one underscore too few. Raises ConfigError."""
    meant = {environment_name(key).replace("__", "_"): environment_name(key) for key in catalogue()}
    for name in environ:
        if name.startswith(PREFIX) and name in meant:
            raise ConfigError(
                f"the environment: unknown key `{name}`", hint=f"Did you mean `{meant[name]}`? (two underscores)"
            )


def _whole(values: Mapping[str, Any]) -> Settings:
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        if section == ENDPOINTS:
            endpoint, _, name = name.partition(".")
            tables.setdefault(section, {}).setdefault(endpoint, {})[name] = value
        else:
            tables.setdefault(section, {})[name] = value
    return Settings.model_validate(tables)
