"""Sources that are named as tests are, and tests that are not taken for sources."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.coverage import is_source
from agent_lsp.domain.shipped import mark_shipped

OFFERED = b"def test_odd(value):\n    return value % 2 == 1\n\n\nclass Client:\n    pass\n"
TESTS = b"class TestOdd:\n    def test_odd(self):\n        assert odd(1)\n"


@pytest.mark.parametrize(
    ("path", "content", "others", "source"),
    [
        ("django/test/client.py", OFFERED, ("tests/test_client/tests.py",), True),
        ("src/jinja2/tests.py", OFFERED, ("tests/test_filters.py",), True),
        ("django/core/management/commands/test.py", OFFERED, (), True),
        ("shop/tests.py", TESTS, (), False),
        ("tornado/test/util.py", OFFERED, ("tornado/test/web_test.py",), False),
        ("pkg/test/helpers.py", OFFERED, ("pkg/test/deep/test_a.py",), False),
        ("pkg/test/client.py", TESTS, (), False),
        ("test/helpers.py", OFFERED, (), False),
        ("src/test/helpers.py", OFFERED, (), False),
        ("pkg/tests/helpers.py", OFFERED, (), False),
        ("tests/test/helpers.py", OFFERED, (), False),
        ("pkg/test/test_client.py", OFFERED, (), False),
        ("pkg/test/broken.py", b"def (:\n", (), False),
        ("pkg/test/data.txt", b"1\n", (), False),
        ("conftest.py", OFFERED, (), False),
    ],
)
def test_a_file_is_source_where_only_its_name_looks_like_a_test(
    path: str, content: bytes, others: tuple[str, ...], source: bool
) -> None:
    changed = FileEdit(path, Entry(content), Entry(content + b"\n\nX = 1\n"))
    made = FileEdit(path, None, Entry(content))
    for edit in (changed, made):
        [marked] = mark_shipped([edit], [path, *others])
        assert is_source(marked) is source


def test_a_test_file_that_a_change_empties_stays_a_test_file() -> None:
    [marked] = mark_shipped([FileEdit("shop/tests.py", Entry(TESTS), Entry(b""))], ["shop/tests.py"])
    assert not is_source(marked)
