"""Owns what is kept of warm runs over restarts: environments that stay cold and why, and what is not loaded ahead."""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

_KEPT: Final = 20
_VERSION: Final = 1


@dataclass(slots=True)
class Experience:
    """What runs of one environment showed. `cold` is the reason for which it stays cold, or empty.

    `forked` runs were warm, of which `checked` were compared with a cold one; `notes` counts why runs were not.
    """

    cold: str = ""
    forked: int = 0
    checked: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def sentence(self) -> str:
        """For doctor."""
        if self.cold:
            return f"not used: {self.cold}"
        text = f"{self.forked} so far; compared with a cold run: {self.checked}, differences: none"
        if self.notes:
            text += f"; cold at times: {max(self.notes, key=lambda note: self.notes[note])}"
        if self.skipped:
            name, why = next(iter(self.skipped.items()))
            more = f" (and {len(self.skipped) - 1} more)" if len(self.skipped) > 1 else ""
            text += f"; loaded anew in each run: {name}, since {why}{more}"
        return text


class WarmMemory:
    """The experiences of one workspace in a file of its cache. It may be missing or damaged: all starts anew then."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Experience] | None = None

    async def of(self, environment: str) -> Experience:
        """What is known of an environment; it may be changed, and `keep` writes it."""
        known = self._known
        if known is None:
            known = self._known = await asyncio.to_thread(_load, self._file)
        return known.setdefault(environment, Experience())

    async def latest(self) -> Experience | None:
        """That of the environment that was used last."""
        if self._known is None:
            self._known = await asyncio.to_thread(_load, self._file)
        return next(reversed(self._known.values()), None)

    async def keep(self, environment: str) -> None:
        """Writes all of them, this one as the last used."""
        known = self._known or {}
        if environment in known:
            known[environment] = known.pop(environment)
        while len(known) > _KEPT:
            del known[next(iter(known))]
        rows = {name: asdict(experience) for name, experience in known.items()}
        await asyncio.to_thread(_write, self._file, {"version": _VERSION, "environments": rows})


def _load(file: Path) -> dict[str, Experience]:
    try:
        table = json.loads(file.read_bytes())
        if table["version"] != _VERSION:
            return {}
        return {
            str(name): Experience(
                str(row["cold"]), int(row["forked"]), int(row["checked"]), dict(row["skipped"]), dict(row["notes"])
            )
            for name, row in table["environments"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(file: Path, table: Mapping[str, object]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as out:
            out.write(json.dumps(table).encode())
        os.replace(out.name, file)  # noqa: PTH105
    except OSError:
        return
