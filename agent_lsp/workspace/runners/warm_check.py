"""Owns the comparison of a warm run with a cold one of the same tests on the same files."""

from collections.abc import Mapping
from itertools import zip_longest

from agent_lsp.domain.verdict import SuiteReport

_TOLD = 3


def differences(warm: SuiteReport, cold: SuiteReport) -> dict[str, str]:
    """What the runs tell otherwise, by test or by a word for what belongs to no test; empty where they agree."""
    found: dict[str, str] = {}
    for one, other in zip_longest(warm.cases.values(), cold.cases.values()):
        if one is None or other is None or one.id != other.id:
            found["the tests and their order"] = f"{one.id if one else 'nothing'} / {other.id if other else 'nothing'}"
            break
        if (one.outcome, one.path, one.line) != (other.outcome, other.path, other.line):
            found[one.id] = f"{one.outcome.value} / {other.outcome.value}"
    for word, now, was in (
        ("the exit status", warm.exit_status, cold.exit_status),
        ("how much was collected", warm.collected, cold.collected),
        ("what could not be collected", warm.collection_errors.keys(), cold.collection_errors.keys()),
        ("what was not found", warm.not_found, cold.not_found),
        ("whether it ended", (warm.finished, warm.timed_out), (cold.finished, cold.timed_out)),
        ("the loaded files", warm.loaded, cold.loaded),
        ("the lines of the files", warm.executable, cold.executable),
    ):
        if now != was:
            found[word] = f"{now} / {was}"
    for name in (*_lines(warm.executed, cold.executed), *_lines(warm.executed_failing, cold.executed_failing)):
        found.setdefault(name, "other lines ran")
    unread = sorted(cold.touched - warm.touched)
    if unread:
        found["the files that were read"] = f"not {', '.join(unread[:_TOLD])}"
    return found


def _lines(
    warm: Mapping[str, Mapping[int, frozenset[str]]], cold: Mapping[str, Mapping[int, frozenset[str]]]
) -> set[str]:
    """Tests under which other lines ran."""
    found: set[str] = set()
    for path in warm.keys() | cold.keys():
        now, was = warm.get(path, {}), cold.get(path, {})
        for line in now.keys() | was.keys():
            found |= now.get(line, frozenset()) ^ was.get(line, frozenset())
    return found


def in_words(found: Mapping[str, str]) -> str:
    """A few of the differences."""
    rows = [f"{name}: {text[:200]}" for name, text in list(found.items())[:_TOLD]]
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return "; ".join(rows) + more
