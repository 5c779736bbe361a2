"""What a change does to tests, told by syntax tree."""

import textwrap

import pytest

from agent_lsp.domain.changes import Entry, FileEdit, HunkClass
from agent_lsp.domain.findings import FindingKind
from agent_lsp.domain.integrity import Integrity, inspect_tests


def edit(old: str | None, new: str | None, path: str = "tests/test_a.py", old_path: str | None = None) -> FileEdit:
    sides = [None if code is None else Entry(textwrap.dedent(code).encode()) for code in (old, new)]
    return FileEdit(path, sides[0], sides[1], old_path)


def look(old: str | None, new: str | None, path: str = "tests/test_a.py") -> Integrity:
    return inspect_tests([edit(old, new, path)])


def function(body: str, head: str = "") -> str:
    return f"{head}\ndef test_x(a):\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("assert f() == 1", "f()", "an assertion was removed"),
        ("assert f() == 1", "assert f()", "an assertion was loosened"),
        ("assert f() == 1", "assert f() in (1, 2)", "an assertion was loosened"),
        ("assert f() == 1", "assert f() == 1 or True", "an assertion was loosened"),
        ("assert f() == 1", "assert f() == f()", "an assertion was loosened"),
        ("assert f() == 1", "assert f() == approx(1)", "an assertion was loosened"),
        ("assert f() == approx(1, rel=1e-6)", "assert f() == approx(1, rel=0.1)", "a tolerance was widened"),
        ("assert f() == approx(1)", "assert f() == approx(1, abs=5)", "a tolerance was added"),
        ("self.assertAlmostEqual(a, 1, places=7)", "self.assertAlmostEqual(a, 1, places=1)", "a tolerance was widened"),
        ("self.assertEqual(a, 1)", "self.assertTrue(a)", "an assertion was loosened"),
        ("with pytest.raises(ValueError):\n    f()", "f()", "an assertion was removed"),
        ("with pytest.raises(ValueError):\n    f()", "with pytest.raises(Exception):\n    f()", "loosened"),
        ("with pytest.raises(E, match='x'):\n    f()", "with pytest.raises(E):\n    f()", "loosened"),
        ("assert f() == 1", "pytest.skip('later')\nassert f() == 1", "a new `skip`"),
        ("assert f() == 1", "return\nassert f() == 1", "can be passed over"),
        ("assert f() == 1", "try:\n    assert f() == 1\nexcept Exception:\n    pass", "can be passed over"),
        ("assert f() == 1", "if a:\n    assert f() == 1", "can be passed over"),
    ],
)
def test_a_weaker_body_is_told(old: str, new: str, words: str) -> None:
    found = look(function(old), function(new)).findings
    assert len(found) == 1, found
    assert found[0].kind is FindingKind.WEAKENED
    assert words in found[0].text
    assert found[0].concerns("tests/test_a.py::test_x[1]")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assert f() == 1", "assert f() == 1\nassert g() == 2"),
        ("assert f() == 1", "assert f() == 2"),
        ("assert f()", "assert f() == 1"),
        ("assert f() == 1", "x = f()\nassert x == 1"),
        ("assert f() == approx(1, rel=0.1)", "assert f() == approx(1, rel=0.01)"),
    ],
)
def test_an_equal_or_stronger_body_is_not(old: str, new: str) -> None:
    assert look(function(old), function(new)).findings == ()


@pytest.mark.parametrize(
    "head", ["@pytest.mark.skip", "@pytest.mark.skipif(True, reason='')", "@pytest.mark.xfail()", "@unittest.skip('x')"]
)
def test_a_new_mark_is_told(head: str) -> None:
    found = look(function("assert 1"), function("assert 1", head)).findings
    assert [finding.kind for finding in found] == [FindingKind.WEAKENED]


def test_a_mark_on_the_class_or_the_whole_file_is_told() -> None:
    old = "class TestA:\n    def test_x(self):\n        assert 1\n"
    on_class = look(old, "@pytest.mark.skip\n" + old).findings
    assert on_class[0].concerns("tests/test_a.py::TestA::test_x")
    on_file = look(old, "pytestmark = pytest.mark.skip\n" + old).findings
    assert on_file[0].concerns("tests/test_a.py::TestA::test_x")


def test_fewer_parameters_are_told() -> None:
    old, new = (function("assert a", f"@pytest.mark.parametrize('a', {values})") for values in ("[1, 2]", "[]"))
    assert "0 cases instead of 2" in look(old, new).findings[0].text


def test_removed_tests_are_told_and_renamed_or_moved_ones_are_known_again() -> None:
    old = "def test_a():\n    assert f() == 1\n"
    assert look(old, "").findings[0].kind is FindingKind.REMOVED
    assert look(old, None).findings[0].kind is FindingKind.REMOVED
    renamed = look(old, old.replace("test_a", "test_b"))
    assert (renamed.findings, renamed.renamed) == ((), {"tests/test_a.py::test_a": "tests/test_a.py::test_b"})
    moved = inspect_tests([edit(old, ""), edit(None, old, "tests/test_b.py")])
    assert (moved.findings, moved.renamed) == ((), {"tests/test_a.py::test_a": "tests/test_b.py::test_a"})
    whole = inspect_tests([edit(old, old, "tests/test_b.py", "tests/test_a.py")])
    assert whole.renamed == {"tests/test_a.py::test_a": "tests/test_b.py::test_a"}


@pytest.mark.parametrize(
    ("path", "old", "new", "place"),
    [
        ("test_a.py", "\n\ndef test_a():\n    assert 1\n", "def test_a():\n    f()\n", "test_a.py:1)"),
        ("test_a.py", "\n\ndef test_a():\n    assert 1\n", "", "test_a.py:3 before)"),
        ("test_a.py", "\n\ndef test_a():\n    assert 1\n", None, "test_a.py:3 before)"),
        ("test_a.py", "import a\n", "import a\n\npytestmark = skip\n", "test_a.py:2)"),
        ("conftest.py", "import a\n\n\nx = 1\n", "import a\n\n\nx = 2\n", "conftest.py (conftest.py:4)"),
        ("setup.cfg", "[a]\n", "[a]\n[tool:pytest]\nx=1\n", "setup.cfg ([tool:pytest]) (setup.cfg:2)"),
        ("pytest.ini", None, "[pytest]\n", "test configuration was added: pytest.ini"),
    ],
)
def test_a_finding_has_its_place_one_of_the_base_where_it_was_removed(
    path: str, old: str | None, new: str | None, place: str
) -> None:
    assert look(old, new, path).findings[0].placed.endswith(place)


def test_a_test_file_that_is_no_python_any_more_is_told() -> None:
    assert "no valid Python" in look("def test_a():\n    assert 1\n", "def (").findings[0].text


@pytest.mark.parametrize(
    ("path", "old", "new", "kinds"),
    [
        ("conftest.py", "import a\n", "import a  # why\n", []),
        ("conftest.py", "@fixture\ndef x():\n    return 1\n", "@fixture\ndef x():\n    return 2\n", ["config"]),
        ("conftest.py", None, "def pytest_runtest_setup(item):\n    pytest.skip()\n", ["weakened", "config"]),
        ("pytest.ini", None, "[pytest]\n", ["config"]),
        ("pyproject.toml", "[project]\nname='a'\n", "[project]\nname='b'\n", []),
        ("pyproject.toml", "[tool.ruff]\na=1\n", "[tool.pytest.ini_options]\naddopts='-q'\n", ["config"]),
        ("pyproject.toml", "[project]\n", "[project\n", ["config"]),
        ("setup.cfg", "[metadata]\nname=a\n", "[metadata]\nname=b\n", []),
        ("setup.cfg", "[metadata]\n", "[metadata]\n[tool:pytest]\naddopts=-q\n", ["config"]),
        ("tox.ini", "[flake8]\n", "[flake8]\nx=1\n", []),
        ("pytest.toml", None, "[pytest]\naddopts = ['-q']\n", ["config"]),
        ("sub/.pytest.toml", "[pytest]\n", "[pytest]\nxfail_strict = false\n", ["config"]),
        ("tox.toml", "[env_run_base]\n", "[env_run_base]\ncommands = []\n", ["config"]),
        ("tox.toml", "[env_run_base]\n", "# why\n[env_run_base]\n", []),
        ("hatch.toml", "[envs.test]\n", "[envs.test.env-vars]\nX = '1'\n", ["config"]),
        (".coveragerc.toml", "[run]\n", None, ["config"]),
        ("src/app.py", "x = 1\n", "x = 2\n", []),
    ],
)
def test_configuration_counts_only_where_it_bears_on_the_tests(
    path: str, old: str | None, new: str | None, kinds: list[str]
) -> None:
    assert [finding.kind.value for finding in look(old, new, path).findings] == kinds


@pytest.mark.parametrize(
    "path",
    [
        "testdata/a.json",
        "pkg/test_data/a.csv",
        "test-data/unit/check.test",
        "snapshots/page.html",
        "goldens/a.txt",
        "api/cassettes/get.yaml",
        "tests/roots/index.rst",
        "src/__snapshots__/a.snap",
        "a.ambr",
        "page.approved.txt",
    ],
)
def test_changed_and_removed_data_of_tests_is_told_with_its_place_and_new_data_is_not(path: str) -> None:
    (changed,) = look("a\nb\n", "a\nc\n", path).findings
    assert (changed.kind, changed.placed) == (
        FindingKind.CONFIG,
        f"data of the tests changed: {path} ({path}:2)",
    )
    assert edit("a", "b", path).classes == {HunkClass.TEST}
    assert [f.placed for f in look("a\n", None, path).findings] == [f"data of the tests was removed: {path}"]
    assert look(None, "a\n", path).findings == ()


def test_data_of_tests_that_moved_is_told_and_code_beside_it_is_source() -> None:
    moved = inspect_tests([edit("a\n", "a\n", "golden/b.txt", "golden/a.txt")])
    assert [f.placed for f in moved.findings] == ["data of the tests was moved to golden/b.txt: golden/a.txt"]
    assert edit("x = 1\n", "x = 2\n", "app/snapshots/store.py").classes == {HunkClass.SOURCE}


def test_a_changed_fixture_in_a_test_file_is_configuration() -> None:
    old = "@pytest.fixture\ndef a():\n    return 1\n"
    assert [f.kind for f in look(old, old.replace("1", "2")).findings] == [FindingKind.CONFIG]
