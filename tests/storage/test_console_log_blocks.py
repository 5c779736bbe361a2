"""Error blocks: what they tell of every kind of error, and that odd errors never break them."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from agent_lsp.domain.errors import CandidateError
from agent_lsp.domain.scope import scope
from agent_lsp.storage.console_log import ConsoleLog, configure_logging
from agent_lsp.storage.error_block import END, START, clip
from agent_lsp.storage.error_causes import Symptom, advise
from agent_lsp.storage.log_reader import error_blocks, parse_block


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ConsoleLog]:
    console = configure_logging(tmp_path / ".agent-lsp", process="runtime")
    yield console
    console.close()


def last_block(log: ConsoleLog) -> dict[str, str]:
    assert log.flush_within(10)
    return parse_block(error_blocks(log.path)[-1])


def logged(log: ConsoleLog, error: BaseException, message: str = "it went wrong") -> dict[str, str]:
    """The block of an error that is really raised."""
    try:
        raise error
    except BaseException:
        logging.getLogger("demo").exception(message)
    return last_block(log)


def test_a_block_tells_type_message_place_code_operation_and_versions(log: ConsoleLog) -> None:
    with scope(run_id="r_9", request_id="3", operation="reading prices"):
        fields = logged(log, ValueError("bad price"))
    assert fields["type"] == "ValueError"
    assert fields["message"] == "bad price"
    assert fields["logged"] == "it went wrong"
    assert fields["location"].endswith(" in logged")
    assert "test_console_log_blocks.py:" in fields["location"]
    assert any(line.startswith("> ") and "raise error" in line for line in fields["code"].splitlines())
    assert (fields["run"], fields["request"], fields["operation"]) == ("r_9", "3", "reading prices")
    assert fields["stack"].startswith("Traceback (most recent call last):")
    for name in ("python:", "platform:", "agent-lsp-server:", "pygls:", "pytest:"):
        assert name in fields["versions"]


def test_an_error_without_exception_shows_where_it_was_logged(log: ConsoleLog) -> None:
    logging.getLogger("demo").error("not good: %d", 7)
    fields = last_block(log)
    assert fields["type"] == "LoggedError"
    assert fields["message"] == "not good: 7"
    assert "test_an_error_without_exception" in fields["location"]
    assert "> " in fields["code"]
    assert fields["stack"].startswith("Logged from (most recent call last):")


def test_an_error_that_was_never_raised_has_a_block_with_the_logging_place(log: ConsoleLog) -> None:
    logging.getLogger("demo").error("from afar", exc_info=OSError(28, "No space left on device"))
    fields = last_block(log)
    assert fields["type"] == "OSError"
    assert "Logged from:" in fields["stack"]
    assert "disk is full" in fields["likely_causes"]


def test_exc_info_without_an_active_error_is_a_plain_error(log: ConsoleLog) -> None:
    logging.getLogger("demo").error("nothing active", exc_info=True)
    assert last_block(log)["type"] == "LoggedError"


def test_causes_and_contexts_are_shown_and_the_first_of_them_named(log: ConsoleLog) -> None:
    def low() -> None:
        json.loads("{oops")

    try:
        try:
            low()
        except ValueError as error:
            raise RuntimeError("could not read the answer") from error
    except RuntimeError as error:
        fields = logged(log, error)
    assert "direct cause of the following exception" in fields["stack"]
    assert fields["root_cause"].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert fields["root_cause"].endswith("in raw_decode") or "decoder.py" in fields["root_cause"]
    assert "not JSON" in fields["likely_causes"]


def test_an_error_inside_a_library_names_the_place_in_the_project_too(log: ConsoleLog, tmp_path: Path) -> None:
    source = tmp_path / "shop.py"
    source.write_text("import json\n\ndef load(text):\n    return json.loads(text)\n")
    space: dict[str, object] = {}
    exec(compile(source.read_text(), str(source), "exec"), space)
    load = space["load"]
    assert callable(load)
    try:
        load("[1,")
    except ValueError:
        logging.getLogger("demo").exception("no")
    fields = last_block(log)
    assert "decoder.py" in fields["location"]
    assert fields["project_location"] == f"{source}:4 in load"
    assert ">     4 |     return json.loads(text)" in fields["project_code"]


def test_every_member_of_an_exception_group_is_shown_with_its_advice(log: ConsoleLog) -> None:
    group = ExceptionGroup("two things", [KeyError("a"), ExceptionGroup("inner", [FileNotFoundError(2, "gone", "b")])])
    fields = logged(log, group)
    assert fields["type"] == "ExceptionGroup"
    assert "KeyError: 'a'" in fields["stack"]
    assert "FileNotFoundError" in fields["stack"]
    assert "no key 'a'" in fields["likely_causes"]


def test_a_syntax_error_points_at_its_own_line(log: ConsoleLog, tmp_path: Path) -> None:
    source = tmp_path / "broken.py"
    source.write_text("x = 1\ny = (\n")
    try:
        compile(source.read_text(), str(source), "exec")
    except SyntaxError:
        logging.getLogger("demo").exception("no")
    fields = last_block(log)
    assert fields["location"] == f"{source}:2"
    assert ">     2 | y = (" in fields["code"]
    assert "does not parse" in fields["likely_causes"]


def test_the_hint_of_an_error_of_our_own_is_the_first_fix(log: ConsoleLog) -> None:
    fields = logged(log, CandidateError("no mount", hint="Install bubblewrap."))
    assert fields["type"] == "agent_lsp.domain.errors.CandidateError"
    assert fields["possible_fixes"].startswith("- Install bubblewrap.")


def test_a_failing_test_gets_its_assertion_its_source_and_its_place(log: ConsoleLog, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_sum.py").write_text("def test_sum():\n    assert 1 + 1 == 3\n")
    failure = "    def test_sum():\n>       assert 1 + 1 == 3\nE       assert (1 + 1) == 3\n\n"
    case = {
        "id": "tests/test_sum.py::test_sum",
        "path": "tests/test_sum.py",
        "line": 1,
        "message": failure + "tests/test_sum.py:2: AssertionError",
        "source": "def test_sum():\n    assert 1 + 1 == 3\n",
    }
    logging.getLogger("demo").warning("a goal test still fails", extra={"case": case})
    fields = last_block(log)
    assert fields["type"] == "TestFailure"
    assert fields["test"] == "tests/test_sum.py::test_sum"
    assert fields["assertion"] == "assert (1 + 1) == 3"
    assert fields["test_source"] == "def test_sum():\n    assert 1 + 1 == 3"
    assert fields["location"] == f"{tests / 'test_sum.py'}:2 in test_sum"
    assert ">     2 |     assert 1 + 1 == 3" in fields["code"]
    assert "E       assert (1 + 1) == 3" in fields["stack"]


def test_a_test_that_raised_gets_the_advice_for_that_error(log: ConsoleLog) -> None:
    case = {
        "id": "t.py::test_a",
        "path": "t.py",
        "line": None,
        "message": "E   ModuleNotFoundError: No module named 'foo'",
    }
    logging.getLogger("demo").error("failed", extra={"case": case})
    fields = last_block(log)
    assert "The test raised ModuleNotFoundError" in fields["likely_causes"]
    assert "foo is not installed" in fields["likely_causes"]


class NamelessError(Exception):
    """Its text cannot be made, and its attributes cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    @property
    def hint(self) -> str:
        raise RuntimeError("nor this")


class CircleError(Exception):
    """Is its own cause."""


def _circle() -> CircleError:
    error, other = CircleError("one"), CircleError("two")
    error.__cause__, other.__cause__ = other, error
    return error


def _with_notes() -> Exception:
    error = ValueError("noted")
    error.add_note("look at line 3")
    return error


def _deep() -> BaseException:
    def down(n: int) -> int:
        return down(n + 1)

    try:
        down(0)
    except RecursionError as error:
        return error.with_traceback(error.__traceback__)
    raise AssertionError


ODD: Mapping[str, tuple[BaseException, str]] = {
    "no text": (NamelessError(), "<str() of it raised RuntimeError>"),
    "no arguments": (ValueError(), ""),
    "many odd arguments": (Exception(1, None, b"\xff", {"a": object}), "(1, None, b'\\xff', {'a': <class 'object'>})"),
    "surrogates": (ValueError("lone \udc80"), "lone \\udc80"),
    "control characters": (ValueError("a\x1b[31mb\x00"), "a\\x1b[31mb\\x00"),
    "several lines": (ValueError("one\ntwo\n\nfour"), "one\ntwo\n\nfour"),
    "markers inside": (ValueError(f"x\n{END}\n{START}\ny"), f"x\n{END}\n{START}\ny"),
    "its own cause": (_circle(), "one"),
    "notes": (_with_notes(), "noted"),
    "recursion": (_deep(), "maximum recursion depth exceeded"),
    "keyboard interrupt": (KeyboardInterrupt(), ""),
    "cancelled": (SystemExit(3), "3"),
    "unicode error": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "'utf-8' codec can't decode"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_errors_give_a_whole_block(name: str, log: ConsoleLog) -> None:
    error, message = ODD[name]
    fields = logged(log, error)
    assert fields.get("message", "").startswith(message)
    assert fields["versions"]
    assert len(error_blocks(log.path)) == 1
    if name == "notes":
        assert "look at line 3" in fields["stack"]


def test_a_huge_error_is_cut_in_the_middle_and_says_so(log: ConsoleLog) -> None:
    fields = logged(log, ValueError("start " + "word " * 500_000 + "finish"))
    assert fields["message"].startswith("start ")
    assert fields["message"].endswith("finish")
    assert "characters left out" in fields["message"]
    assert log.path.stat().st_size < 300_000


def test_cutting_never_divides_a_word() -> None:
    text = " ".join(f"sk-secret-{number:06d}" for number in range(1000))
    for limit in range(300, 400):
        short = clip(text, limit)
        words = short.replace("[...", " ").replace("characters left out ...]", " ").split()
        assert all(len(word) == 16 or word.isdigit() for word in words)


def test_the_source_of_a_file_that_is_not_there_leaves_the_code_out(log: ConsoleLog) -> None:
    try:
        exec(compile("1 / 0", "/nowhere/gone.py", "exec"))
    except ZeroDivisionError:
        logging.getLogger("demo").exception("no")
    fields = last_block(log)
    assert fields["location"] == "/nowhere/gone.py:1 in <module>"
    assert "code" not in fields


@pytest.mark.parametrize(
    ("lineage", "message", "details", "expected"),
    [
        (("ModuleNotFoundError",), "No module named 'foo'", {"name": "foo"}, "foo is not installed"),
        (("ImportError",), "cannot import name 'bar' from 'foo'", {}, "circle"),
        (("FileNotFoundError", "OSError"), "x", {"filename": "a.txt"}, "a.txt was deleted"),
        (("PermissionError", "OSError"), "x", {"filename": "a.txt"}, "read-only"),
        (("KeyError",), "'a'", {}, "no key 'a'"),
        (("AttributeError",), "'NoneType' object has no attribute 'x'", {"name": "x"}, "returned None"),
        (("AttributeError",), "'int' object has no attribute 'x'", {"name": "x"}, "no attribute x"),
        (("TypeError",), "f() missing 1 required positional argument: 'a'", {}, "signature"),
        (("OSError",), "x", {"errno": "28"}, "disk is full"),
        (("ConnectionRefusedError", "ConnectionError", "OSError"), "x", {}, "Nothing answers"),
        (("TimeoutError", "OSError"), "", {}, "in time"),
        (("RateLimitError", "APIStatusError"), "x", {"status_code": "429"}, "rate"),
        (("OverloadedError", "APIStatusError"), "x", {"status_code": "529"}, "overloaded"),
        (("InternalServerError", "APIStatusError"), "x", {"status_code": "500"}, "error of its own"),
        (("UnicodeDecodeError", "UnicodeError", "ValueError"), "x", {}, "encoding"),
        (("NameError",), "name 'x' is not defined", {"name": "x"}, "misspelt"),
        (("Strange",), "x", {}, "No rule"),
    ],
)
def test_advice_fits_the_kind_of_error(
    lineage: tuple[str, ...], message: str, details: dict[str, str], expected: str
) -> None:
    advice = advise([Symptom(lineage, message, details)])
    assert advice.fixes
    assert expected in " ".join((*advice.causes, *advice.fixes))
