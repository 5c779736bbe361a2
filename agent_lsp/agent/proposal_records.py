"""Owns a proposal as it is kept on disk: everything that the next runtime needs to offer it again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent_lsp.agent.proposals import Proposal
from agent_lsp.domain.ids import CaseId, HunkId, ProposalId
from agent_lsp.domain.keeping import KeptProposal
from agent_lsp.domain.ports import Snapshot
from agent_lsp.domain.task import Goal, LineRange, Mode, Problem, RunState
from agent_lsp.domain.verdict import AddedCase, Decision, Evidence, SuiteReport, Survivor, UnrunLine, Verdict

MOST_EXECUTED: Final = 20_000
"""Pairs of a changed line and a test that ran it which are kept; without them a missing hunk is named less exactly."""


def kept(proposal: Proposal) -> KeptProposal:
    """What is stored. Whether it is stale is not: the bytes tell, whenever it comes back."""
    verdict = proposal.evidence.verdict
    data = {
        "goal": goal_data(proposal.goal),
        "summary": proposal.summary,
        "base": {"tree": proposal.base.tree, "buffers": dict(proposal.base.buffers)},
        "verdict": verdict.to_json(),
        "witness": dict(proposal.evidence.witness),
        "executed": _executed_data(proposal),
        "discarded": sorted(proposal.discarded),
        "applied": sorted(proposal.applied),
        "names": dict(proposal.names),
        "goalTests": list(proposal.goal_tests),
        "checkpointId": proposal.checkpoint_id,
        "trouble": proposal.trouble,
        "inConflict": proposal.in_conflict,
    }
    return KeptProposal(proposal.id, proposal.run_id, data, proposal.edits)


def brought_back(record: KeptProposal) -> Proposal:
    """The proposal as it was. Raises ValueError, KeyError or TypeError for what another version wrote otherwise."""
    data = record.data
    executed = {
        str(path): {int(line): frozenset(CaseId(test) for test in tests) for line, tests in lines.items()}
        for path, lines in data["executed"].items()
    }
    after = SuiteReport("kept", executed=executed) if executed else None
    return Proposal(
        ProposalId(record.id),
        record.run_id,
        goal_kept(data["goal"]),
        str(data["summary"]),
        Snapshot(str(data["base"]["tree"]), dict(data["base"]["buffers"])),
        record.edits,
        Evidence(verdict_of(data["verdict"]), None, after, dict(data["witness"])),
        discarded=frozenset(HunkId(name) for name in data["discarded"]),
        applied=frozenset(HunkId(name) for name in data["applied"]),
        names={HunkId(name): HunkId(shown) for name, shown in data["names"].items()},
        goal_tests=tuple(CaseId(test) for test in data["goalTests"]),
        checkpoint_id=data["checkpointId"],
        state=RunState.PROPOSED,
        trouble=str(data["trouble"]),
        in_conflict=bool(data.get("inConflict", True)),
    )


def _executed_data(proposal: Proposal) -> dict[str, dict[str, list[str]]]:
    after = proposal.evidence.after
    if after is None:
        return {}
    found = {
        edit.path: {str(line): sorted(tests) for line, tests in after.executed.get(edit.path, {}).items()}
        for edit in proposal.edits
    }
    size = sum(len(tests) for lines in found.values() for tests in lines.values())
    return found if size <= MOST_EXECUTED else {}


def goal_data(goal: Goal) -> dict[str, Any]:
    """What a person asked for."""
    return {
        "text": goal.text,
        "path": goal.path,
        "lines": None if goal.lines is None else [goal.lines.start_line, goal.lines.end_line],
        "problems": _problems_data(goal.problems),
        "tests": list(goal.tests),
        "scope": list(goal.scope),
        "mode": goal.mode.value,
        "tier": goal.tier,
        "background": goal.background,
        "nearby": _problems_data(goal.nearby),
    }


def goal_kept(data: Mapping[str, Any]) -> Goal:
    """The goal that `goal_data` wrote."""
    lines = data["lines"]
    return Goal(
        str(data["text"]),
        data["path"],
        None if lines is None else LineRange(int(lines[0]), int(lines[1])),
        _problems_kept(data["problems"]),
        tuple(CaseId(test) for test in data["tests"]),
        tuple(data["scope"]),
        Mode(data["mode"]),
        data.get("tier"),
        bool(data.get("background", False)),
        _problems_kept(data.get("nearby", ())),
    )


def _problems_data(problems: Sequence[Problem]) -> list[list[Any]]:
    return [[row.path, row.line, row.message, row.source, row.code] for row in problems]


def _problems_kept(rows: Sequence[Sequence[Any]]) -> tuple[Problem, ...]:
    return tuple(Problem(path, line, message, source, code) for path, line, message, source, code in rows)


def verdict_of(data: Mapping[str, Any]) -> Verdict:
    """The verdict that `Verdict.to_json` wrote."""
    return Verdict(
        Decision(data["decision"]),
        tuple(data["reasons"]),
        tuple(data["fixed"]),
        tuple(data["broken"]),
        tuple(data["stillFailing"]),
        tuple(data["flaky"]),
        tuple(AddedCase(row["id"], bool(row["failedWithoutChange"])) for row in data["added"]),
        tuple(data["removedOrWeakened"]),
        int(data["collected"]),
        int(data["ran"]),
        int(data["changedLines"]),
        int(data["changedLinesRun"]),
        tuple(UnrunLine(row["path"], int(row["line"])) for row in data["unrunLines"]),
        str(data["selection"]),
        float(data["durationS"]),
        str(data["candidate"]),
        _survivors(data.get("survivors")),
    )


def _survivors(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Survivor, ...] | None:
    return None if rows is None else tuple(Survivor(row["path"], int(row["line"]), row["text"]) for row in rows)
