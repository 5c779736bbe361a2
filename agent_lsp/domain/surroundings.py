"""Owns telling an environment that was broken before a change from a failure that the change is to blame for."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from agent_lsp.domain.comparison import Trial, within
from agent_lsp.domain.first_cause import INSTALLED, cause_of, ends_in, passes_through, same_cause, shown
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
    if trial.goal_tests:
        files = {f: text for f, text in _blocked_files(trial).items() if any(_concerns(g, f) for g in failing)}
        cases = _blocked_cases(trial, failing, touched)
        whole = bool(failing) and all(name in cases or any(_concerns(name, f) for f in files) for name in failing)
        return _told(files, cases, trial) if whole else []
    if trial.after.ran:
        return []
    return _told(_blocked_files(trial), _blocked_cases(trial, trial.after.cases, touched), trial)


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


def _blocked_cases(trial: Trial, names: Collection[CaseId], touched: Collection[CaseId]) -> dict[CaseId, str]:
    found = {}
    for name in names:
        was, now = trial.before.cases.get(name), trial.after.cases.get(name)
        if was is None or now is None or name in touched or not (_never_entered(was) and _never_entered(now)):
            continue
        if same_cause(was.message, now.message) and _is_outside(now.message, trial):
            found[name] = now.message
    return found


def _never_entered(case: CaseResult) -> bool:
    return case.outcome.bad and not case.called


def _concerns(goal: CaseId, file: str) -> bool:
    return within(goal, file) or within(file, goal)


def _is_outside(text: str, trial: Trial) -> bool:
    """Whether it is about something that is none of the workspace's, or at least was not raised by changed files.

    A module that is not installed is missing wherever it is asked for. A name that an installed one lacks can be done
    without: where a changed file asks for it, the change could have mended that.
    """
    if _foreign_module(text, trial.modules):
        return True
    lacking = [*((name, "") for name in _NO_MODULE.findall(text)), *_NO_NAME.findall(text)]
    lacking += [(name, "") for name in _NO_ATTRIBUTE.findall(text)]
    if any(_is_own(name, place, trial.modules) for name, place in lacking):
        return False
    is_in = ends_in if lacking else passes_through
    return not any(is_in(text, edit.path) for edit in trial.edits)


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
