"""Owns the editor that measures: what VS Code sends to a server, said with the lean client."""

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.bench.lean_client import Json, LeanClient, ServerFailedError, frame

VSCODE: Final = Path(__file__).with_name("vscode.json")
_PROC: Final = Path("/proc")
_STEP: Final = 7919
"""Lines between two edits: a prime, so that they are spread over any document."""
_STRIDE: Final = 7
"""Lines between two cursor moves."""
_GONE: Final = (FileNotFoundError, ProcessLookupError)
"""What reading about a process raises once it has ended."""


class Editor:
    """One editor with one server, as a context manager. `folder` is its workspace."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._argv, self._folder = argv, folder
        self._environment = {**os.environ, **(environment or {})}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._stack = ExitStack()
        self._versions: dict[str, int] = {}
        self._lines: dict[str, list[str]] = {}

    def __enter__(self) -> "Editor":
        errors = self._stack.enter_context(tempfile.TemporaryFile())
        self.client = LeanClient(self._argv, cwd=self._folder, env=self._environment, errors=errors)
        self._stack.callback(self.client.leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def initialize(self) -> float:
        """Seconds from the start of the process to the reply; `initialized` follows with what is sent next."""
        uri = self._folder.as_uri()
        params = {
            "processId": os.getpid(),
            "locale": "en",
            "rootPath": str(self._folder),
            "rootUri": uri,
            "workspaceFolders": [{"uri": uri, "name": self._folder.name}],
            "trace": "off",
            **json.loads(VSCODE.read_text()),
        }
        msg_id, data = self.client.request_frame("initialize", params)
        answer, read_at = self.client.exchange(data, msg_id)
        if "result" not in answer:
            raise ServerFailedError(f"initialize was answered with {answer}")
        self.client.notify("initialized", {})
        return read_at - self.client.started

    def open(self, uri: str, text: str) -> None:
        """Opens a document with what is sent next."""
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self._versions[uri] = 1
        self._lines[uri] = text.split("\n")
        self.client.notify("textDocument/didOpen", {"textDocument": item})

    def action(self, uri: str, number: int) -> tuple[Json, float, float]:
        """Asks for code actions where the cursor is after move `number`: the answer, when it was asked and answered."""
        msg_id, data = self.client.request_frame("textDocument/codeAction", self._action_params(uri, number * _STRIDE))
        asked_at = time.perf_counter()
        answer, read_at = self.client.exchange(data, msg_id)
        return answer, asked_at, read_at

    def changes(self, uri: str, count: int) -> bytes:
        """Frames of one-character edits all over the document; every second one takes the one before it back."""
        frames = []
        lines = self._lines[uri]
        for number in range(count):
            self._versions[uri] += 1
            line, back = number // 2 * _STEP % len(lines), number % 2
            column = min(4, len(lines[line]))
            change = {
                "range": _range(line, column, column + back),
                "rangeLength": back,
                "text": "" if back else "x",
            }
            params = {"textDocument": {"uri": uri, "version": self._versions[uri]}, "contentChanges": [change]}
            frames.append(frame({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}))
        return b"".join(frames)

    def change_s(self, uri: str, count: int) -> float:
        """Seconds for so many changes, sent as fast as the pipe takes them, up to the answer of a request after them.

        It asks about a second, tiny document: some servers analyse the whole long one before they answer there.
        """
        tiny = (self._folder / "tiny.py").as_uri()
        if tiny not in self._lines:
            self.open(tiny, "value = 1\n")
            self.action(tiny, 0)
        data = self.changes(uri, count)
        msg_id, fence = self.client.request_frame("textDocument/codeAction", self._action_params(tiny, 0))
        data += fence
        began = time.perf_counter()
        _, read_at = self.client.exchange(data, msg_id)
        return read_at - began

    def _action_params(self, uri: str, line: int) -> Json:
        """What VS Code sends when the cursor rests on a line with a problem of another server."""
        lines = self._lines[uri]
        line %= len(lines)
        end = len(lines[line])
        problem = {
            "range": _range(line, min(4, end), min(12, end)),
            "message": '"spann" is not defined',
            "severity": 1,
            "source": "Pylance",
            "code": "reportUndefinedVariable",
        }
        context = {"diagnostics": [problem], "triggerKind": 2}
        return {"textDocument": {"uri": uri}, "range": _range(line, min(8, end), min(8, end)), "context": context}

    def command(self, name: str, argument: Json) -> Json:
        """The answer of one of our commands. Raises ServerFailedError where that is an error."""
        answer: Json = self.client.request("workspace/executeCommand", {"command": name, "arguments": [argument]})
        if "error" in answer:
            raise ServerFailedError(f"{name} was answered with {answer['error']}")
        return answer

    def memory_mib(self, *kinds: str) -> float:
        """The sum of these lines of `smaps_rollup` over the server and its children."""
        return sum(_memory_kib(pid, kinds) for pid in _family(self.client.process.pid)) / 1024


def python_text(lines: int) -> str:
    """A Python module of so many lines, of the shape that people write: classes, methods, docstrings, comments."""
    parts = ['"""Owns the bookings of rooms."""', "", "from dataclasses import dataclass", "", ""]
    number = 0
    while len(parts) < lines:
        number += 1
        parts += _CLASS.replace("NUMBER", str(number)).split("\n")
    return "\n".join(parts[:lines]) + "\n"


_CLASS: Final = '''\
@dataclass(frozen=True)
class BookingNUMBER:
    """One booking of a room; `start` is inside, `end` is not."""

    room: str
    start: int
    end: int
    note: str = ""

    def length(self) -> int:
        """How long it takes, in minutes."""
        return self.end - self.start

    def overlaps(self, other: "BookingNUMBER") -> bool:
        # two that only touch do not overlap
        if self.room != other.room:
            return False
        return self.start < other.end and other.start < self.end

    def moved(self, minutes: int) -> "BookingNUMBER":
        start, end = self.start + minutes, self.end + minutes
        if start < 0:
            raise ValueError(f"{self.room}: {start} is before the day begins")
        return BookingNUMBER(self.room, start, end, self.note)

'''


def _range(line: int, start: int, end: int) -> Json:
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


def _family(pid: int) -> list[int]:
    """The process and all below it; one that ends meanwhile is left out with those below it."""
    found = [pid]
    with suppress(*_GONE):
        for task in (_PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                found += _family(int(child))
    return found


def _memory_kib(pid: int, kinds: Sequence[str]) -> int:
    """Nothing of a process that has ended."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except _GONE:
        return 0
    rows = (line.split() for line in text.splitlines()[1:])
    return sum(int(row[1]) for row in rows if row[0].rstrip(":") in kinds)
