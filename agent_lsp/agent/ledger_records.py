"""Owns a run's deeds as plain data: plans, judgements, decisions, verdicts, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent_lsp.agent.proposal_records import verdict_of
from agent_lsp.domain.plan import Plan, Reflection, ReflectionDecision, Step, StepState
from agent_lsp.domain.verdict import Evidence


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan with the states of its steps."""
    return {"steps": [step.to_json() for step in plan.steps]}


def steps_kept(rows: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The steps that `Step.to_json` wrote."""
    return tuple(
        Step(row["title"], row["detail"], tuple(row["files"]), row["acceptance"], StepState(row["state"]))
        for row in rows
    )


def reflection_data(reflection: Reflection) -> dict[str, Any]:
    """A judgement."""
    steps = [step.to_json() for step in reflection.steps]
    told = {"decision": reflection.decision.value, "reason": reflection.reason, "assessment": reflection.assessment}
    return {**told, "steps": steps}


def reflection_of(data: Mapping[str, Any]) -> Reflection:
    """The judgement that `reflection_data` wrote."""
    decision = ReflectionDecision(data["decision"])
    return Reflection(decision, str(data["reason"]), str(data["assessment"]), steps_kept(data["steps"]))


def evidence_data(evidence: Evidence) -> dict[str, Any]:
    """A verdict and what it rests on; not the reports behind it."""
    return {"verdict": evidence.verdict.to_json(), "witness": dict(evidence.witness)}


def evidence_of(data: Mapping[str, Any]) -> Evidence:
    """The evidence that `evidence_data` wrote."""
    return Evidence(verdict_of(data["verdict"]), None, None, dict(data["witness"]))
