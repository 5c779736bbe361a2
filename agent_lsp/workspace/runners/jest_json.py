"""Owns reading the JSON in which jest and vitest tell of a run."""

import json
from typing import Any, Final

from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.verdict import CaseResult, Outcome
from agent_lsp.workspace.runners.watched_run import Told, relative

_OUTCOMES: Final = {"passed": Outcome.PASSED, "failed": Outcome.FAILED}
_MESSAGE_CHARACTERS: Final = 4_000


def read_jest_json(text: str, candidate: Candidate) -> Told:
    """Its tests as `src/add.test.js::suite::test`. Raises ValueError for what is no such report."""
    try:
        table = json.loads(text)
        cases, broken = [], []
        for file in table["testResults"]:
            path = relative(candidate, file["name"])
            rows = [_case(path, row) for row in file["assertionResults"]]
            cases += rows
            message = str(file.get("message") or "")[-_MESSAGE_CHARACTERS:]
            if file["status"] == "failed" and not rows:
                broken.append((path, message or "it could not be run"))
            elif file["status"] == "failed" and not any(row.outcome.bad for row in rows):
                cases.append(CaseResult(path, Outcome.ERROR, message, path))
        return Told(cases, broken)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no report of jest or vitest ({error})") from error


def _case(path: str, row: dict[str, Any]) -> CaseResult:
    name = "::".join([path, *row["ancestorTitles"], row["title"]])
    message = "\n".join(row.get("failureMessages") or ())[-_MESSAGE_CHARACTERS:]
    place = row.get("location") or {}
    line = place["line"] - 1 if place.get("line") else None
    seconds = float(row.get("duration") or 0.0) / 1000
    return CaseResult(name, _OUTCOMES.get(row["status"], Outcome.SKIPPED), message, path, line, seconds)
