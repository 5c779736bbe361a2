"""Owns LSP's meta model as typed data, and the check of a value against one of its types.

    model = load()            # None where the file is not present; say so with MISSING
    model.requests["textDocument/codeAction"].params          # a type, or None
    model.properties(Reference("CodeAction"))                 # flattened: own, extended and mixed in
    model.problems(Reference("Position"), {"line": -1, "character": 0})
    ["line: -1 is not a uinteger"]

`metaModel.json` is Microsoft's, MIT: https://github.com/microsoft/language-server-protocol. It is looked for where
the variable LSP_META_MODEL says, then in `shared/data` beside the project.
"""

import functools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

VARIABLE = "LSP_META_MODEL"
BESIDE = Path(__file__).parents[2].parent / "shared" / "data" / "lsp-3.18-metaModel.json"
MISSING = f"LSP's meta model is not here (set {VARIABLE} to its file): messages are judged by lsprotocol alone"

INTEGER_LIMIT = 2**31
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Base:
    """`string`, `integer`, `uinteger`, `decimal`, `boolean`, `null`, `URI` or `DocumentUri`."""

    name: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A structure, an enumeration or an alias by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Array:
    """A list."""

    element: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """An object with any keys of a type."""

    key: "Type"
    value: "Type"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of several."""

    items: "tuple[Type, ...]"


@dataclass(frozen=True, slots=True)
class And:
    """All of several."""

    items: "tuple[Type, ...]"


@dataclass(frozen=True, slots=True)
class Tuple:
    """A list of exactly these."""

    items: "tuple[Type, ...]"


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """One text."""

    value: str


@dataclass(frozen=True, slots=True)
class Property:
    """One key of an object."""

    name: str
    type: "Type"
    optional: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A structure without a name."""

    properties: tuple[Property, ...]


Type = Base | Reference | Array | Map | Or | And | Tuple | StringLiteral | Record
Direction = Literal["clientToServer", "serverToClient", "both"]


@dataclass(frozen=True, slots=True)
class Structure:
    """An object. `parents` are what it extends and mixes in."""

    name: str
    properties: tuple[Property, ...]
    parents: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A closed set, or an open one with `custom`."""

    name: str
    type: Base
    values: tuple[int | str, ...]
    custom: bool


@dataclass(frozen=True, slots=True)
class Method:
    """A request or a notification. `result` is None for notifications."""

    name: str
    direction: Direction
    params: Type | None
    result: Type | None = None
    partial_result: Type | None = None
    error_data: Type | None = None
    registration_options: Type | None = None
    registration_method: str = ""
    client_capability: str = ""


@dataclass(frozen=True, slots=True)
class MetaModel:
    """Everything by its name."""

    version: str
    requests: Mapping[str, Method]
    notifications: Mapping[str, Method]
    structures: Mapping[str, Structure]
    enumerations: Mapping[str, Enumeration]
    aliases: Mapping[str, Type]

    def named(self, reference: Reference) -> Structure | Enumeration | Type:
        """What a reference means; an alias is followed one step."""
        for table in (self.structures, self.enumerations, self.aliases):
            if reference.name in table:
                found: Structure | Enumeration | Type = table[reference.name]
                return found
        raise KeyError(reference.name)

    def registrations(self) -> dict[str, Type]:
        """The options of dynamic registration by the method that is registered."""
        methods = [*self.requests.values(), *self.notifications.values()]
        return {
            method.registration_method or method.name: method.registration_options
            for method in methods
            if method.registration_options is not None
        }

    def properties(self, kind: Type) -> dict[str, Property] | None:
        """The keys of an object type, inherited ones first; None for what is no object with known keys."""
        match kind:
            case Record(properties):
                return {row.name: row for row in properties}
            case And(items):
                parts = [self.properties(item) for item in items]
                return {name: row for part in parts if part is not None for name, row in part.items()}
            case Reference():
                named = self.named(kind)
                if isinstance(named, Structure):
                    inherited = self.properties(And(named.parents)) or {}
                    return {**inherited, **{row.name: row for row in named.properties}}
                return None if isinstance(named, Enumeration) else self.properties(named)
            case _:
                return None

    def problems(self, kind: Type, value: Any, *, strict: bool = True) -> list[str]:
        """What is wrong with a value, each with its place. Keys that LSP does not know count when `strict`."""
        return list(_Check(self, strict).type(kind, value, ""))


class _Check:
    """One walk; `where` is the path so far."""

    def __init__(self, model: MetaModel, strict: bool) -> None:
        self.model, self.strict = model, strict

    def type(self, kind: Type, value: Any, where: str) -> Iterator[str]:
        match kind:
            case Base(name):
                if not is_base(name, value):
                    yield _wrong(where, value, f"is not a {name}")
            case StringLiteral(text):
                if value != text:
                    yield _wrong(where, value, f"is not {text!r}")
            case Reference(name):
                yield from self.reference(name, value, where)
            case Or(items):
                yield from self.any_of(items, value, where)
            case Array() | Tuple():
                yield from self.items(kind, value, where)
            case Map():
                yield from self.map(kind, value, where)
            case Record() | And():
                yield from self.record(self.model.properties(kind) or {}, value, where)

    def items(self, kind: Array | Tuple, value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield _wrong(where, value, "is not a list")
            return
        kinds = kind.items if isinstance(kind, Tuple) else (kind.element,) * len(value)
        if len(kinds) != len(value):
            yield _wrong(where, value, f"is not a list of {len(kinds)}")
            return
        for index, (part, item) in enumerate(zip(kinds, value, strict=True)):
            yield from self.type(part, item, f"{where}[{index}]")

    def map(self, kind: Map, value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield _wrong(where, value, "is not an object")
            return
        for name, item in value.items():
            yield from self.key(kind.key, name, where)
            yield from self.type(kind.value, item, _step(where, name))

    def reference(self, name: str, value: Any, where: str) -> Iterator[str]:
        if name in ("LSPAny", "LSPObject", "LSPArray"):  # an open object has no keys that could be misspelt
            yield from self.open(name, value, where)
            return
        named = self.model.named(Reference(name))
        if isinstance(named, Enumeration):
            if not is_base(named.type.name, value) or not (named.custom or value in named.values):
                yield _wrong(where, value, f"is not one of {name}")
        elif isinstance(named, Structure):
            yield from self.record(self.model.properties(Reference(name)) or {}, value, where)
        else:
            yield from self.type(named, value, where)

    def open(self, name: str, value: Any, where: str) -> Iterator[str]:
        wanted: tuple[type, ...] = {"LSPObject": (dict,), "LSPArray": (list,)}.get(name, (object,))
        if not isinstance(value, wanted):
            yield _wrong(where, value, f"is not an {name}")
        elif isinstance(value, float) and not math.isfinite(value):
            yield _wrong(where, value, "is not JSON")
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from self.open("LSPAny", item, _step(where, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.open("LSPAny", item, f"{where}[{index}]")

    def key(self, kind: Type, name: str, where: str) -> Iterator[str]:
        """Keys of a map are texts, whatever their type says."""
        if kind in (Base("integer"), Base("uinteger")):
            value: Any = int(name) if name.lstrip("-").isdigit() else name
        else:
            value = name
        yield from self.type(kind, value, _step(where, "(key)"))

    def any_of(self, items: Iterable[Type], value: Any, where: str) -> Iterator[str]:
        """Nothing if one of them fits; else the complaint of the one that comes nearest."""
        nearest: list[str] | None = None
        for item in items:
            found = list(self.type(item, value, where))
            if not found:
                return
            if nearest is None or _distance(found, where) < _distance(nearest, where):
                nearest = found
        yield from nearest or ()

    def record(self, properties: Mapping[str, Property], value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield _wrong(where, value, "is not an object")
            return
        for name, row in properties.items():
            if name in value:
                yield from self.type(row.type, value[name], _step(where, name))
            elif not row.optional:
                yield f"{_step(where, name)}: is missing"
        if self.strict:
            for name in value.keys() - properties.keys():
                yield f"{_step(where, name)}: LSP has no such key"


def is_base(name: str, value: Any) -> bool:
    """Whether a value is of a base type."""
    match name:
        case "integer":
            return type(value) is int and -INTEGER_LIMIT <= value < INTEGER_LIMIT
        case "uinteger":
            return type(value) is int and 0 <= value < INTEGER_LIMIT
        case "decimal":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "string" | "RegExp":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "URI" | "DocumentUri":
            return isinstance(value, str) and _URI.match(value) is not None
    raise KeyError(name)


@functools.cache
def load() -> MetaModel | None:
    """The meta model; None where its file is not present."""
    path = Path(os.environ.get(VARIABLE) or BESIDE)
    return read(path) if path.is_file() else None


def read(path: Path) -> MetaModel:
    """The meta model in a file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return MetaModel(
        data["metaData"]["version"],
        {row["method"]: _method(row) for row in data["requests"]},
        {row["method"]: _method(row) for row in data["notifications"]},
        {row["name"]: _structure(row) for row in data["structures"]},
        {row["name"]: _enumeration(row) for row in data["enumerations"]},
        {row["name"]: _type(row["type"]) for row in data["typeAliases"]},
    )


def _type(row: Mapping[str, Any]) -> Type:
    match row["kind"]:
        case "base":
            return Base(row["name"])
        case "reference":
            return Reference(row["name"])
        case "array":
            return Array(_type(row["element"]))
        case "map":
            return Map(_type(row["key"]), _type(row["value"]))
        case "or":
            return Or(tuple(_type(item) for item in row["items"]))
        case "and":
            return And(tuple(_type(item) for item in row["items"]))
        case "tuple":
            return Tuple(tuple(_type(item) for item in row["items"]))
        case "stringLiteral":
            return StringLiteral(row["value"])
        case "literal":
            return Record(_properties(row["value"]))
    raise KeyError(row["kind"])


def _properties(row: Mapping[str, Any]) -> tuple[Property, ...]:
    return tuple(Property(key["name"], _type(key["type"]), key.get("optional", False)) for key in row["properties"])


def _structure(row: Mapping[str, Any]) -> Structure:
    parents = [*row.get("extends", ()), *row.get("mixins", ())]
    return Structure(row["name"], _properties(row), tuple(_type(parent) for parent in parents))


def _enumeration(row: Mapping[str, Any]) -> Enumeration:
    values = tuple(value["value"] for value in row["values"])
    return Enumeration(row["name"], Base(row["type"]["name"]), values, row.get("supportsCustomValues", False))


def _method(row: Mapping[str, Any]) -> Method:
    def kind(key: str) -> Type | None:
        return _type(row[key]) if key in row else None

    return Method(
        name=row["method"],
        direction=row["messageDirection"],
        params=kind("params"),
        result=kind("result"),
        partial_result=kind("partialResult"),
        error_data=kind("errorData"),
        registration_options=kind("registrationOptions"),
        registration_method=row.get("registrationMethod", ""),
        client_capability=row.get("clientCapability", ""),
    )


def _wrong(where: str, value: Any, complaint: str) -> str:
    return f"{where or 'value'}: {value!r:.80} {complaint}"


def _step(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _distance(problems: list[str], where: str) -> tuple[bool, int]:
    """A value of another kind altogether is farther away than any number of wrong keys."""
    return any(problem.startswith(f"{where or 'value'}: ") for problem in problems), len(problems)
