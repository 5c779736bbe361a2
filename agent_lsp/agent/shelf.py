"""Owns the proposals that are on offer, and how the journal and the watchers hear of each change of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent_lsp.agent.apply import Hands
from agent_lsp.agent.followup import WholeSuite
from agent_lsp.agent.mutating import Mutants
from agent_lsp.agent.overlaps import Overlap, overlaps
from agent_lsp.agent.proposal_records import kept
from agent_lsp.agent.proposals import Proposal, event_data
from agent_lsp.agent.sight import look
from agent_lsp.agent.validator import Judge
from agent_lsp.domain.errors import BadArgumentError, UnknownIdError
from agent_lsp.domain.events import Event, EventKind
from agent_lsp.domain.ids import HunkId
from agent_lsp.domain.keeping import Checkpoints, KeptProposal, ProposalKeeper, RunKeeper
from agent_lsp.domain.ports import Clock, Editor, Files, Journal, Publish, Trees, Turn
from agent_lsp.domain.task import RunState
from agent_lsp.domain.verdict import Verdict

CLOSED_KEPT: Final = 100
"""Closed proposals that are remembered, so that a late click gets a plain answer."""

DIFF_KEPT_CHARS: Final = 200_000


@dataclass(frozen=True, slots=True)
class ReviewPorts:
    """The world as review needs it. `new_id` makes an id from its prefix: `new_id("p")` is `p_…`.

    `open_runs` gives the runs that never ended and whose process is gone; without it the journal is read for them.
    `whole` runs the whole suite of a change after a selection of its tests made the verdict. `keeper` keeps what is on
    offer for the next start, `runs` what is at work. `turn` lets one process at a time write in the workspace.
    `mutants` tries what the tests of a proven change notice.
    """

    trees: Trees
    files: Files
    editor: Editor
    gate: Judge
    checkpoints: Checkpoints
    journal: Journal
    publish: Publish
    clock: Clock
    new_id: Callable[[str], str]
    open_runs: Callable[[], Awaitable[Sequence[str]]] | None = None
    whole: WholeSuite | None = None
    keeper: ProposalKeeper | None = None
    turn: Turn | None = None
    mutants: Mutants | None = None
    runs: RunKeeper | None = None

    @property
    def hands(self) -> Hands:
        """What a transaction needs of it."""
        return Hands(self.trees, self.files, self.editor, self.checkpoints, self.journal, self.clock)


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """The person's settings for review.

    `answer_within_s` is how long a command waits before it answers `pending`. `settle_s` is how long nothing must be
    typed before a stale proposal is tested again by itself; None never does. `keeps_offers`: what is on offer when the
    process ends is offered again by the next one.
    """

    allow_unproven: bool = False
    answer_within_s: float = 0.9
    settle_s: float | None = 1.0
    retest_tries: int = 3
    keeps_offers: bool = False


OnState = Callable[[str, RunState, str], None]
OnFeedback = Callable[[str, str, str], None]
OnBack = Callable[[Proposal], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReviewHooks:
    """Whom review tells: `on_state(run_id, state, message)` and `on_feedback(run_id, proposal_id, feedback)`.

    `on_back(proposal)` hears of one that an earlier process made, once it can be served again.
    """

    on_state: OnState
    on_feedback: OnFeedback
    on_back: OnBack | None = None


class Shelf:
    """Proposals by id. Whoever changes one puts the new value back here, and everybody hears of it."""

    def __init__(self, ports: ReviewPorts, options: ReviewOptions, hooks: ReviewHooks) -> None:
        self._ports, self._options, self._hooks = ports, options, hooks
        self._proposals: dict[str, Proposal] = {}
        self._kept: dict[str, KeptProposal] = {}
        self._told_overlaps: dict[str, tuple[Overlap, ...]] = {}
        self.watcher: Callable[[Proposal], None] | None = None

    def get(self, proposal_id: str) -> Proposal:
        """Raises UnknownIdError."""
        found = self._proposals.get(proposal_id)
        if found is None:
            raise UnknownIdError(
                f"there is no proposal {proposal_id}",
                hint="agent.status shows the proposalId of every run; start the goal again with agent.run.",
            )
        return found

    def on_offer(self) -> tuple[Proposal, ...]:
        """Those that wait for a person."""
        return tuple(proposal for proposal in self._proposals.values() if proposal.is_open)

    def put(self, proposal: Proposal) -> None:
        """Keeps the new value and publishes it."""
        self._proposals[proposal.id] = proposal
        self._keep(proposal)
        self._told_overlaps[proposal.id] = overlaps(proposal, self.on_offer())
        self._ports.publish("proposal", self.data_of(proposal))
        self._tell_overlaps()
        if self.watcher is not None:
            self.watcher(proposal)

    def data_of(self, proposal: Proposal) -> dict[str, object]:
        """The `proposal` event's data under the person's settings, with the others that it overlaps."""
        data = event_data(proposal, allow_unproven=self._options.allow_unproven)
        found = overlaps(proposal, self.on_offer()) if proposal.is_open else ()
        if found:
            verdict = proposal.verdict
            told = replace(verdict, reasons=(*verdict.reasons, *(row.sentence for row in found)))
            data |= {"overlaps": [row.to_json() for row in found], "verdict": told.to_json()}
        return data

    def _tell_overlaps(self) -> None:
        """Publishes proposals that overlap with others than before."""
        offered = self.on_offer()
        for proposal in offered:
            now = overlaps(proposal, offered)
            if self._told_overlaps.get(proposal.id, ()) != now:
                self._told_overlaps[proposal.id] = now
                self._ports.publish("proposal", self.data_of(proposal))

    def mark_stale(self, proposal: Proposal, paths: frozenset[str]) -> Proposal:
        """The proposal with exactly these paths moved; published where that is news."""
        if proposal.stale_paths == paths:
            return proposal
        marked = replace(proposal, stale_paths=paths, trouble=proposal.trouble if paths else "")
        self.note(marked, EventKind.PROPOSAL_STALE, {"paths": sorted(paths)})
        self.put(marked)
        return marked

    def close(self, proposal: Proposal, state: RunState, message: str, checkpoint_id: str | None = None) -> None:
        """Ends it as APPLIED or DISCARDED; its run ends with it."""
        self._proposals[proposal.id] = ended = replace(proposal, state=state, checkpoint_id=checkpoint_id)
        self.forget(proposal.id)
        closed = [name for name, kept in self._proposals.items() if not kept.is_open]
        for name in closed[:-CLOSED_KEPT]:
            del self._proposals[name]
        data = {"proposalId": proposal.id, "runId": proposal.run_id, "state": state.value}
        self._ports.publish("proposal_closed", data | ({"checkpointId": checkpoint_id} if checkpoint_id else {}))
        self._hooks.on_state(proposal.run_id, state, message)
        self._tell_overlaps()
        if self.watcher is not None:
            self.watcher(ended)

    def forget(self, proposal_id: str) -> None:
        """The next process does not offer it again."""
        self._kept.pop(proposal_id, None)
        self._told_overlaps.pop(proposal_id, None)
        if self._ports.keeper is not None and self._options.keeps_offers:
            self._ports.keeper.drop(proposal_id)

    def _keep(self, proposal: Proposal) -> None:
        """Writes what is on offer to the disk, as far as that is news; a failed change ended with its run."""
        if self._ports.keeper is None or not self._options.keeps_offers:
            return
        if proposal.state is not RunState.PROPOSED:
            if proposal.id in self._kept:
                self.forget(proposal.id)
            return
        record = kept(proposal)
        if self._kept.get(proposal.id) != record:
            self._kept[proposal.id] = record
            self._ports.keeper.keep(replace(record, time_s=self._ports.clock.now()))

    def tell_state(self, proposal: Proposal, state: RunState, message: str = "") -> None:
        """The run behind the proposal is in another state."""
        self._hooks.on_state(proposal.run_id, state, message)

    def tell_verdict(self, proposal: Proposal, verdict: Verdict, hunks: Sequence[HunkId] | None = None) -> None:
        """A validation ended; `hunks` when it was of these hunks alone."""
        part = {} if hunks is None else {"hunks": list(hunks)}
        self.note(proposal, EventKind.VALIDATION, {"verdict": verdict.to_json(), **part})
        self._ports.publish("verdict", {"proposalId": proposal.id, "verdict": verdict.to_json(), **part})

    def tell_over(self, proposal_id: str, work: str, outcome: str, *, cancelled: bool = False) -> None:
        """An apply or a revalidation ended, so that what is shown of it can end."""
        proposal = self._proposals.get(proposal_id)
        data = {"runId": proposal.run_id if proposal else "", "proposalId": proposal_id, "work": work}
        self._ports.publish("work_over", {**data, "outcome": outcome, "cancelled": cancelled})

    def note(self, proposal: Proposal, kind: EventKind, data: Mapping[str, Any]) -> None:
        """One fact for the journal."""
        event = Event(proposal.run_id, kind, {"proposalId": proposal.id, **data}, self._ports.clock.now())
        self._ports.journal.append(event)

    async def check(self, proposal_id: str, witness: Mapping[str, str] | None = None) -> Proposal:
        """The proposal, stale or fresh by the bytes as they are now; versions are not believed."""
        while True:
            proposal = self.get(proposal_id)
            sight = await look(self._ports.files, self._ports.editor)
            moved = await sight.moved({**(witness or {}), **proposal.witness})
            if self._proposals.get(proposal_id) is proposal:
                return self.mark_stale(proposal, moved) if proposal.is_open else proposal


def record_of(proposal: Proposal) -> dict[str, object]:
    """What the journal keeps of a proposal."""
    diff = str(event_data(proposal)["diff"])
    return {
        "summary": proposal.summary,
        "files": [
            {"path": file.edit.path, "kind": file.edit.kind.value, "hunks": len(file.hunks)} for file in proposal.files
        ],
        "diffBytes": len(diff.encode("utf-8", "surrogatepass")),
        "diff": diff[:DIFF_KEPT_CHARS],
        "verdict": proposal.verdict.to_json(),
    }


def wanted_text(args: Mapping[str, Any], key: str) -> str:
    """A text that a command must carry. Raises BadArgumentError."""
    value = args.get(key)
    if not isinstance(value, str) or not value:
        raise BadArgumentError(f"`{key}` is missing", hint=f"Pass {{{key!r}: ...}} as the only argument.")
    return value


def wanted_list(args: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    """A list of texts that a command may carry. Raises BadArgumentError."""
    value = args.get(key)
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise BadArgumentError(f"`{key}` is not a list of texts")
    return tuple(value)
