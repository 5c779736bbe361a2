"""Where the search looks first: suspicion by lines that ran, by words where no lines are known, and groups of tests."""

import pytest

from agent_lsp.agent.repair.localise import by_text, groups, ochiai, weighed
from agent_lsp.agent.repair.source import Source, parse
from agent_lsp.domain.verdict import SuiteReport


def source(path: str, text: str) -> Source:
    found = parse(path, text)
    assert found is not None
    return found


TWO = source("a.py", "def one(x):\n    y = x\n    return y\n\ndef two(x):\n    return x\n")


def report(failing: dict[int, set[str]], passing: dict[int, set[str]] | None = None) -> SuiteReport:
    return SuiteReport(
        "here",
        executed_failing={"a.py": {line: frozenset(tests) for line, tests in failing.items()}},
        executed={"a.py": {line: frozenset(tests) for line, tests in (passing or {}).items()}},
    )


def test_a_line_that_only_failing_tests_run_is_the_most_suspicious() -> None:
    seen = report({1: {"f"}, 2: {"f"}, 3: {"f"}}, {1: {"p", "q", "r"}, 2: {"p"}})
    assert ochiai(seen, ["f"])["a.py"] == {1: 0.5, 2: pytest.approx(0.7071, abs=1e-4), 3: 1.0}


def test_lines_that_the_chosen_tests_did_not_run_are_not_suspected() -> None:
    assert ochiai(report({1: {"other"}, 2: {"f"}}), ["f"]) == {"a.py": {2: 1.0}}


def test_lines_run_on_import_and_lines_that_raise_weigh_less() -> None:
    text = (
        "LIMIT = 3\nkey = lambda x: x\n\ndef f(x, y=LIMIT):\n    if x > y:\n        raise ValueError(x)\n    return x\n"
    )
    found = weighed({"a.py": dict.fromkeys((1, 2, 4, 5, 6, 7), 1.0), "b.py": {1: 1.0}}, [source("a.py", text)])
    assert found == {"a.py": {1: 0.2, 2: 1.0, 4: 0.2, 5: 1.0, 6: 0.5, 7: 1.0}, "b.py": {1: 1.0}}


def test_without_lines_the_failure_and_the_names_in_the_test_tell_where_to_look() -> None:
    found = by_text([TWO], 'Traceback\n  File "/somewhere/a.py", line 6, in two\n', ["from a import one\none(1)"])
    assert found["a.py"][6] == 1.0
    assert found["a.py"][2] == found["a.py"][3] < found["a.py"][6]


def test_failing_tests_with_a_function_in_common_are_one_group() -> None:
    seen = report({2: {"f", "g"}, 6: {"h"}, 3: {"g"}, 1: {"f", "g", "h"}})
    assert groups(seen, ["f", "h", "g"], [TWO]) == [("f", "g"), ("h",)]


def test_a_test_of_which_nothing_is_known_goes_with_the_first_group() -> None:
    assert groups(report({2: {"f"}, 6: {"h"}}), ["f", "h", "unknown"], [TWO]) == [("f", "unknown"), ("h",)]
    assert groups(report({}), ["x", "y"], [TWO]) == [("x", "y")]
