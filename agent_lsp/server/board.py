"""Owns what the edge knows of one workspace folder: runs, plans, proposals and problems, as the runtime told them.

Everything an editor asks for by itself (actions, lenses, diagnostics, status) is answered from here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent_lsp.domain.task import ENDED, RunState
from agent_lsp.server.documents import LineChange

_KEPT_RUNS: Final = 200

Json = dict[str, Any]


@dataclass(slots=True)
class Place:
    """Where a hunk is now: lines `[start, end)` of the text that the editor shows."""

    path: str
    start: int
    end: int
    touched: bool = False

    def follow_all(self, changes: Sequence[LineChange]) -> bool:
        """Follows one edit after the other; whether one of them was the first inside."""
        before = self.touched
        for change in changes:
            self.follow(change)
        return self.touched and not before

    def follow(self, change: LineChange) -> None:
        """Moves with an edit elsewhere; an edit inside is remembered."""
        if change.end <= self.start:
            self.start, self.end = self.start + change.delta, self.end + change.delta
        elif change.start < self.end:
            self.start = min(self.start, change.start)
            self.end = max(self.end + change.delta, self.start)
            self.touched = True


@dataclass(slots=True)
class Card:
    """One proposal. `moved` are the witnessed files that are no longer as tested, `told` what the runtime knows."""

    data: Json
    places: dict[str, Place]
    moved: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    open: bool = True

    @property
    def id(self) -> str:
        """`p_…`."""
        return str(self.data.get("proposalId", ""))

    @property
    def run_id(self) -> str:
        """The run that made it."""
        return str(self.data.get("runId", ""))

    @property
    def files(self) -> list[Json]:
        """The files in the shape of the link."""
        return [row for row in self.data.get("files", ()) if isinstance(row, dict)]

    @property
    def verdict(self) -> Mapping[str, Any]:
        """The verdict in the shape of the link."""
        verdict = self.data.get("verdict")
        return verdict if isinstance(verdict, Mapping) else {}

    @property
    def witness(self) -> Mapping[str, str]:
        """Paths with the sha256 of the bytes that the verdict rests on."""
        witness = self.data.get("witness")
        return witness if isinstance(witness, Mapping) else {}

    @property
    def stale(self) -> bool:
        """Whether the verdict is of bytes that are no longer there; an edit inside a change says so at once."""
        return bool(self.moved) or bool(self.data.get("stale")) or any(row.touched for row in self.places.values())

    @property
    def acceptable(self) -> bool:
        """Whether the runtime would apply it by its verdict; it says so itself where settings override."""
        said = self.data.get("acceptable")
        return said if isinstance(said, bool) else self.verdict.get("decision") in ("proven", "passed")

    @property
    def suggestion(self) -> list[str]:
        """The hunks of the smallest part that is known to pass, where one was refused."""
        known = {str(hunk.get("id")) for _, hunk in self.hunks()}
        found = [str(hunk) for hunk in self.data.get("suggestion") or ()]
        return found if known.issuperset(found) else []

    def hunks(self) -> Iterator[tuple[Json, Json]]:
        """Every hunk with its file."""
        for row in self.files:
            for hunk in row.get("hunks", ()):
                yield row, hunk

    def reset_places(self) -> None:
        """Puts the hunks back where they are in the base."""
        self.places = _places(self.files)


@dataclass(slots=True)
class Board:
    """The cache of one root. Only the session changes it."""

    runs: dict[str, Json] = field(default_factory=dict)
    plans: dict[str, Json] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    problems: dict[str, list[Json]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    questions: dict[str, Json] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    trust_wanted: Json | None = None
    models: list[Json] = field(default_factory=list)
    day: Json = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    """The newest checkpoints of the folder, of earlier sessions too; the newest first."""

    def take(self, event: str, data: Mapping[str, Any]) -> None:
        """Takes one event of the runtime; one of an unknown name or without its ids changes nothing."""
        taker = _TAKERS.get(event)
        if taker is not None:
            taker(self, dict(data))

    def open_run(self, run_id: str, goal: str, origin: str | None) -> None:
        """A run that was asked for and that the runtime has not yet told of."""
        self._keep_run(
            {"runId": run_id, "goal": goal, "state": RunState.PLANNING.value, "step": 0, "steps": 0, "usage": {}}
        )
        if origin is not None:
            self.origins[run_id] = origin

    def drop_run(self, run_id: str) -> None:
        """A run that the runtime refused."""
        self.runs.pop(run_id, None)
        self.origins.pop(run_id, None)

    def state_of(self, run_id: str) -> str:
        """The state's name; empty for an unknown run."""
        return str(self.runs.get(run_id, {}).get("state", ""))

    def row_of(self, run_id: str) -> Json:
        """The row of `agent.status`, with the newest checkpoint of the run."""
        row = self.runs[run_id]
        newest = next((key for key, run in reversed(self.checkpoints.items()) if run == run_id), None)
        return row if newest is None else {**row, "checkpointId": newest}

    def unfinished(self) -> list[Json]:
        """Runs that have not ended."""
        return [row for row in self.runs.values() if row.get("state") not in ENDED]

    def open_cards(self) -> list[Card]:
        """Proposals that can still be accepted or discarded."""
        return [card for card in self.cards.values() if card.open]

    def end_run(self, run_id: str, state: RunState, reason: str) -> None:
        """Ends a run in the place of its runtime, which died or never took it."""
        row = self.runs.get(run_id)
        if row is not None:
            self.runs[run_id] = {**row, "state": state.value, "message": reason}
            self._settle(run_id)

    def waiting(self) -> list[Json]:
        """Runs whose change is on offer: the next runtime offers it again."""
        offered = {card.run_id for card in self.open_cards()}
        waits = (RunState.PROPOSED, RunState.VALIDATING, RunState.APPLYING)
        return [row for row in self.unfinished() if row["runId"] in offered and row.get("state") in waits]

    def close_all(self) -> None:
        """The runtime is gone, and with it what it offered and reported."""
        for card in self.cards.values():
            card.open = False
        self.problems.clear()

    def _take_run(self, data: Json) -> None:
        if isinstance(data.get("runId"), str):
            self._keep_run(data)
            self._settle(data["runId"])

    def _take_plan(self, data: Json) -> None:
        self.plans[str(data.get("runId"))] = data

    def _take_blocked(self, data: Json) -> None:
        self.questions[str(data.get("runId"))] = data

    def _take_proposal(self, data: Json) -> None:
        card = Card(data, _places(data.get("files", ())))
        known = self.cards.get(card.id)
        if known is not None and known.witness == card.witness:
            card.moved, card.told = known.moved, known.told
            for hunk_id, place in known.places.items():
                if hunk_id in card.places:
                    card.places[hunk_id] = place
        self.cards[card.id] = card
        if isinstance(data.get("checkpointId"), str):
            self.checkpoints[data["checkpointId"]] = card.run_id

    def _take_verdict(self, data: Json) -> None:
        card = self.cards.get(str(data.get("proposalId")))
        if card is not None and not data.get("hunks"):  # with hunks it is of a part of the proposal
            card.data = {**card.data, "verdict": data.get("verdict")}

    def _take_closed(self, data: Json) -> None:
        card = self.cards.get(str(data.get("proposalId")))
        if card is not None:
            card.open = False
            kept = {key: data[key] for key in ("checkpointId", "state") if isinstance(data.get(key), str)}
            card.data = {**card.data, **kept}
        if isinstance(data.get("checkpointId"), str):
            self.checkpoints[data["checkpointId"]] = str(data.get("runId"))

    def _take_problems(self, data: Json) -> None:
        run_id, problems = str(data.get("runId")), data.get("problems")
        if isinstance(problems, Sequence) and problems:
            self.problems[run_id] = [dict(row) for row in problems]
        else:
            self.problems.pop(run_id, None)

    def _take_checkpoints(self, data: Json) -> None:
        rows = data.get("checkpoints")
        self.history = [dict(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def _take_trust_wanted(self, data: Json) -> None:
        self.trust_wanted = data

    def _take_models(self, data: Json) -> None:
        rows = data.get("models")
        self.models = [dict(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        self.day = dict(data["day"]) if isinstance(data.get("day"), Mapping) else {}

    def _settle(self, run_id: str) -> None:
        if self.state_of(run_id) != RunState.BLOCKED:
            self.questions.pop(run_id, None)

    def _keep_run(self, row: Json) -> None:
        self.runs[row["runId"]] = row
        if len(self.runs) > _KEPT_RUNS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        for run_id, row in list(self.runs.items()):
            if row.get("state") in ENDED:
                del self.runs[run_id]
                for kept in (self.plans, self.problems, self.origins, self.questions):
                    kept.pop(run_id, None)
                self.cards = {key: card for key, card in self.cards.items() if card.run_id != run_id}
                return


def _places(files: Sequence[Mapping[str, Any]]) -> dict[str, Place]:
    return {
        str(hunk["id"]): Place(str(row.get("path")), int(hunk["startLine"]), int(hunk["endLine"]))
        for row in files
        for hunk in row.get("hunks", ())
    }


_TAKERS: Final[Mapping[str, Callable[[Board, Json], None]]] = {
    "run": Board._take_run,
    "plan": Board._take_plan,
    "blocked": Board._take_blocked,
    "proposal": Board._take_proposal,
    "verdict": Board._take_verdict,
    "proposal_closed": Board._take_closed,
    "problems": Board._take_problems,
    "trust_wanted": Board._take_trust_wanted,
    "checkpoints": Board._take_checkpoints,
    "models": Board._take_models,
}
