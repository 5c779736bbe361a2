"""Source that asks who runs it, or reaches for what records the tests, is told."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.self_regard import asks_for_tests


def edit(before: str | None, after: str) -> FileEdit:
    return FileEdit("calc.py", None if before is None else Entry(before.encode()), Entry(after.encode()))


@pytest.mark.parametrize(
    "line",
    [
        "import sys; FAST = 'pytest' in sys.modules",
        "import os; os.environ.get('PYTEST_CURRENT_TEST')",
        "import _pytest.runner",
        "import sys; sys.modules['agent_lsp_report']._outcome = lambda phase: 'passed'",
        "import os; os.environ['AGENT_LSP']",
    ],
)
@pytest.mark.parametrize("before", [None, "import unittest\n"])
def test_a_source_line_that_names_the_runner_or_its_recorder_is_told(before: str | None, line: str) -> None:
    (told,) = asks_for_tests([edit(before, f"{before or ''}{line}\n")])
    assert told.startswith("calc.py now names ")


def test_what_a_file_named_before_is_its_own_business() -> None:
    assert asks_for_tests([edit("import pytest\n", "import pytest\nx = pytest.approx(1)\n")]) == ()


def test_a_test_may_name_its_runner() -> None:
    written = FileEdit("tests/test_calc.py", None, Entry(b"import pytest\n"))
    assert asks_for_tests([written]) == ()
