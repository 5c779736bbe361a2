"""Owns the words in which a test run is told to a model: failures first, bounded, with what to do about them."""

from collections.abc import Collection, Iterable

from agent_lsp.agent.suspects import suspects_text
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import CaseResult, Evidence, SuiteReport

LIMIT_CHARS = 8000
_ONE_CHARS = 1500


def failure_text(result: SuiteReport | Evidence, limit_chars: int = LIMIT_CHARS) -> str:
    """A run, or a verdict with its runs, for a model: what fails and why, then the counts.

    Of a verdict, the tests that the change broke and those it should have fixed come before those that fail as ever.
    """
    if isinstance(result, SuiteReport):
        return _bounded(
            [_counts(result), *_suspects(result, ()), *_troubles(result), *_failures(result, ())], limit_chars
        )
    verdict, after = result.verdict, result.after
    parts = [f"Verdict: {verdict.decision.value}.", *verdict.reasons]
    if verdict.broken:
        parts.append(f"Broken by the change: {', '.join(verdict.broken)}")
    if verdict.removed_or_weakened:
        parts.append("Tests removed or weakened, or set up in another way: " + "; ".join(verdict.removed_or_weakened))
    if after is not None:
        parts += [_counts(after), *_suspects(after, verdict.broken), *_troubles(after)]
        parts += _failures(after, verdict.broken)
    return _bounded(parts, limit_chars)


def _suspects(report: SuiteReport, failing: Collection[CaseId]) -> list[str]:
    text = suspects_text(report, failing)
    return [text] if text else []


def _counts(report: SuiteReport) -> str:
    bad, good = len(report.failing()), len(report.passing())
    text = f"{bad} failed, {good} passed of {report.collected} collected ({report.runner}, {report.duration_s:.1f} s)."
    if report.not_found:
        text += f" Not found: {', '.join(report.not_found)}."
    return text


def _troubles(report: SuiteReport) -> Iterable[str]:
    if not report.finished:
        yield f"The run did not come to its end: {report.trouble}."
    for place, message in report.collection_errors.items():
        yield f"=== cannot be collected: {place}\n{_tail(message)}"
    if not report.cases and not report.collection_errors and report.output:
        yield _tail(report.output)


def _failures(report: SuiteReport, first: Iterable[str]) -> Iterable[str]:
    order = list(first)
    bad = [case for case in report.cases.values() if case.outcome.bad]
    bad.sort(key=lambda case: (case.id not in order, bool(case.path == "")))
    for case in bad:
        yield _failure(case)


def _failure(case: CaseResult) -> str:
    place = f" ({case.path}:{case.line + 1})" if case.path and case.line is not None else ""
    return f"=== {case.outcome.value}: {case.id}{place}\n{_tail(case.message)}"


def _tail(text: str) -> str:
    return text if len(text) <= _ONE_CHARS else "[...]" + text[-_ONE_CHARS:]


def _bounded(parts: Iterable[str], limit_chars: int) -> str:
    """As many whole parts as fit, and how many were left out."""
    kept: list[str] = []
    used = 0
    rows = list(parts)
    for number, part in enumerate(rows):
        if kept and used + len(part) > limit_chars:
            kept.append(f"[{len(rows) - number} more left out]")
            break
        kept.append(part[:limit_chars])
        used += len(part) + 1
    return "\n".join(kept)
