"""Owns what one body means: which message of JSON-RPC it is, decided from untrusted bytes.

What is decided here, where JSON-RPC and LSP leave it open:
- UTF-8 alone; a byte order mark before the JSON is passed over; NaN and Infinity are no JSON; of equal keys the last
  counts; nesting that Python cannot follow (about a thousand levels) and numbers of more than 4,300 digits are refused
  as unreadable;
- an id is an integer of any size or a text, so 1 and "1" are two ids; true, 1.0 and null are none;
- `"params": null` is the same as no params.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MsgId = int | str

NO_MESSAGE: Final = "a message has a method, a result or an error"


@dataclass(frozen=True, slots=True)
class Request:
    """Wants one answer."""

    id: MsgId
    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Notification:
    """Wants none."""

    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """To a question of ours, if the id is one of ours. `failure` says why there is no result, if there is none.

    `empty` is for what may as well be meant as a request: neither a method nor a result nor an error.
    """

    id: Any
    result: Any
    failure: str | None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No message. `id` is whose it would have been, where that could be read."""

    why: str
    is_json: bool
    id: MsgId | None = None


Message = Request | Notification | Answer | Unreadable


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_json)


def read(body: bytes) -> Message:
    """The message in a body; nothing in it can make this fail."""
    try:
        message = _DECODER.decode(body.decode("utf-8").removeprefix("\ufeff"))
    except RecursionError:
        return Unreadable("the message is nested too deeply", is_json=False)
    except ValueError:
        return Unreadable("the message is not JSON in UTF-8", is_json=False)
    if not isinstance(message, dict):
        return Unreadable("a message is one JSON object; batches are not part of LSP", is_json=True)
    if "method" not in message:
        return _answer(message)
    msg_id = message.get("id")
    if "id" in message and not is_id(msg_id):
        return Unreadable("an id is an integer or a string", is_json=True)
    method = message["method"]
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        return Unreadable('a message has "jsonrpc": "2.0" and a method', is_json=True, id=msg_id)
    params = message.get("params")
    return Notification(method, params) if msg_id is None else Request(msg_id, method, params)


def is_id(value: Any) -> bool:
    """Whether a value can name a request."""
    return type(value) in (int, str)


def _answer(message: Mapping[str, Any]) -> Message:
    msg_id, error = message.get("id"), message.get("error")
    if "result" not in message and "error" not in message:
        if is_id(msg_id) and message.get("jsonrpc") == "2.0":
            return Answer(msg_id, None, "the editor answered neither a result nor an error", empty=True)
        return Unreadable(NO_MESSAGE, is_json=True, id=msg_id if is_id(msg_id) else None)
    if error is None:
        failure = None if "result" in message else "the editor answered with an error that says nothing"
        return Answer(msg_id, message.get("result"), failure)
    text = error.get("message") if isinstance(error, Mapping) else None
    return Answer(msg_id, None, text if isinstance(text, str) and text else "the editor answered with an error")
