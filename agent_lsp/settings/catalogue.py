"""Owns what is known of every key: type, default, environment name and who may set it, read from the models."""

import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from agent_lsp.settings.layers import ENDPOINTS, environment_name
from agent_lsp.settings.model import UNLIMITED, Address, EndpointSettings, Hosts, Settings, Words, no_limit
from agent_lsp.settings.restriction import rule_of

ANY_NAME: Final = "NAME"
ENDPOINT_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `type_name`, `default` and `workspace` are the words of docs/configuration.md."""

    key: str
    type_name: str
    default: str
    environment: str
    workspace: str
    description: str
    value: Any
    adapter: TypeAdapter[Any]


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Key]:
    """All keys in the order of the models; those of an endpoint stand once, with `NAME` for its name."""
    found = {}
    for section, table in Settings.model_fields.items():
        kind, place = table.annotation, section
        if section == ENDPOINTS:
            kind, place = EndpointSettings, f"{ENDPOINTS}.{ANY_NAME}"
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        for name, info in kind.model_fields.items():
            found[f"{place}.{name}"] = _key(f"{place}.{name}", info)
    return found


def entry_of(key: str) -> Key | None:
    """What is known of a key as it is written, `endpoints.fast.name` for example; None for one that does not exist."""
    return catalogue().get(pattern_of(key))


def pattern_of(key: str) -> str:
    """The key as the catalogue has it: an endpoint's name is any."""
    parts = key.split(".")
    if len(parts) == 3 and parts[0] == ENDPOINTS and ENDPOINT_NAME.fullmatch(parts[1]):
        return f"{ENDPOINTS}.{ANY_NAME}.{parts[2]}"
    return key


def _key(key: str, info: FieldInfo) -> Key:
    annotation: Any = info.annotation
    if info.metadata:
        annotation = Annotated[(annotation, *info.metadata)]
    rule = rule_of(key)
    return Key(
        key,
        _type_name(annotation),
        _default(info.default),
        environment_name(key),
        "yes" if rule is None else rule.words,
        info.description or "",
        info.default,
        TypeAdapter(annotation),
    )


def nearest(key: str) -> str | None:
    """The known key that was probably meant."""
    close = difflib.get_close_matches(pattern_of(key), list(catalogue()), n=1, cutoff=0.6)
    if close:
        place, _, _ = key.rpartition(".")
        return close[0].replace(f"{ENDPOINTS}.{ANY_NAME}", place) if place.startswith(f"{ENDPOINTS}.") else close[0]
    name = key.rpartition(".")[2]
    by_name = {known.rpartition(".")[2]: known for known in catalogue()}
    same = difflib.get_close_matches(name, list(by_name), n=1, cutoff=0.8)
    return by_name[same[0]] if same else None


def _type_name(annotation: Any) -> str:
    plain = _plain(annotation)
    if annotation == Address:
        return "http or https address"
    if annotation == Hosts:
        return "list of hosts, or one string"
    if annotation in (Words, _plain(Words)) or get_origin(plain) is tuple:
        return "list of strings, or one string"
    if get_origin(plain) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(plain))
    if get_origin(plain) in (Union, types.UnionType):
        inner = [_plain(part) for part in get_args(plain) if part is not types.NoneType]
        return " or ".join([*map(_word, inner), *([f'"{UNLIMITED}"'] if _may_be_unlimited(annotation) else [])])
    return _word(plain)


def _may_be_unlimited(annotation: Any) -> bool:
    parts = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
    return any(getattr(part, "func", None) is no_limit for part in parts)


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _word(kind: Any) -> str:
    return {str: "string", int: "whole number", float: "number", bool: "true or false"}[kind]


def _default(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{part}"' for part in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if value < 1e5 else str(value)
