"""Owns the check of params as plain data, before any handler sees them: lsprotocol takes `line: "7"`, -1 and 2**31.

    problem = check("textDocument/codeLens", {"textDocument": {}})   # "`textDocument.uri` is missing"

The table (params_table.py) becomes closures at the first message of each method, after `initialize` was answered.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from agent_lsp.server.params_table import METHODS, STRUCTURES

Problem = tuple[str, str]
Check = Callable[[Any], Problem | None]

_LIMIT: Final = 2**31
_MISSING: Final = object()

_checks: dict[str, Check] = {}


def check(method: str, params: Any) -> str | None:
    """What is wrong with the params of a method, naming the key and never its value; None if nothing is."""
    known = _checks.get(method)
    if known is None:
        if method not in METHODS:
            return None
        known = _checks[method] = _compile(METHODS[method])
    problem = known(params)
    return None if problem is None else f"`{problem[0] or 'params'}` {problem[1]}"


def _compile(kind: Any) -> Check:
    if isinstance(kind, str):
        return _BASES[kind] if kind in _BASES else _structure(kind)
    name, *rest = kind
    return _COMPOUNDS[name](rest)


def _structure(name: str) -> Check:
    made = _checks.get(name)
    if made is None:
        made = _checks[name] = _record(STRUCTURES[name])
    return made


def _record(row: dict[str, Any]) -> Check:
    required = [(key, _compile(kind)) for key, kind in row.items() if not key.endswith("?")]
    optional = [(key[:-1], _compile(kind)) for key, kind in row.items() if key.endswith("?")]

    def record(value: Any) -> Problem | None:
        if type(value) is not dict:
            return "", "must be an object"
        for key, part in required:
            item = value.get(key, _MISSING)
            if item is _MISSING:
                return key, "is missing"
            problem = part(item)
            if problem is not None:
                return _within(key, problem)
        for key, part in optional:
            item = value.get(key)
            if item is not None:
                problem = part(item)
                if problem is not None:
                    return _within(key, problem)
        return None

    return record


def _array(kinds: Sequence[Any]) -> Check:
    element = _compile(kinds[0])

    def array(value: Any) -> Problem | None:
        if type(value) is not list:
            return "", "must be a list"
        for index, item in enumerate(value):
            problem = element(item)
            if problem is not None:
                return _within(f"[{index}]", problem)
        return None

    return array


def _map(kinds: Sequence[Any]) -> Check:
    element = _compile(kinds[0])

    def mapping(value: Any) -> Problem | None:
        if type(value) is not dict:
            return "", "must be an object"
        return next((problem for item in value.values() if (problem := element(item)) is not None), None)

    return mapping


def _either(kinds: Sequence[Any]) -> Check:
    parts = [_compile(kind) for kind in kinds]

    def either(value: Any) -> Problem | None:
        problem = None
        for part in parts:
            problem = part(value)
            if problem is None:
                return None
        return problem if problem is not None and problem[0] else ("", "has a wrong type")

    return either


def _enum(values: Sequence[Any]) -> Check:
    allowed = frozenset((type(value), value) for value in values)

    def member(value: Any) -> Problem | None:
        if isinstance(value, int | str) and (type(value), value) in allowed:
            return None
        return "", f"must be one of {', '.join(str(value) for value in values)}"

    return member


def _text(value: Any) -> Problem | None:
    return None if type(value) is str else ("", "must be a text")


def _uinteger(value: Any) -> Problem | None:
    if type(value) is int and 0 <= value < _LIMIT:
        return None
    return "", f"must be a whole number from 0 to {_LIMIT - 1}"


def _integer(value: Any) -> Problem | None:
    if type(value) is int and -_LIMIT <= value < _LIMIT:
        return None
    return "", f"must be a whole number from {-_LIMIT} to {_LIMIT - 1}"


def _decimal(value: Any) -> Problem | None:
    return None if type(value) in (int, float) else ("", "must be a number")


def _flag(value: Any) -> Problem | None:
    return None if type(value) is bool else ("", "must be true or false")


def _null(value: Any) -> Problem | None:
    return None if value is None else ("", "must be null")


def _anything(_: Any) -> Problem | None:
    return None


def _within(key: str, problem: Problem) -> Problem:
    path, complaint = problem
    if not path:
        return key, complaint
    return (f"{key}{path}" if path.startswith("[") else f"{key}.{path}"), complaint


_BASES: Final[dict[str, Check]] = {
    "string": _text,
    "uinteger": _uinteger,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _flag,
    "null": _null,
    "any": _anything,
}

_COMPOUNDS: Final[dict[str, Callable[[Sequence[Any]], Check]]] = {
    "array": _array,
    "map": _map,
    "or": _either,
    "enum": _enum,
}
