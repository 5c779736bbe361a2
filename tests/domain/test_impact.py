"""Which tests a change can affect, by what the files of a workspace say of each other."""

import textwrap
from collections.abc import Mapping

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.impact import Selection, SuiteFacts, guessed_whole_s, select, widening
from agent_lsp.domain.import_graph import ImportGraph
from agent_lsp.domain.imports import Imported, read_imports

PROJECT = {
    "src/shop/__init__.py": "from .prices import price\nfrom shop.basket import Basket as Basket\n",
    "src/shop/prices.py": "from .money import round_up\ndef price(): return round_up(1)\n",
    "src/shop/money.py": "def round_up(x): return x\n",
    "src/shop/basket.py": "from . import money\n",
    "src/shop/plugins/__init__.py": "import importlib\ndef load(name): return importlib.import_module(name)\n",
    "src/shop/plugins/gift.py": "def gift(): pass\n",
    "src/shop/lonely.py": "def nobody(): pass\n",
    "src/shop/table.py": "LAZY = {'money': 'shop.money'}\n",
    "conftest.py": "",
    "tests/conftest.py": "import pytest\n",
    "tests/slow/conftest.py": "",
    "tests/slow/test_everything.py": "import shop\ndef test_a(): pass\n",
    "tests/test_money.py": "from shop.money import round_up\ndef test_a(): pass\ndef test_b(): pass\n",
    "tests/test_price.py": "from shop import price\ndef test_a(): pass\n",
    "tests/test_table.py": "from shop.table import LAZY\ndef test_a(): pass\n",
    "tests/test_plugins.py": "from shop.plugins import load\ndef test_a(): pass\n",
    "tests/test_alone.py": "import os\ndef test_a(): pass\n",
    "tests/helpers.py": "from shop.basket import Basket\n",
    "tests/test_helped.py": "import helpers\ndef test_a(): pass\n",
}


def graph(files: Mapping[str, str] = PROJECT) -> ImportGraph:
    return ImportGraph({path: read_imports(text.encode()) for path, text in files.items() if path.endswith(".py")})


def edit(
    path: str, *, before: str | None = "x = 1\n", after: str | None = "x = 2\n", old: str | None = None
) -> FileEdit:
    was = None if before is None else Entry(before.encode())
    return FileEdit(path, was, None if after is None else Entry(after.encode()), old)


def chosen(*paths: str, facts: SuiteFacts | None = None, budget_s: float = 1000.0) -> Selection:
    return select([edit(path) for path in paths], graph(), facts or SuiteFacts(), (), budget_s)


def test_imports_are_read_from_any_text_even_of_a_file_that_cannot_be_compiled() -> None:
    source = textwrap.dedent(
        """
        import os, a.b as ab; import late
        from .. import up
        from .near import (one,
                           two)  # and more
        def f():
            from deep \\
                import name
        print "python 2"
        MOCK = "a.b.c:thing"
        """
    )
    said = read_imports(source.encode())
    assert set(said.imports) == {
        Imported("os"),
        Imported("a.b"),
        Imported("late"),
        Imported("", 2, ("up",)),
        Imported("near", 1, ("one", "two")),
        Imported("deep", 0, ("name",)),
    }
    assert said.mentions == ("a.b.c",)
    assert not said.dynamic
    assert read_imports(b"importlib.import_module(x)").dynamic
    assert read_imports(b"\xff\xfe broken \x00 import x(").imports == ()


def test_the_nearest_tests_come_first_and_those_that_cannot_see_the_change_are_left_out() -> None:
    found = chosen("src/shop/money.py")
    assert found.tests[0] == "tests/test_money.py", "it is named after the changed file and imports it"
    assert "tests/test_alone.py" not in found.tests
    assert {"tests/test_price.py", "tests/test_table.py", "tests/slow/test_everything.py"} <= set(found.tests)
    assert not found.whole
    assert found.sentences() == ("Ran the 6 of 7 test files that the change can affect.",)


def test_a_name_that_a_package_hands_on_leads_to_the_file_that_defines_it() -> None:
    distances = graph().dependents(["src/shop/prices.py"])
    assert distances["tests/test_price.py"] == 1
    assert distances["tests/slow/test_everything.py"] > distances["tests/test_price.py"]


def test_a_helper_beside_the_tests_hands_the_change_on() -> None:
    assert graph().dependents(["src/shop/basket.py"])["tests/test_helped.py"] == 2


def test_what_a_loader_of_names_could_load_counts_as_loaded() -> None:
    found = chosen("src/shop/plugins/gift.py")
    assert "tests/test_plugins.py" in found.tests


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edit("pyproject.toml"), "pyproject.toml configures the tests"),
        (edit("conftest.py"), "the conftest.py of all tests"),
        (edit("data/prices.json"), "who reads data/prices.json"),
        (edit("src/shop/fast.c"), "who reads src/shop/fast.c"),
        (edit("src/shop/page.html"), "who reads src/shop/page.html"),
        (edit("src/shop/lonely.py"), "nothing is seen to import src/shop/lonely.py"),
    ],
    ids=lambda value: value.path if isinstance(value, FileEdit) else "",
)
def test_what_the_imports_cannot_tell_widens_the_selection_to_every_test(change: FileEdit, why: str) -> None:
    assert why in widening([change], graph(), SuiteFacts())
    found = select([edit("src/shop/money.py"), change], graph(), SuiteFacts(), (), 1000.0)
    assert found.whole
    assert found.tests[0] == "tests/test_money.py", "what is nearest still comes first"


def test_prose_that_no_test_read_in_the_last_whole_run_does_not_widen() -> None:
    notes = edit("CHANGES.rst")
    assert widening([notes], graph(), SuiteFacts())
    read = SuiteFacts(touched=frozenset({"src/shop/money.py"}))
    assert not widening([notes], graph(), read)
    assert widening([notes], graph(), SuiteFacts(touched=frozenset({"CHANGES.rst"})))


def test_a_conftest_of_a_folder_affects_the_tests_below_it() -> None:
    found = chosen("tests/slow/conftest.py")
    assert found.tests == ("tests/slow/test_everything.py",)
    assert set(chosen("tests/conftest.py").tests) > {"tests/slow/test_everything.py", "tests/test_alone.py"}


def test_tests_that_ran_the_changed_file_before_come_before_those_that_only_import_it() -> None:
    case = "tests/test_table.py::test_a"
    facts = SuiteFacts(durations_s={case: 0.1}, ran_by={"src/shop/money.py": frozenset({case})})
    assert chosen("src/shop/money.py", facts=facts).tests[0] == "tests/test_table.py"


def test_a_test_that_a_selection_missed_once_is_taken_the_next_time() -> None:
    case = "tests/test_alone.py::test_a"
    facts = SuiteFacts(durations_s={case: 0.1}, missed_by={"src/shop/money.py": frozenset({case})})
    assert "tests/test_alone.py" not in chosen("src/shop/money.py").tests
    assert chosen("src/shop/money.py", facts=facts).tests[0] == "tests/test_alone.py"


def test_goal_tests_come_first_whatever_the_budget() -> None:
    goal = "tests/test_alone.py::test_a"
    found = select([edit("src/shop/money.py")], graph(), SuiteFacts(), (goal,), 0.0)
    assert found.tests == (goal,)
    assert found.chosen == 0


def test_what_does_not_fit_into_the_budget_is_said() -> None:
    found = chosen("src/shop/money.py", budget_s=0.8)
    assert 0 < found.chosen < found.affected
    [told] = found.sentences()
    left = found.affected - found.chosen
    assert told.startswith(f"Ran {found.chosen} of the {found.affected} test files that the change can affect")
    assert f"the other {left} did not fit" in told


def test_of_a_file_that_is_too_long_the_tests_that_ran_the_change_are_taken_alone() -> None:
    long, quick = "tests/test_money.py::test_long", "tests/test_money.py::test_quick"
    facts = SuiteFacts(durations_s={long: 90.0, quick: 0.1}, ran_by={"src/shop/money.py": frozenset({quick, long})})
    found = chosen("src/shop/money.py", facts=facts, budget_s=5.0)
    assert quick in found.tests
    assert long not in found.tests
    assert "tests/test_money.py" not in found.tests


def test_a_deleted_test_file_is_not_asked_for_and_a_new_one_is() -> None:
    files = {**PROJECT, "tests/test_new.py": "import shop.money\ndef test_a(): pass\n"}
    gone = edit("tests/test_alone.py", after=None)
    new = edit("tests/test_new.py", before=None)
    found = select([gone, new], graph(files), SuiteFacts(), (), 1000.0)
    assert "tests/test_new.py" in found.tests
    assert "tests/test_alone.py" not in found.tests


def test_after_a_whole_run_only_files_that_held_tests_are_asked_for() -> None:
    facts = SuiteFacts(
        durations_s={"tests/test_money.py::test_a": 1.0, "tests/test_price.py::test_a": 2.0}, touched=frozenset()
    )
    assert chosen("src/shop/money.py", facts=facts).tests == ("tests/test_money.py", "tests/test_price.py")
    assert guessed_whole_s(graph(), SuiteFacts(whole_s=90.0)) == 90.0
    assert guessed_whole_s(graph(), facts) == pytest.approx(3.0, abs=0.5)


def test_circles_of_imports_and_many_files_of_one_name_come_to_an_end() -> None:
    files = {
        "a/__init__.py": "from b import x\n",
        "b/__init__.py": "from a import x\n",
        "one/settings.py": "",
        "two/settings.py": "",
        "one/test_one.py": "import settings\n",
        "two/test_two.py": "import settings\n",
        "test_a.py": "from a import x\n",
    }
    made = graph(files)
    assert set(made.dependents(["one/settings.py"])) == {"one/settings.py", "one/test_one.py"}
    assert "test_a.py" in made.dependents(["b/__init__.py"])


def test_tests_by_other_usual_names_are_affected_too_and_a_package_s_own_file_of_such_a_name_is_not() -> None:
    files = {
        "shop/price.py": "def price(): return 1\n",
        "shop/tests.py": "from .price import price\ndef test_odd(value): return value % 2\n",
        "orders/tests.py": "from django.test import TestCase\nfrom shop.price import price\n"
        "class OrderTests(TestCase):\n    def test_it(self): pass\n",
        "tests/checks/unittest_price.py": "from shop.price import price\ndef test_a(): pass\n",
        "tests/functional/price_case.py": "from shop.price import price\ndef test_a(): pass\n",
        "tests/test_other.py": "def test_a(): pass\n",
    }

    found = select([edit("shop/price.py")], graph(files), SuiteFacts(), (), 1000.0)

    assert set(found.tests) == {"orders/tests.py", "tests/checks/unittest_price.py"}
    assert found.files == 3


def test_what_a_table_of_plugins_loads_from_its_folder_reaches_the_tests_of_who_fills_it() -> None:
    files = {
        "lint/checkers/__init__.py": "from lint.utils import register_plugins\n"
        "def initialize(linter): register_plugins(linter, __path__[0])\n",
        "lint/checkers/misc.py": "def register(linter): pass\n",
        "lint/utils.py": "def register_plugins(linter, folder): pass\n",
        "tests/test_lint.py": "from lint import checkers\ndef test_a(): pass\n",
        "tests/unittest_misc.py": "from lint.checkers.misc import register\ndef test_a(): pass\n",
        "tests/test_other.py": "def test_a(): pass\n",
    }

    found = select([edit("lint/checkers/misc.py")], graph(files), SuiteFacts(), (), 1000.0)

    assert found.tests == ("tests/unittest_misc.py", "tests/test_lint.py")
