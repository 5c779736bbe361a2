"""Owns finding and running unittest tests, and telling them by ids like `tests/test_a.py::Case::test_x`.

Runs under the workspace's interpreter (Python 3.8 or newer, standard library only).
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH110, PTH118, PTH119, PTH120

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from typing import Any

from agent_lsp_record import Clock, Recorder, answers, shorten  # type: ignore[import-not-found]

RECORDER: Recorder = None
"""Set by agent_lsp_start before the tests begin."""

_SKIPPED_FOLDERS = {"__pycache__", "node_modules", "build", "dist", "venv", "env"}


def run(patterns: list[str]) -> None:
    """Runs the asked tests, or all `test*.py` files under the root; ends with unittest's exit status."""
    root = RECORDER.root
    RECORDER.report.write("framework", name="unittest", version=sys.version.split()[0], rootdir=root)
    suite = unittest.TestSuite()
    for path in _files(root, patterns or ["test*.py"]):
        if not RECORDER.tests or any(_concerns(path, want) for want in RECORDER.tests):
            suite.addTests(_load(root, path))
    sys.exit(0 if run_suite(suite).wasSuccessful() else 1)


def run_suite(suite: Any) -> Any:
    """Runs the tests of a suite, and tells of them."""
    tests = list(flat(suite))
    if RECORDER.enough_s:  # what must not be cut off goes first
        tests.sort(key=lambda test: case_id(test).partition("::")[0] not in RECORDER.first)
        suite = unittest.TestSuite(tests)
    RECORDER.collect([case_id(test) for test in tests])
    result = _Result(failfast=RECORDER.fail_fast)
    suite.run(result)
    for test in result.unheard(tests):
        told = {"message": result.class_trouble(test), "path": "", "line": None, "seconds": 0.0}
        RECORDER.end(case_id(test), "error", phases={"setup": "failed"}, **told)
    return result


def case_id(test: Any) -> str:
    """The file, class and method of a test."""
    module = sys.modules.get(type(test).__module__)
    path = RECORDER.relative(getattr(module, "__file__", None) or "/")
    return "::".join([path or type(test).__module__, type(test).__qualname__, test._testMethodName])


def _concerns(path: str, want: str) -> bool:
    file = want.partition("::")[0]
    return bool(answers(path, file)) or file == path


def _files(root: str, patterns: list[str]) -> Iterator[str]:
    from fnmatch import fnmatch

    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if not n.startswith(".") and n not in _SKIPPED_FOLDERS)
        names[:] = [n for n in names if not os.path.exists(os.path.join(folder, n, "pyvenv.cfg"))]
        for name in sorted(files):
            if name.endswith(".py") and any(fnmatch(name, pattern) for pattern in patterns):
                yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def _load(root: str, path: str) -> list[Any]:
    """The asked tests of one file; a file that cannot be imported is told as not collected."""
    base, name = os.path.dirname(path), os.path.basename(path)[:-3]
    while base and os.path.exists(os.path.join(root, base, "__init__.py")):
        name = os.path.basename(base) + "." + name
        base = os.path.dirname(base)
    top = os.path.join(root, base) if base else root
    if top not in sys.path:
        sys.path.insert(0, top)
    try:
        known = sys.modules.get(name)
        if known is not None and RECORDER.relative(getattr(known, "__file__", None) or "/") != path:
            del sys.modules[name]
        module = importlib.import_module(name)
    except unittest.SkipTest:
        return []
    except BaseException as error:  # noqa: BLE001  (any file of the workspace may fail in any way)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            error = ImportError(f"importing it ended the process: {error!r}")
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        RECORDER.report.write("uncollected", id=path, outcome="failed", message=shorten(text))
        return []
    tests = [
        test for test in flat(unittest.defaultTestLoader.loadTestsFromModule(module)) if not uncollected(test, path)
    ]
    return [test for test in tests if not RECORDER.tests or RECORDER.wanted(case_id(test))]


def flat(suite: Any) -> Iterator[Any]:
    """The tests of a suite and of those in it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def uncollected(test: Any, path: str = "") -> bool:
    """Whether it stands for what could not be imported, which is told then."""
    if type(test).__name__ != "_FailedTest":
        return False
    place = path or test._testMethodName
    RECORDER.report.write("uncollected", id=place, outcome="failed", message=shorten(str(test._exception)))
    return True


class _Result(unittest.TestResult):
    """Tells each test as it ends; a sub-test that fails, fails its test."""

    def __init__(self, failfast: bool) -> None:
        super().__init__()
        self.failfast = failfast
        self._heard: set[str] = set()
        self._groups: dict[str, str] = {}
        self._outcome, self._error, self._began = "passed", None, 0.0
        self._current = ""
        self._armed, self._clock = False, Clock(RECORDER, _stop)

    def startTest(self, test: Any) -> None:  # noqa: N802
        super().startTest(test)
        self._outcome, self._error, self._reason = "passed", None, ""
        self._began = time.perf_counter()
        self._current = case_id(test)
        RECORDER.begin(self._current)
        self._armed = self._clock.arm(self._current)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        if self._armed:
            self._clock.disarm()
        name, self._current = case_id(test), ""
        if name in self._heard:
            return
        self._heard.add(name)
        text, path, line = _told(self._error, test) if self._error else (self._reason, name.partition("::")[0], None)
        seconds = time.perf_counter() - self._began
        RECORDER.end(name, self._outcome, message=text, path=path, line=line, seconds=seconds)
        if RECORDER.enough():
            self.stop()

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        if not hasattr(test, "_testMethodName"):
            text = "".join(traceback.format_exception(*err))
            self._groups[str(getattr(test, "description", test))] = shorten(text)
        else:
            self._bad("error", err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._bad("failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._bad("failed" if issubclass(err[0], test.failureException) else "error", err)

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        if not hasattr(test, "_testMethodName"):
            self._groups[str(getattr(test, "description", test))] = "skipped: " + reason
        elif self._current != case_id(test):  # Python 3.12.1 does not start a test that is skipped
            self._heard.add(case_id(test))
            RECORDER.end(case_id(test), "skipped", message=reason, path="", line=None, seconds=0.0)
        elif self._outcome == "passed":
            self._outcome, self._reason = "skipped", reason

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._outcome = "xfailed"

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._outcome, self._reason = "failed", "It was expected to fail and passed."

    def _bad(self, outcome: str, err: Any) -> None:
        if self._outcome != "error":
            self._outcome, self._error = outcome, err

    def unheard(self, tests: list[Any]) -> list[Any]:
        """Tests that never started because the set-up of their class or module failed."""
        if self.shouldStop:
            return []
        return [test for test in tests if case_id(test) not in self._heard and not self._skipped(test)]

    def class_trouble(self, test: Any) -> str:
        """Why a test's class or module could not be set up."""
        return self._group(test) or "It never started: the set-up of its class or module failed."

    def _group(self, test: Any) -> str:
        kind = type(test)
        marks = (f"({kind.__module__}.{kind.__qualname__})", f"({kind.__module__})")
        return next((text for name, text in self._groups.items() if name.endswith(marks)), "")

    def _skipped(self, test: Any) -> bool:
        reason = self._group(test)
        if not reason.startswith("skipped: "):
            return False
        RECORDER.end(case_id(test), "skipped", message=reason[9:], path="", line=None, seconds=0.0)
        return True


def _stop(words: str) -> None:
    raise TimeoutError(words)


def _told(err: Any, test: Any) -> tuple[str, str, int | None]:
    text = shorten("".join(traceback.format_exception(*err)))
    path, line = case_id(test).partition("::")[0], None
    for frame, number in traceback.walk_tb(err[2]):
        place = RECORDER.relative(frame.f_code.co_filename)
        if place:
            path, line = place, number - 1
    return text, path, line
