"""Owns how a past run is told: the events of the journal as lines for a person."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from agent_lsp.domain.events import Event, EventKind

_WIDTH: Final = 160

Data = Mapping[str, Any]


def describe(events: Iterable[Event]) -> Iterator[str]:
    """One line or a few per event, with the seconds since the first; then what the whole run used.

    Data of any shape is told as far as it can be: a run of an earlier version must not break its replay.
    """
    started_s: float | None = None
    count, usage = 0, _Sum()
    for event in events:
        if started_s is None:
            started_s = event.time_s
            day = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time_s))
            yield f"Run {event.run_id}, {day}"
        count += 1
        usage.add(event)
        head = f"{max(0.0, event.time_s - started_s):9.2f} s  {event.kind.value:<15}  "
        for number, line in enumerate(told(event)):
            yield (head if number == 0 else " " * len(head)) + line
        if event.kind is EventKind.NOTE:
            yield from str(event.data.get("diff", "")).splitlines()
    if started_s is None:
        yield "The journal holds no such run."
        return
    yield f"{count} events{usage.told()}"


def told(event: Event) -> list[str]:
    """What one event says, in one short line or a few; never empty."""
    teller = _TELLERS.get(event.kind, _rest)
    return [_short(line) for line in teller(event.data) or [""]]


class _Sum:
    """Adds up what model turns used."""

    def __init__(self) -> None:
        self.turns, self.tokens, self.cost_usd = 0, 0, 0.0

    def add(self, event: Event) -> None:
        if event.kind is not EventKind.MODEL_TURN:
            return
        usage = event.data.get("usage")
        self.turns += 1
        if isinstance(usage, Mapping):
            names = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens")
            self.tokens += sum(int(_number(usage.get(name))) for name in names)
            self.cost_usd += _number(usage.get("costUsd"))

    def told(self) -> str:
        if not self.turns:
            return ""
        return f", {self.turns} model turns, {self.tokens} tokens, {self.cost_usd:.4f} USD"


def _state(data: Data) -> list[str]:
    reason = data.get("reason") or data.get("message")
    return [f"{data.get('state', '?')}{f': {reason}' if reason else ''}"]


def _started(data: Data) -> list[str]:
    goal = data.get("goal")
    text = goal.get("text", "") if isinstance(goal, Mapping) else goal
    rest = {key: value for key, value in data.items() if key != "goal"}
    return [f"goal: {text}", *(_rest(rest) if rest else [])]


def _plan(data: Data) -> list[str]:
    plan = data.get("plan")
    steps = data.get("steps") or (plan.get("steps") if isinstance(plan, Mapping) else None)
    lines = [f"{len(_list(steps))} steps"]
    for number, step in enumerate(_list(steps), 1):
        title = step.get("title", "") if isinstance(step, Mapping) else step
        lines.append(f"{number}. {title}")
    return lines


def _turn(data: Data) -> list[str]:
    usage = data.get("usage")
    parts = [str(data.get("model", ""))]
    if data.get("phase"):
        parts.append(str(data["phase"]))
    if isinstance(usage, Mapping):
        parts.append(f"{usage.get('inputTokens', 0)} tokens in, {usage.get('outputTokens', 0)} out")
    lines = [", ".join(part for part in parts if part)]
    if isinstance(data.get("text"), str) and data["text"].strip():
        lines.append(data["text"].strip())
    return lines


def _tool(data: Data) -> list[str]:
    name = data.get("tool") or data.get("name") or "?"
    given = data.get("input")
    return [f"{name} {_compact(given) if given is not None else ''}".rstrip()]


def _answered(data: Data) -> list[str]:
    failed = "failed: " if data.get("failed") else ""
    name = data.get("tool") or data.get("name") or ""
    text = str(data.get("text") or data.get("result") or "")
    size = f" ({len(text)} characters)" if len(text) > _WIDTH else ""
    return [f"{name} {failed}{text.strip().splitlines()[0] if text.strip() else ''}{size}".strip()]


def _validation(data: Data) -> list[str]:
    verdict = data.get("verdict")
    if not isinstance(verdict, Mapping):
        return _rest(data)
    counts = [
        f"{len(_list(verdict.get(key)))} {said}"
        for key, said in (("fixed", "fixed"), ("broken", "broken"), ("stillFailing", "as before"), ("flaky", "flaky"))
        if key in ("fixed", "broken") or verdict.get(key)
    ]
    part = f"{len(_list(data.get('hunks')))} hunks alone: " if data.get("hunks") else ""
    ran = f"{verdict.get('ran', 0)} of {verdict.get('collected', 0)} tests ran"
    line = f"{part}{verdict.get('decision', '?')}: {', '.join(counts)}; {ran} in {verdict.get('durationS', 0)} s"
    survivors = [row for row in _list(verdict.get("survivors")) if isinstance(row, Mapping)]
    unnoticed = [
        f"not noticed at {row.get('path')}:{_number(row.get('line')) + 1:.0f}: {row.get('text')}" for row in survivors
    ]
    return [line, *(str(reason) for reason in _list(verdict.get("reasons"))), *unnoticed]


def _proposal(data: Data) -> list[str]:
    lines = [f"{data.get('proposalId', '')} {data.get('summary', '')}".strip()]
    for row in _list(data.get("files")):
        if isinstance(row, Mapping):
            hunks = row.get("hunks", 0)
            count = len(hunks) if isinstance(hunks, Sequence) else hunks
            lines.append(f"{row.get('kind', '')} {row.get('path', '')}: {count} hunks")
    diff = data.get("diff")
    if isinstance(diff, str):
        added = sum(line.startswith("+") and not line.startswith("+++") for line in diff.split("\n"))
        removed = sum(line.startswith("-") and not line.startswith("---") for line in diff.split("\n"))
        lines.append(f"diff: +{added} -{removed} lines, {data.get('diffBytes', len(diff))} bytes")
    return [*lines, *(_validation(data) if isinstance(data.get("verdict"), Mapping) else [])]


def _written(data: Data) -> list[str]:
    lines = [f"{data.get('checkpointId', '')} {data.get('label', '')}".strip()]
    rows = [row for row in _list(data.get("files")) if isinstance(row, Mapping)]
    lines += [f"{row.get('path', '')} ({'open document' if row.get('inEditor') else 'on disk'})" for row in rows]
    if data.get("override"):
        lines.append(f"{data.get('verdict', '')}, {data['override']}")
    if data.get("left"):
        lines.append(f"left as they were: {', '.join(map(str, _list(data['left'])))}")
    return lines


def _rest(data: Data) -> list[str]:
    return [", ".join(f"{key} {value if isinstance(value, str) else _compact(value)}" for key, value in data.items())]


def _note(data: Data) -> list[str]:
    """A change that could not be carried over is told by `describe`, whole."""
    return _rest({key: value for key, value in data.items() if key != "diff"})


_TELLERS: Final[Mapping[EventKind, Callable[[Data], list[str]]]] = {
    EventKind.RUN_STARTED: _started,
    EventKind.RUN_STATE: _state,
    EventKind.RUN_ENDED: _state,
    EventKind.PLAN: _plan,
    EventKind.MODEL_TURN: _turn,
    EventKind.TOOL_CALLED: _tool,
    EventKind.TOOL_ANSWERED: _answered,
    EventKind.VALIDATION: _validation,
    EventKind.PROPOSAL: _proposal,
    EventKind.NOTE: _note,
    EventKind.APPLY_INTENT: _written,
    EventKind.APPLY_DONE: _written,
    EventKind.APPLY_UNDONE: _written,
    EventKind.ROLLBACK_INTENT: _written,
    EventKind.ROLLBACK_DONE: _written,
}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _compact(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _short(line: str) -> str:
    """One printable line of a bounded length."""
    flat = "".join(char if char.isprintable() else " " for char in line)
    return (flat if len(flat) <= _WIDTH else flat[: _WIDTH - 1] + "…").rstrip()
