"""What every test run needs: reports that can travel between processes, and no wrong message that goes unseen.

The projects of the tests find a Python with pytest and nothing else (tests/lean_python.py).
"""

import sys
from collections.abc import Generator, Iterator

import pytest

from tests import lean_python
from tests.judge import meta_model


def pytest_configure() -> None:
    """Before anything is started."""
    lean_python.come_first()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: not ("soak" in item.path.parts or item.path.stem == "test_long_session"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured output with lone surrogates, which tests of bad input log, cannot be sent as it is."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_report_header() -> str:
    """Whether LSP's meta model is there to judge by."""
    model = meta_model.load()
    return meta_model.MISSING if model is None else f"messages are judged by LSP's meta model {model.version}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The same at the end of a quiet run, where it is not there."""
    if meta_model.load() is None:
        terminalreporter.write_line(meta_model.MISSING, yellow=True)


@pytest.fixture(autouse=True)
def judged() -> Iterator[None]:
    """Every conversation of the test was lawful (tests/judge)."""
    yield
    judging = sys.modules.get("tests.judge.judge")
    if judging is not None:
        problems = [problem for judge in judging.CONVERSATIONS for problem in judge.problems]
        judging.CONVERSATIONS.clear()
        assert not problems, "\n".join(problems)
