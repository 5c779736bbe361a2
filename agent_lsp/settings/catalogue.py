"""Owns what is known of every key: type, default, environment name and who may set it, read from the models."""

import difflib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from agent_lsp.settings.layers import environment_name
from agent_lsp.settings.model import UNLIMITED, Address, Settings, Words, no_limit
from agent_lsp.settings.restriction import RULES


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
    """All keys in the order of the models."""
    found = {}
    for section, table in Settings.model_fields.items():
        kind = table.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        for name, info in kind.model_fields.items():
            key = f"{section}.{name}"
            annotation: Any = info.annotation
            if info.metadata:
                annotation = Annotated[(annotation, *info.metadata)]
            found[key] = Key(
                key,
                _type_name(annotation),
                _default(info.default),
                environment_name(key),
                RULES[key].words if key in RULES else "yes",
                info.description or "",
                info.default,
                TypeAdapter(annotation),
            )
    return found


def nearest(key: str) -> str | None:
    """The known key that was probably meant."""
    close = difflib.get_close_matches(key, list(catalogue()), n=1, cutoff=0.6)
    if close:
        return close[0]
    name = key.rpartition(".")[2]
    by_name = {known.rpartition(".")[2]: known for known in catalogue()}
    same = difflib.get_close_matches(name, list(by_name), n=1, cutoff=0.8)
    return by_name[same[0]] if same else None


def _type_name(annotation: Any) -> str:
    plain = _plain(annotation)
    if annotation == Address:
        return "http or https address"
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
