"""Owns running unittest tests as Django does: its settings and apps set up, and its own runner with our listener in it.

Runs under the workspace's interpreter (Python 3.8 or newer, standard library and the workspace's Django only). The way
comes as the first argument: `tests/runtests.py` of Django itself, or a project's `manage.py`.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH110, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import unittest
from typing import Any

import agent_lsp_unittest  # type: ignore[import-not-found]
from agent_lsp_record import Recorder  # type: ignore[import-not-found]

RECORDER: Recorder = None
"""Set by agent_lsp_start before the tests begin."""

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")


def run(arguments: list[str]) -> None:
    """Runs the asked tests, or all that Django finds; ends with unittest's exit status."""
    agent_lsp_unittest.RECORDER = RECORDER
    way = os.path.join(RECORDER.root, arguments[0])
    home = os.path.dirname(way)
    if home not in sys.path:
        sys.path.insert(0, home)
    own = os.path.basename(way) == "runtests.py"
    wanted = {label for want in RECORDER.tests for label in _labels(want, home)}
    if RECORDER.tests and not wanted:
        RECORDER.collect([])
        sys.exit(0)
    labels = [] if "" in wanted else sorted(wanted)
    if own:
        labels, _state = _of_django(way, labels)
    else:
        _of_project(way)
    failures = _runner(home, labels)(verbosity=0, interactive=False).run_tests(labels)
    sys.exit(1 if failures else 0)


def _labels(want: str, home: str) -> list[str]:
    """What Django calls the file that an asked id or path means: a dotted module, seen from `home`; empty for all."""
    path = os.path.join(RECORDER.root, want.partition("::")[0])
    relative = os.path.relpath(path, home)
    if relative == "." or home.startswith(os.path.join(path, "")):
        return [""]
    if relative.startswith("..") or not os.path.exists(path):
        return []
    return [relative[:-3].replace(os.sep, ".") if relative.endswith(".py") else relative.replace(os.sep, ".")]


def _failed(test: Any, home: str, labels: list[str]) -> bool:
    """Whether it stands for a module that could not be imported, which is told of its file."""
    name = str(getattr(test, "_testMethodName", ""))
    dotted = next((label for label in labels if label == name or label.endswith("." + name)), name)
    place = os.path.join(home, *dotted.split("."))
    found = next((path for path in (place + ".py", place) if os.path.exists(path)), "")
    return bool(agent_lsp_unittest.uncollected(test, RECORDER.relative(found) if found else ""))


def _of_django(way: str, labels: list[str]) -> tuple[list[str], Any]:
    """What `runtests.py` does before it runs, in the words of its version; the labels it then runs."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "test_sqlite")
    spec: Any = importlib.util.spec_from_file_location("runtests", way)
    module = importlib.util.module_from_spec(spec)
    sys.modules["runtests"] = module
    spec.loader.exec_module(module)
    prepare = getattr(module, "setup_run_tests", None) or module.setup
    values = dict.fromkeys(inspect.signature(prepare).parameters)
    known = {"verbosity": 0, "test_labels": labels, "parallel": 1, "start_at": "", "start_after": ""}
    state = prepare(**{name: known.get(name) for name in values})
    if isinstance(state, tuple):
        labels, state = state
    return labels or module.get_installed(), state


def _of_project(way: str) -> None:
    """What `manage.py` does: its settings, and the apps loaded."""
    with open(way, encoding="utf-8") as stream:
        found = _SETTINGS.search(stream.read())
    if found:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", found[1])
    import django  # type: ignore[import-not-found]

    django.setup()


def _runner(home: str, labels: list[str]) -> Any:
    """The class of the configured runner, with our way of listening; all else of it is as it is."""
    from django.conf import settings  # type: ignore[import-not-found]
    from django.test.utils import get_runner  # type: ignore[import-not-found]

    if not hasattr(settings, "TEST_RUNNER"):
        settings.TEST_RUNNER = "django.test.runner.DiscoverRunner"
    base: Any = get_runner(settings)

    class Listening(base):  # type: ignore[misc]
        """Runs what was asked for, in Django's order."""

        def build_suite(self, *arguments: Any, **named: Any) -> Any:
            suite = super().build_suite(*arguments, **named)
            tests = [test for test in agent_lsp_unittest.flat(suite) if not _failed(test, home, labels)]
            if RECORDER.tests:
                tests = [test for test in tests if RECORDER.wanted(agent_lsp_unittest.case_id(test))]
            return unittest.TestSuite(tests)

        def run_checks(self, *_arguments: Any, **_named: Any) -> None:
            """A suite is judged by its tests."""

        def run_suite(self, suite: Any, **_named: Any) -> Any:
            return agent_lsp_unittest.run_suite(suite)

    return Listening
