"""Owns what verdicts learned of a workspace's tests for good: which are flaky, which suites must run in one piece."""

import asyncio
import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agent_lsp.domain.flakiness import Flakiness, seen_again
from agent_lsp.domain.ids import CaseId

logger = logging.getLogger(__name__)

_VERSION: Final = 1
_MOST_ENVIRONMENTS: Final = 50


@dataclass(slots=True)
class _Known:
    flaky: dict[CaseId, Flakiness] = field(default_factory=dict)
    in_one_piece: dict[str, str] = field(default_factory=dict)


class StoredSuiteHistory:
    """`domain.suite_ports.SuiteHistory` in one file of the user's cache; damaged or missing, it starts anew.

    It is read anew each time, since other processes may work in the same workspace; two that write in the same moment
    may lose one verdict's worth.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = asyncio.Lock()

    async def flaky(self) -> Mapping[CaseId, Flakiness]:
        """The tests that were seen flaky and have not been steady for long since."""
        return (await asyncio.to_thread(_read, self._file)).flaky

    async def saw(self, flaky: Collection[CaseId], steady: Collection[CaseId]) -> None:
        """A verdict found some tests flaky and some steady."""
        async with self._lock:
            known = await asyncio.to_thread(_read, self._file)
            if not flaky and not known.flaky.keys() & set(steady):
                return
            today = f"{datetime.now(UTC):%Y-%m-%d}"
            known.flaky = seen_again(known.flaky, flaky, frozenset(steady), today)
            await asyncio.to_thread(_write, self._file, known)

    async def in_one_piece(self, environment: str) -> str:
        """Why a suite must not be run in parts in an environment; empty where nothing speaks against it."""
        return (await asyncio.to_thread(_read, self._file)).in_one_piece.get(environment, "")

    async def keep_in_one_piece(self, environment: str, why: str) -> None:
        """Remembers that running in parts made a difference."""
        async with self._lock:
            known = await asyncio.to_thread(_read, self._file)
            known.in_one_piece.pop(environment, None)
            known.in_one_piece[environment] = why
            known.in_one_piece = dict(list(known.in_one_piece.items())[-_MOST_ENVIRONMENTS:])
            await asyncio.to_thread(_write, self._file, known)
        logger.info("the tests are run in one piece from now on: %s", why)


def _write(file: Path, known: _Known) -> None:
    flaky = {name: asdict(row) for name, row in known.flaky.items()}
    table = {"version": _VERSION, "flaky": flaky, "in_one_piece": known.in_one_piece}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".history-", delete=False) as out:
            json.dump(table, out, indent=1)
        Path(out.name).replace(file)
    except OSError as error:
        logger.warning("the history of the tests could not be kept: %s", error)


def _read(file: Path) -> _Known:
    try:
        table: Mapping[str, Any] = json.loads(file.read_bytes())
        if table["version"] != _VERSION:
            return _Known()
        flaky = {
            str(name): Flakiness(int(row["times"]), str(row["last_on"]), int(row["steady"]))
            for name, row in table["flaky"].items()
        }
        return _Known(flaky, {str(name): str(why) for name, why in table["in_one_piece"].items()})
    except FileNotFoundError:
        return _Known()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged and is made anew: %s", file, error)
        return _Known()
