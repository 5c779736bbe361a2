"""Owns an editor small enough to print: a stock LSP client over stdio with one workspace folder and real buffers.

Standard library only; it knows nothing of agent-lsp beyond the Language Server Protocol.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent_lsp.domain.text import split_lines

Listener = Callable[[str, Mapping[str, Any]], None]


class RequestFailedError(Exception):
    """The server answered a request with a JSON-RPC error."""


class Client:
    """Speaks LSP with a server over a pair of streams; `listen` hears every notification."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listen: Listener) -> None:
        self._reader, self._writer, self._listen = reader, writer, listen
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self.documents: dict[str, tuple[int, str]] = {}

    async def request(self, method: str, params: Any, *, timeout_s: float = 30.0) -> Any:
        """The result of one request. Raises RequestFailedError or TimeoutError."""
        self._last_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[self._last_id] = future
        self._send({"id": self._last_id, "method": method, "params": params})
        async with asyncio.timeout(timeout_s):
            return await future

    def notify(self, method: str, params: Any) -> None:
        """Sends one notification."""
        self._send({"method": method, "params": params})

    async def command(self, name: str, argument: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one `workspace/executeCommand`. Raises RequestFailedError for an error body too."""
        result = await self.request("workspace/executeCommand", {"command": name, "arguments": [argument]})
        if isinstance(result, dict) and "error" in result:
            raise RequestFailedError(f"{result['error']['message']} {result['error'].get('hint', '')}".strip())
        return dict(result or {})

    def open(self, path: Path) -> str:
        """Opens a file in the editor and gives its URI."""
        uri, text = path.as_uri(), path.read_text()
        self.documents[uri] = (1, text)
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    async def serve(self) -> None:
        """Reads messages until the server closes its end."""
        try:
            while (message := await self._read()) is not None:
                self._take(message)
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(RequestFailedError("the server ended"))

    async def _read(self) -> dict[str, Any] | None:
        length = 0
        while line := await self._reader.readline():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
            elif not line.strip():
                return dict(json.loads(await self._reader.readexactly(length)))
        return None

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _take(self, message: Mapping[str, Any]) -> None:
        if "method" not in message:
            self._settle(message)
        elif "id" in message:
            self._send({"id": message["id"], "result": self._answer(message["method"], message.get("params") or {})})
        else:
            self._listen(message["method"], message.get("params") or {})

    def _settle(self, message: Mapping[str, Any]) -> None:
        future = self._pending.pop(message["id"], None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(RequestFailedError(message["error"]["message"]))
        else:
            future.set_result(message.get("result"))

    def _answer(self, method: str, params: Mapping[str, Any]) -> Any:
        if method == "workspace/applyEdit":
            return {"applied": self._apply(params["edit"])}
        if method == "workspace/configuration":
            return [None for _ in params.get("items", [])]
        return None

    def _apply(self, edit: Mapping[str, Any]) -> bool:
        changes = [(c["textDocument"]["uri"], c["edits"]) for c in edit.get("documentChanges", [])]
        changes += list((edit.get("changes") or {}).items())
        if any(uri not in self.documents for uri, _ in changes):
            return False
        for uri, edits in changes:
            version, text = self.documents[uri]
            for item in sorted(edits, key=lambda e: _key(e["range"]["start"]), reverse=True):
                text = _replace(text, item["range"], item["newText"])
            self.documents[uri] = (version + 1, text)
            identity = {"uri": uri, "version": version + 1}
            self.notify("textDocument/didChange", {"textDocument": identity, "contentChanges": [{"text": text}]})
        return True


def _key(position: Mapping[str, int]) -> tuple[int, int]:
    return position["line"], position["character"]


def _offset(text: str, position: Mapping[str, int]) -> int:
    """Offset of a position counted in UTF-16 units, the protocol's default."""
    lines = split_lines(text)
    if position["line"] >= len(lines):
        return len(text)
    offset = sum(map(len, lines[: position["line"]]))
    units = 0
    for character in lines[position["line"]].rstrip("\r\n"):
        if units >= position["character"]:
            break
        units += 2 if ord(character) > 0xFFFF else 1
        offset += 1
    return offset


def _replace(text: str, span: Mapping[str, Any], new_text: str) -> str:
    return text[: _offset(text, span["start"])] + new_text + text[_offset(text, span["end"]) :]
