"""Where a language model is told to look: the lines that failing tests accuse, in files that nobody has touched."""

import sys
from importlib.metadata import entry_points

from tests.anthropic_server import ParsedRequest, ScriptedBrain, call, calls, edit, finish
from tests.scenarios.conftest import Stage
from tests.scenarios.scene import PROJECT

TOTALS = """\
RATE = 2


def total(prices):
    result = 0
    for price in prices:
        result -= price
    return result


def rated(price):
    if price < 0:
        raise ValueError(price)
    return price * RATE
"""
TESTS = """\
import pytest

from shop.totals import rated, total


def test_total():
    assert total([1, 2]) == 3


def test_rated():
    assert rated(4) == 8
"""
FILES = {**PROJECT, "calc.py": PROJECT["calc.py"], "shop/totals.py": TOTALS, "tests/test_totals.py": TESTS}
QUICK = [word for plugin in entry_points(group="pytest11") for word in ("-p", f"no:{plugin.name}")]
OPTIONS = {"tests": {"interpreter": sys.executable, "args": QUICK}}
ACCUSED = "shop/totals.py:7 (1.00)"


def last_result(request: ParsedRequest) -> str:
    return str(request.results[-1]["content"])


async def test_run_tests_names_the_lines_of_an_untouched_file_and_so_does_the_verdict_that_fails(stage: Stage) -> None:
    look = call("run_tests", tests=["tests/test_totals.py"])
    beside = edit("calc.py", "return a - b", "return a + b")
    mended = edit("shop/totals.py", "result -= price", "result += price")
    brain = ScriptedBrain(execution=[look, calls(beside), calls(finish()), calls(mended), calls(finish())])
    scene = await stage(FILES, brain, options=OPTIONS)
    run_id = await scene.run("make the totals right", tests=["tests/test_totals.py::test_total"])
    await scene.until(run_id, "proposed")

    assert scene.model is not None
    asked = scene.model.in_phase("execution")
    first = last_result(asked[1])
    assert ACCUSED in first, first
    assert "totals.py:15" not in first, "a passing test ran it"
    assert "totals.py:1 " not in first, "what an import runs accuses nobody"
    judged = scene.model.in_phase("reflection")
    assert ACCUSED in judged[0].text, judged[0].text
    again = asked[3].text
    assert again.count(ACCUSED) >= 2, "the next try is told as well"
