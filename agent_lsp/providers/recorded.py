"""Owns answers that were recorded: writing every answer of a model to a file, and giving them again from there.

One JSON object a line: `{"request": sha256, "phase": …, "turn": …}`. Of a request only its digest is kept.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent_lsp.domain.conversation import ModelRequest, ModelTurn
from agent_lsp.domain.errors import ModelRejectedError
from agent_lsp.domain.ports import Model
from agent_lsp.domain.turn_data import turn_data, turn_of

_LONGEST_FILE_BYTES: Final = 256_000_000


class Recorder:
    """A `domain.ports.Model` that writes down what another one answers."""

    def __init__(self, model: Model, path: Path) -> None:
        self._model, self._path = model, path

    @property
    def name(self) -> str:
        """As the model that answers."""
        return self._model.name

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """The model's own answer. Raises what it raises, and ModelRejectedError if the file cannot be written."""
        turn = await self._model.respond(request, on_text)
        row = {"request": digest(request), "phase": request.phase.value, "turn": turn_data(turn)}
        await asyncio.to_thread(self._append, json.dumps(row, ensure_ascii=False))
        return turn

    def _append(self, line: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "ab") as stream:
                stream.write(line.encode() + b"\n")
        except OSError as error:
            hint = "Name another file under `record`, or none."
            raise ModelRejectedError(f"{self._path} cannot be written: {error.strerror}", hint=hint) from error


class RecordedModel:
    """A `domain.ports.Model` that gives a recording's answers, each once: the very request's own first, else the next
    one of its phase."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left: list[tuple[str, str, ModelTurn]] | None = None
        self._reading = asyncio.Lock()

    @property
    def name(self) -> str:
        """As people know it."""
        return f"recorded in {self._path.name}"

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """Raises ModelRejectedError when nothing fitting is left, or the file makes no sense."""
        async with self._reading:
            if self._left is None:
                self._left = await asyncio.to_thread(self._read)
        wanted, phase = digest(request), request.phase.value
        row = next((row for row in self._left if row[0] == wanted), None)
        row = row or next((row for row in self._left if row[1] == phase), None)
        if row is None:
            message = f"{self._path} has no further answer for {phase}"
            raise ModelRejectedError(message, hint="Record the run again, or choose another model.")
        self._left.remove(row)
        turn = row[2]
        if turn.text:
            on_text(turn.text)
        return turn

    def _read(self) -> list[tuple[str, str, ModelTurn]]:
        try:
            if self._path.stat().st_size > _LONGEST_FILE_BYTES:
                raise ModelRejectedError(f"{self._path} is too large for a recording", hint="Record the run again.")
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            hint = "Set `file` to what `record` of another endpoint has written."
            raise ModelRejectedError(f"{self._path} cannot be read: {error.strerror}", hint=hint) from error
        return [self._row(number, line) for number, line in enumerate(lines, 1) if line.strip()]

    def _row(self, number: int, line: bytes) -> tuple[str, str, ModelTurn]:
        try:
            row = json.loads(line)
            return str(row["request"]), str(row["phase"]), _free(turn_of(row["turn"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self._path}, line {number}: no recorded answer"
            raise ModelRejectedError(message, hint="Record the run again.") from error


def digest(request: ModelRequest) -> str:
    """Names the words of a request: system prompt, messages, and the names of the tools."""
    words = (request.phase.value, request.system, request.messages, [tool.name for tool in request.tools])
    return hashlib.sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()


def _free(turn: ModelTurn) -> ModelTurn:
    """What tokens it took is told again; it costs nothing this time."""
    return replace(turn, usage=replace(turn.usage, cost_usd=0.0))
