"""What ends a verdict before anything runs."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.staging import syntax_troubles

WELL, BROKEN = b"x = 1\n", b"def (:\n"


@pytest.mark.parametrize(
    ("path", "before", "ends"),
    [
        ("calc.py", WELL, True),
        ("tests/test_calc.py", WELL, True),
        ("calc.py", BROKEN, False),
        ("pkg/calc.py", None, True),
        ("reproduce.py", None, False),
        ("tests/functional/s/syntax_error.py", None, False),
        ("tests/test_new.py", None, False),
    ],
)
def test_a_file_that_cannot_be_compiled_ends_the_verdict_where_the_change_broke_what_is_loaded(
    path: str, before: bytes | None, ends: bool
) -> None:
    edit = FileEdit(path, None if before is None else Entry(before), Entry(BROKEN))
    assert bool(syntax_troubles([edit])) is ends
