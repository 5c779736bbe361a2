"""Django's own way of testing, on a likeness of it: settings and apps before any test, and a runner that sets up."""

from collections.abc import Mapping

from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import Outcome, SuiteReport
from agent_lsp.workspace.runners.detect import RunnerOptions, WorkspaceRunnerFinder
from agent_lsp.workspace.runners.django_runner import DjangoRunner
from tests.workspace.runners.conftest import THIS, MakeCandidate

DJANGO = {
    "django/__init__.py": "def setup():\n    from django.conf import settings\n    settings.ready = True\n",
    "django/conf.py": """
        import importlib, os

        class Settings:
            def __getattr__(self, name):
                if "DJANGO_SETTINGS_MODULE" not in os.environ:
                    raise RuntimeError("settings are not configured")
                return getattr(importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"]), name)

        settings = Settings()
        """,
    "django/test/__init__.py": """
        import unittest

        class TestCase(unittest.TestCase):
            def setUp(self):
                from django.conf import settings
                assert settings.ready and settings.DATABASES == ["made"], "nothing was set up"
        """,
    "django/test/utils.py": """
        def get_runner(settings):
            from django.test.runner import DiscoverRunner
            return DiscoverRunner
        """,
    "django/test/runner.py": """
        import unittest

        class DiscoverRunner:
            def __init__(self, verbosity=1, interactive=True, **options):
                assert not interactive

            def build_suite(self, test_labels=None, **options):
                found = unittest.TestSuite()
                for label in test_labels or ["."]:
                    if label == ".":
                        found.addTests(unittest.defaultTestLoader.discover("."))
                    else:
                        found.addTests(unittest.defaultTestLoader.loadTestsFromName(label))
                return found

            def run_checks(self, databases=None):
                raise SystemExit("checks are no tests")

            def run_suite(self, suite):
                return unittest.TextTestRunner().run(suite)

            def run_tests(self, test_labels):
                from django.conf import settings
                suite = self.build_suite(test_labels)
                settings.DATABASES = ["made"]
                self.run_checks()
                result = self.run_suite(suite)
                settings.DATABASES = []
                return len(result.failures) + len(result.errors)
        """,
}
OWN = {
    **DJANGO,
    "tests/runtests.py": """
        import django
        from django.conf import settings

        def get_installed():
            return ["forms"]

        def setup(verbosity, test_labels, parallel, start_at, start_after):
            assert parallel == 1
            django.setup()
            settings.apps = [label.split(".")[0] for label in test_labels] or get_installed()
            return {}

        if __name__ == "__main__":
            raise SystemExit("to be run by Django's developers")
        """,
    "tests/test_sqlite.py": "SECRET_KEY = 'x'\n",
    "tests/forms/__init__.py": "",
    "tests/forms/tests.py": """
        from django.test import TestCase
        from django.conf import settings
        from django.validators import even

        class EvenTests(TestCase):
            def test_two(self):
                self.assertTrue(even(2))

            def test_three(self):
                self.assertFalse(even(3))

            def test_its_app_is_installed(self):
                self.assertEqual(settings.apps, ["forms"])
        """,
    "tests/forms/test_broken.py": "from django.nowhere import nothing\n",
    "django/validators.py": "def even(number):\n    return True\n",
}
PROJECT = {
    **{f"lib/{path}": text for path, text in DJANGO.items()},
    "manage.py": """
        import os, sys
        def main():
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
        """,
    "site_settings.py": "SECRET_KEY = 'x'\n",
    "shop/__init__.py": "",
    "shop/tests.py": """
        from django.test import TestCase

        class ShopTests(TestCase):
            def test_it(self):
                pass
        """,
}
TWO, THREE, APP = (
    f"tests/forms/tests.py::EvenTests::{name}" for name in ("test_two", "test_three", "test_its_app_is_installed")
)


async def ran(candidate_of: MakeCandidate, files: Mapping[str, str], way: str, **request: object) -> SuiteReport:
    runner = DjangoRunner(THIS, way)
    return await runner.run(candidate_of(files), SuiteRequest(**request))  # type: ignore[arg-type]


async def test_djangos_own_tests_run_with_its_settings_and_are_told_by_file_and_line(
    candidate_of: MakeCandidate,
) -> None:
    report = await ran(
        candidate_of, OWN, "tests/runtests.py", tests=("tests/forms/tests.py",), watch=("django/validators.py",)
    )

    assert report.finished, report.trouble
    assert {name: case.outcome for name, case in report.cases.items()} == {
        TWO: Outcome.PASSED,
        THREE: Outcome.FAILED,
        APP: Outcome.PASSED,
    }
    assert report.executed["django/validators.py"][2] == {TWO}
    assert report.executed_failing["django/validators.py"][2] == {THREE}


async def test_a_chosen_test_of_django_runs_alone_and_what_cannot_be_imported_is_told_of_its_file(
    candidate_of: MakeCandidate,
) -> None:
    asked = (TWO, "tests/forms/test_broken.py::Nothing::test_it", "tests/gone.py")
    report = await ran(candidate_of, OWN, "tests/runtests.py", tests=asked)

    assert list(report.cases) == [TWO]
    assert list(report.collection_errors) == ["tests/forms/test_broken.py"]
    assert "No module named 'django.nowhere'" in report.collection_errors["tests/forms/test_broken.py"]
    assert "tests/gone.py" in report.not_found


async def test_all_tests_of_a_project_with_manage_py_run_with_its_settings(candidate_of: MakeCandidate) -> None:
    files = {**PROJECT, "sitecustomize.py": ""}
    files |= {path.removeprefix("lib/"): text for path, text in PROJECT.items() if path.startswith("lib/")}
    report = await ran(candidate_of, files, "manage.py", tests=("shop",))

    assert report.finished, report.trouble
    assert [case.outcome for case in report.cases.values()] == []

    report = await ran(candidate_of, files, "manage.py", tests=("shop/tests.py",))
    assert [case.outcome for case in report.cases.values()] == [Outcome.PASSED]


async def test_django_is_tested_by_its_own_runner_even_where_pytest_is_installed(candidate_of: MakeCandidate) -> None:
    async def chosen(files: Mapping[str, str]) -> str:
        finder = WorkspaceRunnerFinder(RunnerOptions(interpreter=THIS.shown))
        return (await finder.find(candidate_of(files))).name

    assert (await chosen(OWN)).endswith("set up as tests/runtests.py does")
    assert (await chosen(PROJECT)).endswith("set up as manage.py does")
    assert (await chosen({**PROJECT, "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = x\n"})).startswith("pytest")
    assert (await chosen({**PROJECT, "manage.py": "print('no Django')\n"})).startswith("pytest")
