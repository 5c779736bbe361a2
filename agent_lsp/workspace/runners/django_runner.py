"""Owns running Django's own tests, and those of projects that use it, by the runner that Django has for them."""

import re
from math import inf
from typing import ClassVar, Final

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.ports import Candidate
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.unittest_runner import UnittestRunner

_OWN: Final = "tests/runtests.py"
_PROJECT: Final = "manage.py"
_NAMES_SETTINGS: Final = re.compile(rb"""DJANGO_SETTINGS_MODULE["']\s*,\s*["'][\w.]+["']""")


class DjangoRunner(UnittestRunner):
    """unittest with Django's settings, apps and databases set up; `way` is the file that says how."""

    _framework: ClassVar[str] = "django"

    def __init__(self, interpreter: Interpreter, way: str, timeout_s: float = inf) -> None:
        super().__init__(interpreter, (way,), timeout_s)
        self._way = way

    @property
    def name(self) -> str:
        return f"{super().name}, set up as {self._way} does"

    def describe(self) -> str:
        """A line for doctor."""
        return f"Django's test runner, set up as {self._way} does, with {self._interpreter.describe()}"


async def way_of_django(candidate: Candidate) -> str:
    """`tests/runtests.py` in a checkout of Django itself, else empty: its tests run in no other way."""
    paths = set(await candidate.paths())
    return _OWN if {_OWN, "django/__init__.py", "django/test/runner.py"} <= paths else ""


async def way_of_project(candidate: Candidate) -> str:
    """A project's `manage.py`, if it is one that names Django's settings; else empty."""
    try:
        entry = await candidate.read(_PROJECT)
    except ToolError:
        return ""
    return _PROJECT if entry is not None and _NAMES_SETTINGS.search(entry.content) else ""
