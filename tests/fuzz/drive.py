"""Owns one conversation of the fuzzer: it sends shots, answers what it is asked, and finds what is wrong.

Wrong is: a request without exactly one answer, an answer that nobody asked for, a message that the judge refuses, an
internal error, a lawful message that is refused as malformed, a traceback on stderr, silence, and an unasked end.
"""

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.bench.lean_client import Frames
from tests.fuzz.generate import Json, Maker
from tests.fuzz.mutate import encode, frame, mutate_value
from tests.fuzz.stream import HANDLED, Key, Shot, key_of
from tests.judge.judge import Judge

SILENCE_S: Final = 20.0
_CHUNK_BYTES: Final = 1 << 16
_INTERNAL: Final = -32603
_MALFORMED: Final = (-32700, -32600, -32602)
_NAMES_WHAT_IS_GONE: Final = ("workspace/textDocumentContent",)
_NULL: Final[Key] = ("NoneType", None)
_SHOWN: Final = 400
_REMEMBERED: Final = 5000


class FoundError(Exception):
    """What the fuzzer was looking for."""


class Conversation:
    """One server process, as a context manager. `found` holds what was wrong, with the bytes that led to it."""

    def __init__(self, argv: Sequence[str], root: Path, maker: Maker, environment: Mapping[str, str]) -> None:
        self.maker, self.random = maker, maker.random
        self.found: list[str] = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self.process = subprocess.Popen(
            argv, cwd=root, env={**os.environ, **environment}, stdin=-1, stdout=-1, stderr=self._errors, bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._frames, self._unsent = Frames(), b""
        self._owed: Counter[Key] = Counter()
        self._allowed: Counter[Key] = Counter()
        self._lawful: dict[Key, str] = {}
        self._shots: dict[Key, bytes] = {}
        self._judge = Judge()
        self._fences = 0
        self._judge_off = False

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self._errors.close()

    def send(self, shots: Iterable[Shot]) -> None:
        """Sends, and hears what comes meanwhile."""
        for shot in shots:
            self._expect(shot)
            self._unsent += frame(self.random, shot.body)
            if len(self._unsent) > _CHUNK_BYTES:
                self._pump()
        self._pump()

    def request(self, message: Json) -> None:
        """Sends a lawful message and waits until everything is answered."""
        keys = (key_of(message["id"]),) if "id" in message else ()
        self.send([Shot(encode(message), keys, lawful=message["method"])])
        self.settle()

    def fence(self) -> None:
        """Waits until every request was answered, a last one included."""
        self._fences += 1
        self.request({"jsonrpc": "2.0", "id": f"fence-{self._fences}", "method": "agent/status", "params": {}})

    def settle(self) -> None:
        """Waits until no answer is owed. Raises FoundError after a silence."""
        last = time.monotonic()
        while self._unsent or any(count > 0 for count in self._owed.values()):
            if self._step(0.5):
                last = time.monotonic()
            elif time.monotonic() - last > SILENCE_S:
                owed = [f"{key}: {self._shots.get(key, b'')[:_SHOWN]!r}" for key, count in self._owed.items() if count]
                raise FoundError(f"no answer within {SILENCE_S:.0f} s to {'; '.join(owed[:5])}")
        self._owed = Counter({key: count for key, count in self._owed.items() if count})

    def leave(self, *, status: int = 0, within_s: float = 10.0) -> None:
        """Waits for the end that was asked for, and looks at what was said on stderr."""
        until = time.monotonic() + within_s
        with contextlib.suppress(FoundError):
            while self.process.poll() is None and time.monotonic() < until:
                self._step(0.1)
        if self.process.poll() != status:
            self.found.append(f"the server ended with {self.process.poll()}, not {status}")
        self.find_tracebacks()

    def hang_up(self) -> None:
        """Closes the server's input."""
        self._pump()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._in = -1

    def send_torn(self, data: bytes) -> None:
        """Sends bytes that are no frames; whatever comes back is taken."""
        self._allowed[_NULL] += len(data)
        self._judge_off = True
        self._unsent += data
        self._pump()

    def find_tracebacks(self) -> None:
        """Tells of tracebacks on stderr and of what the judge found."""
        self._errors.seek(0)
        told = self._errors.read().decode(errors="replace")
        if "Traceback" in told:
            at = told.index("Traceback")
            self.found.append(f"on stderr: {told[max(at - _SHOWN, 0) : at + 6 * _SHOWN]}")
        judged = {problem for problem in self._judge.problems if problem.startswith("server: ")}
        self.found += sorted(problem for problem in judged if not problem.startswith("server: answer "))
        self._judge.problems.clear()

    # --- expectations ----------------------------------------------------------------------------------------------

    def _expect(self, shot: Shot) -> None:
        self._owed.update(shot.answers)
        self._owed[_NULL] += shot.nulls[0]
        self._allowed.update(shot.perhaps)
        self._allowed[_NULL] += shot.nulls[1] - shot.nulls[0]
        for key in (*shot.answers, *shot.perhaps):
            self._shots[key] = shot.body
            if shot.lawful:
                self._lawful[key] = shot.lawful
        if len(self._shots) > 2 * _REMEMBERED:
            self._shots = dict(list(self._shots.items())[-_REMEMBERED:])
        self._inform(shot)

    def _inform(self, shot: Shot) -> None:
        try:
            message = json.loads(shot.body)
        except (ValueError, RecursionError):
            self._judge.unreadable()
            return
        if shot.lawful:
            self._judge.client_says(message)
        else:
            self._judge.client_raw(message)

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Writes all there is, and reads meanwhile."""
        last = time.monotonic()
        while self._unsent:
            if self._step(0.5):
                last = time.monotonic()
            elif time.monotonic() - last > SILENCE_S:
                raise FoundError(f"the server has read nothing for {SILENCE_S:.0f} s")

    def _step(self, timeout_s: float) -> bool:
        """Moves what can be moved; whether anything was."""
        writing = [self._in] if self._unsent else []
        readable, writable, _ = select.select([self._out], writing, [], timeout_s)
        if writable:
            self._write()
        if readable:
            data = os.read(self._out, _CHUNK_BYTES)
            if not data:
                raise self._ended()
            self._frames.feed(data)
            while (body := self._frames.next()) is not None:
                self._hear(json.loads(body))
        return bool(readable or writable)

    def _write(self) -> None:
        """Some of what waits, cut anywhere."""
        size = self.random.choice((1, 7, 100, 5000, _CHUNK_BYTES, _CHUNK_BYTES))
        try:
            self._unsent = self._unsent[os.write(self._in, self._unsent[:size]) :]
        except BlockingIOError:
            return
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> FoundError:
        self.process.wait()
        self.find_tracebacks()
        return FoundError(f"the server ended with {self.process.returncode}; {' '.join(self.found[-2:])}")

    # --- what the server says --------------------------------------------------------------------------------------

    def _hear(self, message: Json) -> None:
        if self._judge_off:
            return
        told = len(self._judge.problems)
        self._judge.server_says(message)
        if "method" not in message and key_of(message.get("id")) not in self._lawful:
            del self._judge.problems[told:]  # what is resolved goes back as it came
        if "method" not in message:
            self._answered(message)
        elif "id" in message:
            self._answer(message)

    def _answered(self, message: Json) -> None:
        key = key_of(message.get("id"))
        if self._owed[key] > 0:
            self._owed[key] -= 1
        elif self._allowed[key] > 0:
            self._allowed[key] -= 1
        else:
            self.found.append(
                f"nobody asked for {json.dumps(message)[:_SHOWN]} ({self._shots.get(key, b'')[:_SHOWN]!r})"
            )
        code = (message.get("error") or {}).get("code")
        lawful = self._lawful.pop(key, "")
        refused = code in _MALFORMED and lawful in HANDLED and lawful not in _NAMES_WHAT_IS_GONE
        if code == _INTERNAL or refused:
            self.found.append(f"{message['error']} to {self._shots.get(key, b'')[:_SHOWN]!r}")
        self._shots.pop(key, None)

    def _answer(self, message: Json) -> None:
        """Lawfully, wrongly, twice, or never."""
        method = self.maker.model.requests.get(message["method"])
        kind = None if method is None else method.result
        result = None if kind is None else self.maker.value(kind)
        answer: Json = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        pick = self.random.randrange(10)
        if pick == 0:
            return
        if pick == 1:
            answer = mutate_value(self.maker, answer)
        elif pick == 2:
            del answer["result"]
            answer["error"] = self.random.choice(({"code": -32601, "message": "no"}, None, "no", {}, []))
        elif pick == 3:
            self._unsent += frame(self.random, encode(answer))
        body = encode(answer)
        owes = isinstance(answer, dict) and not {"result", "error"} & answer.keys() and "method" not in answer
        strange = not isinstance(answer, dict) or answer.get("id") != message["id"] or "method" in answer or owes
        if strange:
            key = key_of(answer.get("id")) if isinstance(answer, dict) and _hashable(answer.get("id")) else _NULL
            self._allowed[key] += 1
            self._allowed[_NULL] += 1
            self._judge.unreadable()
        self._unsent += frame(self.random, body)


def _hashable(value: Any) -> bool:
    return isinstance(value, int | str | float | None)
