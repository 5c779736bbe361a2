"""Owns what pytest tells of a run: ids from the workspace's root, phases, outcomes, places. PYTEST_DONT_REWRITE.

Needs pytest 6 or newer, on Python 3.8 or newer.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from agent_lsp_record import Clock, Recorder, shorten  # type: ignore[import-not-found]

RECORDER: Recorder = None
"""Set by agent_lsp_start before pytest begins."""

_PHASES: list[Any] = []

_OFF: dict[str, Any] = {
    "no_cov": True,
    "numprocesses": None,
    "dist": "no",
    "tx": [],
    "forked": False,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "looponfail": False,
    "randomly_reorganize": False,
    "randomly_seed": 1,
    "random_order_enabled": False,
    "random_order_bucket": "default:module",
    "random_order_seed": "default:1",
    "usepdb": False,
    "trace": False,
    "xmlpath": None,
    "htmlpath": None,
    "continue_on_collection_errors": True,
}
"""Options of the project that would hide tests, stop early, leave this process, shuffle the tests anew in each run or
write reports into the workspace."""

_RELIED_ON: tuple[tuple[str, str, str], ...] = (
    ("_pytest.runner", "CallInfo", "from_call"),
    ("_pytest.runner", "", "call_runtest_hook"),
    ("_pytest.runner", "", "call_and_report"),
    ("_pytest.runner", "", "runtestprotocol"),
    ("_pytest.runner", "", "pytest_runtest_makereport"),
    ("_pytest.runner", "", "pytest_runtest_call"),
    ("_pytest.reports", "TestReport", "from_item_and_call"),
    ("_pytest.python", "", "pytest_pyfunc_call"),
    ("_pytest.python", "Function", "runtest"),
)
"""Module, class and name of what decides an outcome in pytest; what a version does not have is passed over."""

_KEPT: list[tuple[str, Any, str, Any, Any]] = []
"""What stood where when the session began: words for it, its owner, its name there, the function, its code."""

_SHARED = ("__init__.py", "conftest.py")
"""Files that others depend on, whoever has their tests."""


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(early_config: Any) -> Any:
    _set_options(early_config.known_args_namespace)
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    _set_options(config.option)
    config.option.maxfail = 1 if RECORDER.fail_fast else 0
    if getattr(config.option, "tbstyle", "auto") in ("auto", "no", "line"):
        config.option.tbstyle = "short"
    root = str(getattr(config, "rootpath", None) or config.rootdir)
    RECORDER.report.write("framework", name="pytest", version=pytest.__version__, rootdir=root)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Plugins and the first conftests have made their changes by now; the code under test comes later."""
    if any(words.startswith("pytest's") for words, *_ in _KEPT):
        return
    for module, kind, name in _RELIED_ON:
        owner = sys.modules.get(module)
        owner = getattr(owner, kind, None) if kind else owner
        _keep("pytest's " + (kind + "." if kind else "") + name, owner, name)


def _keep(words: str, owner: Any, name: str) -> None:
    function = _function(owner, name)
    if function is not None:
        _KEPT.append((words, owner, name, function, getattr(function, "__code__", None)))


def _function(owner: Any, name: str) -> Any:
    found = getattr(owner, name, None)
    return getattr(found, "__func__", found)


def replaced() -> list[str]:
    """What code of the workspace has put something else in place of, since the session began."""
    return [words for words, owner, name, was, code in _KEPT if _is_foreign(_function(owner, name), was, code)]


def _is_foreign(now: Any, was: Any, code: Any) -> bool:
    """Plugins that are installed may change pytest late; they are not what is judged."""
    found = getattr(now, "__code__", None)
    if now is was and found is code:
        return False
    file = getattr(found, "co_filename", "")
    installed = "site-packages" in file or "dist-packages" in file
    return not file or (bool(RECORDER.relative(file)) and not installed)


def _set_options(options: Any) -> None:
    for name, value in _OFF.items():
        if hasattr(options, name):
            setattr(options, name, value)


def case_id(item: Any) -> str:
    """pytest's id, with its path from the workspace's root."""
    _, mark, rest = item.nodeid.partition("::")
    path = RECORDER.relative(getattr(item, "path", None) or item.fspath)
    return path + mark + rest if path else str(item.nodeid)


def _left_out(path: Any) -> Any:
    """A file whose tests another part of the run has is not even imported, where it makes nothing else."""
    name = str(path)
    if not RECORDER.sharded or not name.endswith(".py") or name.endswith(_SHARED):
        return None
    place = RECORDER.relative(name)
    return True if place and not RECORDER.belongs(place) else None


if int(pytest.__version__.partition(".")[0]) >= 7:

    def pytest_ignore_collect(collection_path: Any) -> Any:
        return _left_out(collection_path)

else:

    def pytest_ignore_collect(path: Any) -> Any:  # type: ignore[misc]
        return _left_out(path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    if RECORDER.tests:
        items[:] = [item for item in items if RECORDER.wanted(case_id(item))]
    if RECORDER.sharded:
        items[:] = [item for item in items if RECORDER.belongs(case_id(item).partition("::")[0])]
    if RECORDER.first and not RECORDER.tests:
        items.sort(key=lambda item: case_id(item).partition("::")[0] not in RECORDER.first)


def pytest_deselected(items: list[Any]) -> None:
    RECORDER.report.write("deselected", ids=[case_id(item) for item in items])


def pytest_collection_finish(session: Any) -> None:
    RECORDER.collect([case_id(item) for item in session.items])


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: Any) -> Any:
    outcome = yield
    report = outcome.get_result()
    if report.outcome != "passed":
        path = RECORDER.relative(getattr(collector, "path", None) or collector.fspath)
        text = shorten(str(getattr(report, "longreprtext", "") or report.longrepr))
        RECORDER.report.write("uncollected", id=path or collector.nodeid, outcome=report.outcome, message=text)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Any:
    name = case_id(item)
    _PHASES.clear()
    RECORDER.begin(name)
    clock = Clock(RECORDER, pytest.fail)
    armed = clock.arm(name)
    outcome = yield
    if armed:
        clock.disarm()
    if outcome.excinfo is not None:
        return
    phases = [report for report in _PHASES if report.outcome != "rerun"]
    worst = next((report for report in phases if report.outcome == "failed"), None)
    place = worst or (phases[-1] if phases else None)
    path, line = _place(place, item)
    RECORDER.end(
        name,
        _outcome(phases),
        message=_message(place),
        path=path,
        line=line,
        seconds=sum(getattr(report, "duration", 0.0) for report in phases),
        phases={report.when: report.outcome for report in phases},
    )
    if RECORDER.enough():
        item.session.shouldstop = "the time for these tests is over"


def pytest_runtest_logreport(report: Any) -> None:
    _PHASES.append(report)


def _outcome(phases: list[Any]) -> str:
    called = [report for report in phases if report.when == "call"]
    if any(report.outcome == "failed" for report in phases if report.when != "call"):
        return "error"
    if any(report.outcome == "failed" for report in called):
        return "failed"
    skipped = [report for report in phases if report.outcome == "skipped"]
    if any(hasattr(report, "wasxfail") for report in skipped):
        return "xfailed"
    if not called or any(report.when == "setup" for report in skipped):
        return "skipped" if skipped else "error"
    if called and all(report.outcome == "skipped" for report in called):
        return "skipped"
    return "xpassed" if any(hasattr(report, "wasxfail") for report in called) else "passed"


def _message(report: Any) -> str:
    if report is None:
        return "pytest told nothing of this test."
    if report.outcome == "failed":
        return str(shorten(report.longreprtext or str(report.longrepr)))
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        return str(shorten(str(reason)))
    return ""


def _place(report: Any, item: Any) -> tuple[str, int | None]:
    """Where it failed, else where the test stands; zero-based, as pytest's own locations are."""
    told = getattr(report, "longrepr", None)
    examples = getattr(told, "reprlocation_lines", None)
    crash = examples[0][0] if examples else getattr(told, "reprcrash", None)
    if crash is not None and crash.lineno is not None and RECORDER.relative(crash.path):
        return RECORDER.relative(crash.path), max(0, crash.lineno - 1)
    return RECORDER.relative(getattr(item, "path", None) or item.fspath), item.location[1]


def pytest_sessionfinish(session: Any) -> None:
    RECORDER.stopped = str(session.shouldfail or session.shouldstop or "")


def _keep_own() -> None:
    here = sys.modules[__name__]
    for name, value in list(vars(here).items()):
        if isinstance(value, types.FunctionType) and value.__module__ == __name__:
            _keep("the plugin's " + name, here, name)
    for name in ("begin", "end", "collect", "finish"):
        _keep("the report's " + name, Recorder, name)


_keep_own()
