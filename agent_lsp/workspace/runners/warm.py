"""Owns warm runs: which runs of tests are forked from a process that is prepared, and whether they tell the same.

A selection of tests runs cold first, which shows what it loads; then from a process that has loaded that. The first
such run, and every few after it, is compared with a cold one of the same files; a difference that two cold runs do not
show either makes the environment cold for good. Only tries are ever warm: a verdict rests on cold runs.
"""

import hashlib
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, Prepared, SandboxKind, SuiteRequest
from agent_lsp.domain.verdict import SuiteReport
from agent_lsp.workspace.fingerprint import Fingerprints
from agent_lsp.workspace.runners.injected import (
    Launch,
    OnCase,
    Ran,
    lay_out_ahead,
    run_injected,
    sources_digest,
    unchanged,
)
from agent_lsp.workspace.runners.warm_check import differences, in_words
from agent_lsp.workspace.runners.warm_memory import Experience, WarmMemory

logger = logging.getLogger(__name__)

_EVERY: Final = 25
"""After so many warm runs of a selection, one is compared again, and the process that is prepared is a new one:
what is drawn once for a process, such as the seed of hashes, is drawn anew then."""

_AFTER: Final = 4
"""Loading ahead and comparing costs about as much as so many runs: a search that ends before gains nothing."""

_UNFINISHED: Final = 2
"""So many runs that did not end well are run again cold, and then one in a few: code that hangs does so anywhere."""

_DEATHS: Final = 3
_KEPT_EVERY: Final = 10
_FOLDERS: Final = 50
_NEVER: Final = "cannot be loaded ahead"
_SILENT: Final = "this kind of candidate forks nothing"
_KINDS: Final = (SandboxKind.OVERLAY, SandboxKind.BUBBLEWRAP)


@dataclass(slots=True)
class _Selection:
    """Some tests that were asked for: what they load, and how often they ran warm since they were compared."""

    modules: tuple[str, ...]
    seen: int = 1
    compared: bool = False
    since: int = 0
    unfinished: int = 0


@dataclass(slots=True)
class _Environment:
    """One Python with its distributions, in one place. `cold` is why its runs are cold while this process lives."""

    name: str
    known: Experience
    selections: dict[tuple[tuple[str, ...], ...], _Selection] = field(default_factory=dict)
    modules: tuple[str, ...] | None = None
    generation: int = 0
    forked: int = 0
    cold: str = ""
    deaths: int = 0
    hung: int = 0


class WarmRuns:
    """The warm runs of one workspace. `enabled` is asked at each run."""

    def __init__(self, memory: WarmMemory, extra: str = "", *, after: int = _AFTER) -> None:
        """`after` is how often some tests run cold before anything is loaded ahead for them."""
        self._memory, self._extra, self._after = memory, extra, after
        self._prints: dict[str, Fingerprints] = {}
        self._environments: dict[str, _Environment] = {}
        self._laid_out: dict[Path, dict[str, str]] = {}
        self.last_note = ""
        """Why the last run was not warm; empty if it was."""

    async def run(
        self, candidate: Candidate, what: Launch, request: SuiteRequest, on_case: OnCase | None = None
    ) -> SuiteReport:
        """What `launch` would give. Raises RunnerUnavailableError."""
        place = await self._environment(candidate, what)
        if place is None or place.cold:
            self.last_note = place.cold if place else f"a {candidate.kind.value} has no process namespace"
            return (await run_injected(candidate, what, request, on_case)).report
        if any(site in path.split("/") for path in request.watch for site in ("site-packages", "dist-packages")):
            self.last_note = "a watched file lies among what is installed"
            return (await run_injected(candidate, what, request, on_case)).report
        selection = place.selections.get((request.tests, what.arguments))
        if selection is None:
            self.last_note = "these tests run for the first time"
            return await self._learn(place, candidate, what, request, on_case)
        selection.seen += 1
        if selection.seen < self._after:
            self.last_note = "these tests ran too few times to load anything ahead"
            return (await run_injected(candidate, what, request, on_case)).report
        folder, key = self._prepared(place, selection, candidate, what)
        program = what.interpreter.program(candidate)
        prepared = Prepared(key, (program, str(folder / "agent_lsp_prepared.py"), str(folder / "plan.json")))
        try:
            ran = await run_injected(candidate, what, request, on_case, prepared=prepared)
        except RunnerUnavailableError as error:
            self.last_note = error.message
            await self._not_forked(place, error.message)
            return (await run_injected(candidate, what, request, on_case)).report
        self.last_note = ran.result.note
        if not ran.result.forked:
            await self._not_forked(place, ran.result.note or _SILENT)
            return ran.report
        if not unchanged(folder, self._laid_out[folder]):
            await self._stay_cold(place, "a test changed the files of the process that is prepared")
            return (await run_injected(candidate, what, request)).report
        return await self._forked(place, selection, candidate, (what, request), ran)

    # --- where, and what it loads ----------------------------------------------------------------------------------

    async def _environment(self, candidate: Candidate, what: Launch) -> _Environment | None:
        if candidate.kind not in _KINDS:
            return None
        root = candidate.root
        prints = self._prints.setdefault(root, Fingerprints(Path(root), os.environ, self._extra))
        digest = await prints.of(what.interpreter, (), candidate)
        if digest is None:
            return None
        name = _hash(digest, root, json.dumps(what.interpreter.path_env(candidate)))
        if name not in self._environments:
            known = await self._memory.of(name)
            self._environments[name] = _Environment(name, known, cold=known.cold)
        return self._environments[name]

    async def _learn(
        self, place: _Environment, candidate: Candidate, what: Launch, request: SuiteRequest, on_case: OnCase | None
    ) -> SuiteReport:
        ran = await run_injected(candidate, what, request, on_case, tells_modules=True)
        modules = ran.records.modules
        if what.framework in modules:
            place.selections[request.tests, what.arguments] = _Selection(modules)
        elif modules:
            await self._stay_cold(place, f"{what.framework} itself is not an installed distribution here")
        return ran.report

    def _prepared(
        self, place: _Environment, selection: _Selection, candidate: Candidate, what: Launch
    ) -> tuple[Path, str]:
        """The folder and the key of a process with what these tests load and all others that ran, and no more."""
        loads = set(selection.modules)
        if place.modules is None:
            place.modules = selection.modules
        elif not loads.issuperset(place.modules):
            place.modules = tuple(name for name in place.modules if name in loads)
        if place.forked >= _EVERY:
            place.forked, place.generation = 0, place.generation + 1
        key = _hash(place.name, str(place.generation), sources_digest(), *place.modules)
        folder = Path(candidate.scratch) / f"prepared-{key}"
        if folder not in self._laid_out:
            folder.mkdir()
            plan = {
                "root": candidate.root,
                "first": [what.framework],
                "modules": place.modules,
                "skip": place.known.skipped,
            }
            (folder / "plan.json").write_text(json.dumps(plan))
            self._laid_out[folder] = lay_out_ahead(folder)
            while len(self._laid_out) > _FOLDERS:
                del self._laid_out[next(iter(self._laid_out))]
        return folder, key

    # --- what came of it -------------------------------------------------------------------------------------------

    async def _not_forked(self, place: _Environment, note: str) -> None:
        if note == "it is being loaded":
            return
        place.known.notes[note] = place.known.notes.get(note, 0) + 1
        place.deaths += 1
        place.generation += 1
        logger.info("the tests run cold: %s", note)
        if _NEVER in note:
            await self._stay_cold(place, note)
        elif place.deaths >= _DEATHS:
            place.cold = note
            await self._memory.keep(place.name)

    async def _forked(
        self,
        place: _Environment,
        selection: _Selection,
        candidate: Candidate,
        asked: tuple[Launch, SuiteRequest],
        ran: Ran,
    ) -> SuiteReport:
        place.forked += 1
        place.known.forked += 1
        place.known.skipped |= ran.result.skipped
        if place.known.forked % _KEPT_EVERY == 0:
            await self._memory.keep(place.name)
        selection.since += 1
        if not ran.report.finished:
            selection.unfinished += 1
            if selection.unfinished > _UNFINISHED and selection.unfinished % _EVERY:
                return ran.report
        elif selection.compared and selection.since < _EVERY:
            return ran.report
        return await self._compare(place, selection, candidate, asked, ran.report)

    async def _compare(
        self,
        place: _Environment,
        selection: _Selection,
        candidate: Candidate,
        asked: tuple[Launch, SuiteRequest],
        warm: SuiteReport,
    ) -> SuiteReport:
        cold = (await run_injected(candidate, *asked)).report
        if warm.timed_out or cold.timed_out:
            # Where the time cut them off says nothing; that only the warm one did not come to its end does.
            place.hung += int(cold.finished)
            if place.hung >= _DEATHS:
                await self._stay_cold(place, "warm runs do not end where cold ones do")
            return cold
        found = differences(warm, cold)
        if found:
            again = (await run_injected(candidate, *asked)).report
            unsteady = differences(cold, again)
            found = {name: text for name, text in found.items() if name not in unsteady}
        place.known.checked += 1
        selection.compared, selection.since = True, 0
        if found:
            await self._stay_cold(place, f"a warm run told otherwise than a cold one ({in_words(found)})")
        else:
            await self._memory.keep(place.name)
        return cold

    async def _stay_cold(self, place: _Environment, reason: str) -> None:
        """For good: the next process is told too."""
        place.cold = place.known.cold = reason
        logger.warning("the tests run cold from now on: %s", reason)
        await self._memory.keep(place.name)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]
