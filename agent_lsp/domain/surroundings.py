"""Owns telling an environment that was broken before a change from a failure that the change is to blame for."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from agent_lsp.domain.comparison import Trial, within
from agent_lsp.domain.first_cause import INSTALLED, cause_of, passes_through, same_cause, shown
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.verdict import CaseResult, SuiteReport

_NAMED: Final = 3
_NO_MODULE = re.compile(r"No module named '([^']+)'")
_NO_NAME = re.compile(r"cannot import name '[^']+' from (?:partially initialized module )?'([^']+)'(?: \(([^)]*)\))?")
_NO_ATTRIBUTE = re.compile(r"module '([^']+)' has no attribute ")
_SERVICE = re.compile(
    r"(?i)connect|operationalerror|gaierror|name resolution|name or service|unreachable|refused|urlerror|"
    r"max retries|timed? ?out|host|socket|network|database|server|broker"
)
_LIBRARY = re.compile(r"\.so\b|shared (?:object|library)|\.dll\b|dlopen")

_HINT_SERVICE = (
    "Tests run without the network and out of reach of services of this machine: start what they need in their own "
    "set-up, or list its address in `sandbox.network_hosts`."
)
_HINT_LIBRARY = "Install the library of the system that is missing; `agent-lsp doctor` tells what tests can see."
_HINT_PYTHON = "`agent-lsp doctor` tells under which Python the tests run, and why no other was taken."
_HINT_ANY = (
    "What these tests need must be there before a change can be tested: a service or the network "
    "(`sandbox.network_hosts`), a file, a setting. `agent-lsp doctor` tells under which Python they run."
)


def trouble_before(trial: Trial, failing: Sequence[CaseId], touched: Collection[CaseId]) -> list[str]:
    """Why the tests could tell nothing, since what they need is missing with and without the change; empty otherwise.

    `failing` are the goal tests that fail with the change, `touched` the failing tests that ran changed lines. Blocked
    are only tests whose own code was never entered, for the same cause on both sides, outside of the change. With goal
    tests all that fail must be blocked, without them nothing may have run.
    """
    files, cases = _blocked_files(trial), _blocked_cases(trial, touched)
    if trial.goal_tests:
        whole = [name for name in failing if name in cases or any(within(name, f) or within(f, name) for f in files)]
        if not failing or len(whole) < len(failing):
            return []
        files = {file: text for file, text in files.items() if any(within(g, file) or within(file, g) for g in failing)}
        cases = {name: text for name, text in cases.items() if name in failing}
    elif trial.after.ran:
        return []
    return _told(files, cases, trial)


def quoted_cause(report: SuiteReport) -> str:
    """What was raised first in a run in which nothing passed, as a sentence; empty where nothing was."""
    texts = [*report.collection_errors.values(), *(case.message for case in report.cases.values() if case.outcome.bad)]
    cause = next((cause for text in texts if (cause := cause_of(text))), "")
    return f"The first cause: {shown(cause)}." if cause else ""


def _blocked_files(trial: Trial) -> dict[str, str]:
    before, after = trial.before.collection_errors, trial.after.collection_errors
    return {
        place: text
        for place, text in after.items()
        if place in before and same_cause(before[place], text) and _is_outside(text, trial)
    }


def _blocked_cases(trial: Trial, touched: Collection[CaseId]) -> dict[CaseId, str]:
    def blocked(case: CaseResult | None) -> bool:
        return case is not None and case.outcome.bad and not case.called

    before = trial.before.cases
    return {
        name: case.message
        for name, case in trial.after.cases.items()
        if blocked(case) and blocked(before.get(name)) and name not in touched
        if same_cause(before[name].message, case.message) and _is_outside(case.message, trial)
    }


def _is_outside(text: str, trial: Trial) -> bool:
    """Whether it is about something that is none of the workspace's, or at least passes through no changed file."""
    missing = _missing(text)
    if missing:
        return not all(_is_own(name, place, trial.modules) for name, place in missing)
    return not any(passes_through(text, edit.path) for edit in trial.edits)


def _missing(text: str) -> list[tuple[str, str]]:
    """Modules that are not there, or lack a name, with the file that they were found in where it is told."""
    found = [(name, "") for name in _NO_MODULE.findall(text)] + _NO_NAME.findall(text)
    return found + [(name, "") for name in _NO_ATTRIBUTE.findall(text)]


def _is_own(name: str, place: str, modules: Collection[str]) -> bool:
    top = name.partition(".")[0]
    if top not in modules or INSTALLED.search(place):
        return False
    return bool(place) or top not in sys.stdlib_module_names


def _foreign_module(text: str, modules: Collection[str]) -> str:
    """The module that an import error misses, if it is none of the workspace's own."""
    return next((name for name in _NO_MODULE.findall(text) if not _is_own(name, "", modules)), "")


def _told(files: Mapping[str, str], cases: Mapping[CaseId, str], trial: Trial) -> list[str]:
    if not files and not cases:
        return []
    missing = {file: name for file, text in files.items() if (name := _foreign_module(text, trial.modules))}
    if missing:
        told = ", ".join(f"{file} needs {name}" for file, name in sorted(missing.items())[:_NAMED])
        return [f"The environment is broken before the change: {told}, which is not installed.", _HINT_PYTHON]
    names = sorted(files) or sorted(cases)
    cause = cause_of({**cases, **files}[names[0]])
    verb = "cannot be collected" if files else "cannot be set up"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    told = f"{', '.join(names[:_NAMED])}{more} {verb} with or without the change"
    return [f"The environment is broken before the change: {told}: {shown(cause)}.", _hint(cause)]


def _hint(cause: str) -> str:
    if _LIBRARY.search(cause):
        return _HINT_LIBRARY
    if cause.startswith(("ImportError", "ModuleNotFoundError", "AttributeError: module")):
        return _HINT_PYTHON
    return _HINT_SERVICE if _SERVICE.search(cause) else _HINT_ANY
