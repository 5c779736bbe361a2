"""Owns the reading of a command's argument: one JSON object from a client that may send anything."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.errors import BadArgumentError

_HINT: Final = "See docs/protocol.md, section 3, for the shape of every command's argument."


def bad(message: str) -> BadArgumentError:
    """The error of a wrong argument."""
    return BadArgumentError(message, hint=_HINT)


class Arguments:
    """Typed access to the object; every wrong shape is a BadArgumentError that names the key."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, key: str) -> str:
        """A text that must be there and must not be blank."""
        value = self.text_or_none(key)
        if value is None:
            raise bad(f"`{key}` is missing: give a text.")
        return value

    def text_or_none(self, key: str) -> str | None:
        """A text; None when it is not there. A blank one is wrong."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise bad(f"`{key}` must be a text that is not blank.")
        return value

    def free_text(self, key: str) -> str:
        """A text that may be blank; empty when it is not there."""
        value = self._values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise bad(f"`{key}` must be a text.")
        return value

    def any_text(self, key: str) -> str:
        """A text that must be there and may be blank."""
        if self._values.get(key) is None:
            raise bad(f"`{key}` is missing: give a text.")
        return self.free_text(key)

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of the choices; None when it is not there."""
        value = self.text_or_none(key)
        if value is not None and value not in choices:
            raise bad(f"`{key}` must be one of {', '.join(choices)}; it is {value!r}.")
        return value

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """True or false; must be there unless there is a default."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise bad(f"`{key}` must be true or false.")
        return value

    def number(self, key: str, *, default: int) -> int:
        """A positive whole number."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise bad(f"`{key}` must be a whole number above zero.")
        return value

    def texts(self, key: str) -> list[str] | None:
        """A list of texts; None when it is not there."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise bad(f"`{key}` must be a list of texts.")
        return list(value)

    def objects(self, key: str) -> list[Mapping[str, Any]] | None:
        """A list of objects; None when it is not there."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise bad(f"`{key}` must be a list of objects.")
        return list(value)

    def table(self, key: str) -> Mapping[str, Any] | None:
        """An object; None when it is not there."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise bad(f"`{key}` must be an object.")
        return value

    def lines(self, key: str) -> tuple[int, int] | None:
        """An LSP range as whole lines, end exclusive; equal ends for a cursor. None when it is not there."""
        value = self._values.get(key)
        if value is None:
            return None
        start, end = _position(value, "start"), _position(value, "end")
        if start is None or end is None or end < start:
            raise bad(f"`{key}` must be a range: {{start: {{line, character}}, end: {{line, character}}}}.")
        if start == end:
            return start[0], start[0]
        return start[0], end[0] + (1 if end[1] > 0 else 0)

    def token(self) -> int | str | None:
        """A `workDoneToken`, if the client gave one."""
        value = self._values.get("workDoneToken")
        if isinstance(value, bool) or not isinstance(value, int | str):
            return None
        return value


def arguments_of(raw: Any) -> Arguments:
    """The one object, also when it is missing or wrapped in one list more than it should be."""
    if isinstance(raw, list) and len(raw) == 1:
        return arguments_of(raw[0])
    if raw is None or raw == []:
        return Arguments({})
    if not isinstance(raw, Mapping):
        raise bad("The argument must be one JSON object.")
    return Arguments(raw)


def _position(value: Any, key: str) -> tuple[int, int] | None:
    place = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(place, Mapping):
        return None
    line, character = place.get("line"), place.get("character", 0)
    for number in (line, character):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            return None
    return line, character  # type: ignore[return-value]  # both were just seen to be integers
