"""Holds each tool to what PROTOCOL.md section 6 says of it: what it does, and the words it fails with."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.agent.model_work import TOOLS
from agent_lsp.agent.toolbox import Served, Toolbox
from agent_lsp.agent.tools.globs import glob_matcher
from agent_lsp.agent.tools.search import _PYTHONS, _python
from agent_lsp.agent.tools.tool import Bench
from agent_lsp.agent.veil import Veil
from agent_lsp.domain.changes import Entry, FileMode
from agent_lsp.domain.conversation import Message, ModelRequest, Phase, Text
from agent_lsp.domain.errors import RunnerUnavailableError, ToolError
from agent_lsp.domain.plan import Assessment, Plan, Reflection, ReflectionDecision
from agent_lsp.domain.ports import Candidate
from agent_lsp.domain.verdict import CaseResult, Outcome, SuiteReport
from agent_lsp.providers.chat_messages import Dialect
from agent_lsp.providers.chat_messages import request_body as chat_body
from agent_lsp.providers.messages import request_body as anthropic_body
from agent_lsp.storage.redaction import Redactor
from tests.plain import PlainCandidate, PlainTrees
from tests.scripted_model import call

FILES = {
    "app.py": b"def add(a, b):\n    return a - b\n\n\ndef use():\n    return add(1, 2)\n",
    "src/pkg/core.py": b"NAME = 'core'\n",
    "src/pkg/util.py": b"name = 'util'\n",
    "docs/read.me": b"Name and name\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "bom.txt": b"\xef\xbb\xbfvalue\n",
    "latin.txt": b"caf\xe9 = 1\n",
    "blob.bin": b"\x00\x01\x02",
    "empty.txt": b"",
    "run.sh": b"#!/bin/sh\necho old\n",
}


class Workroom:
    """A toolbox of all phases over a real folder."""

    def __init__(self, root: Path) -> None:
        trees = PlainTrees(root)
        files = {path: Entry(content) for path, content in FILES.items()}
        files["run.sh"] = Entry(FILES["run.sh"], FileMode.EXECUTABLE)
        self.candidate = PlainCandidate(trees, trees.keep(files))
        self.asked: list[Sequence[str]] = []
        self.report: SuiteReport | Exception = SuiteReport("none")
        self.bench = Bench(self.candidate, self._suite)
        tools = {
            tool.name: tool for phase in (Phase.PLANNING, Phase.EXECUTION, Phase.REFLECTION) for tool in TOOLS[phase]
        }
        veil = Veil(Redactor({}).name, b"key")
        self.box = Toolbox(
            tuple(tools.values()), self.bench, lambda _kind, _data: None, veil, commands_without_sandbox=True
        )

    async def _suite(self, candidate: Candidate, tests: Sequence[str]) -> SuiteReport:
        self.asked.append(tests)
        if isinstance(self.report, Exception):
            raise self.report
        return self.report

    async def serve(self, name: str, **given: Any) -> Served:
        return await self.box.serve(call(name, **given))

    async def good(self, name: str, **given: Any) -> str:
        served = await self.serve(name, **given)
        assert not served.result.failed, served.result.text
        return served.result.text

    async def bad(self, name: str, **given: Any) -> str:
        served = await self.serve(name, **given)
        assert served.result.failed, served.result.text
        assert served.trouble
        return served.result.text

    async def content(self, path: str) -> bytes | None:
        entry = await self.candidate.read(path)
        return entry.content if entry else None


@pytest.fixture
async def room(tmp_path: Path) -> Any:
    made = Workroom(tmp_path)
    yield made
    await made.candidate.close()


# --- every path --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../outside", "src/../../x", ".git/config", ".agent-lsp/state.db", "a\0b"]
)
@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("read_file", {}),
        ("list_files", {}),
        ("search", {"pattern": "x"}),
        ("edit_file", {"old_text": "a", "new_text": "b"}),
        ("write_file", {"content": "x"}),
        ("move_file", {"new_path": "fine.py"}),
        ("delete_file", {}),
    ],
)
async def test_no_tool_takes_a_path_that_is_not_its_business(
    room: Workroom, name: str, rest: dict[str, str], path: str
) -> None:
    before = await room.candidate.harvest()
    await room.bad(name, path=path, **rest)
    assert await room.candidate.harvest() == before == ()


async def test_a_patch_and_a_move_do_not_leave_the_root_either(room: Workroom) -> None:
    await room.bad("move_file", path="app.py", new_path="../app.py")
    await room.bad("apply_patch", patch="--- /dev/null\n+++ b/../../evil.py\n@@ -0,0 +1 @@\n+x = 1\n")
    await room.bad("run_tests", tests=["../other/test_a.py::test_x"])
    assert await room.candidate.harvest() == ()


# --- list_files, read_file ---------------------------------------------------------------------------------------


async def test_list_files_lists_all_a_folder_or_what_matches(room: Workroom) -> None:
    assert (await room.good("list_files")).splitlines() == sorted(FILES)
    assert await room.good("list_files", path="src/") == "src/pkg/core.py\nsrc/pkg/util.py"
    assert await room.good("list_files", glob="*.py") == "app.py\nsrc/pkg/core.py\nsrc/pkg/util.py"
    assert await room.good("list_files", path=None, glob="src/**/c*.py") == "src/pkg/core.py"
    assert "No file" in await room.good("list_files", glob="*.rs")
    assert "There are no files under srcs" in await room.bad("list_files", path="srcs")


async def test_a_long_listing_is_given_by_folders(room: Workroom) -> None:
    for number in range(450):
        await room.candidate.write(f"many/{number % 3}/f{number}.txt", Entry(b"x"))
    text = await room.good("list_files")
    assert "many/  (450 files)" in text
    assert "app.py" in text
    assert "many/0/  (150 files)" in await room.good("list_files", path="many")


async def test_read_file_numbers_lines_and_reads_parts(room: Workroom) -> None:
    assert await room.good("read_file", path="app.py", start_line=2, end_line=2) == (
        "app.py, lines 2-2 of 6:\n    2\t    return a - b"
    )
    assert (await room.good("read_file", path="./src/../app.py", start_line=5, end_line=99)).count("\n") == 2
    assert "CRLF" in await room.good("read_file", path="crlf.txt")
    assert "café" in await room.good("read_file", path="latin.txt")
    assert "binary (3 bytes)" in await room.good("read_file", path="blob.bin")
    assert await room.good("read_file", path="empty.txt") == "empty.txt is empty."


async def test_read_file_says_what_is_wrong(room: Workroom) -> None:
    assert "has 6 lines" in await room.bad("read_file", path="app.py", start_line=50)
    assert "before start_line" in await room.bad("read_file", path="app.py", start_line=4, end_line=2)
    assert "Did you mean src/pkg/core.py?" in await room.bad("read_file", path="core.py")
    assert "is a folder" in await room.bad("read_file", path="src")


async def test_a_long_file_is_cut_and_says_where_to_go_on(room: Workroom) -> None:
    await room.candidate.write("long.txt", Entry("".join(f"{n}\n" for n in range(1, 4001)).encode()))
    text = await room.good("read_file", path="long.txt")
    assert "lines 1-1500 of 4000" in text
    assert "start_line 1501" in text


# --- search ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["what is there", "python"])
async def searching(room: Workroom, request: pytest.FixtureRequest) -> Workroom:
    if request.param == "python":
        room.bench.searcher = _python(_PYTHONS[0])[0]
    return room


async def test_search_finds_by_expression_path_glob_and_case(searching: Workroom) -> None:
    room = searching
    assert (
        await room.good("search", pattern=r"return \w") == "app.py:2:     return a - b\napp.py:6:     return add(1, 2)"
    )
    assert await room.good("search", pattern="name", path="src") == "src/pkg/util.py:1: name = 'util'"
    both = await room.good("search", pattern="name", glob="*.py", ignore_case=True)
    assert both == "src/pkg/core.py:1: NAME = 'core'\nsrc/pkg/util.py:1: name = 'util'"
    assert "Nothing matches zzz" in await room.good("search", pattern="zzz")
    assert (await room.good("search", pattern="- b", path="app.py")).startswith("app.py:2:")
    assert (await room.good("search", pattern="-x", path="app.py")).startswith("Nothing matches -x.")
    assert "app.py:1:" in await room.good("search", pattern="def add", path="app.py")


async def test_search_tells_a_pattern_that_cannot_be_read_and_a_path_that_is_not_there(searching: Workroom) -> None:
    assert "regex parse error" in await searching.bad("search", pattern="(unclosed")
    assert "There is nothing at nowhere" in await searching.bad("search", pattern="x", path="nowhere")
    assert "pattern" in await searching.bad("search", pattern="")


async def test_search_is_bounded(searching: Workroom) -> None:
    for number in range(10):
        await searching.candidate.write(f"m/{number}.txt", Entry(b"hit\n" * 100))
    text = await searching.good("search", pattern="hit")
    assert text.count("\n") == 200
    assert "more than 200 matches" in text


async def test_a_pattern_that_never_ends_is_stopped_and_blocks_nothing(
    room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_lsp.agent.tools.search.TIMEOUT_S", 0.3)
    room.bench.searcher = _python(_PYTHONS[0])[0]
    await room.candidate.write("evil.txt", Entry(b"a" * 60 + b"!\n"))
    assert "simpler pattern" in await room.bad("search", pattern="(a+)+$", path="evil.txt")


async def test_the_note_on_syntax_is_given_where_ripgrep_is_not_there(room: Workroom) -> None:
    room.bench.searcher = _python(_PYTHONS[0])[0]
    assert "ripgrep is not there" in await room.bad("search", pattern=r"\p{L}+")


# --- edit_file, write_file ---------------------------------------------------------------------------------------


async def test_edit_file_replaces_once_and_shows_the_place(room: Workroom) -> None:
    text = await room.good("edit_file", path="app.py", old_text="return a - b", new_text="return a + b")
    assert "    2\t    return a + b" in text
    assert await room.content("app.py") == FILES["app.py"].replace(b"a - b", b"a + b")


async def test_edit_file_keeps_encoding_bom_line_ends_and_mode(room: Workroom) -> None:
    await room.good("edit_file", path="crlf.txt", old_text="one\ntwo", new_text="one\nand\ntwo")
    assert await room.content("crlf.txt") == b"one\r\nand\r\ntwo\r\n"
    await room.good("edit_file", path="bom.txt", old_text="value", new_text="worth")
    assert await room.content("bom.txt") == b"\xef\xbb\xbfworth\n"
    await room.good("edit_file", path="latin.txt", old_text="café = 1", new_text="café = 2")
    assert await room.content("latin.txt") == b"caf\xe9 = 2\n"
    await room.good("edit_file", path="run.sh", old_text="old", new_text="new")
    entry = await room.candidate.read("run.sh")
    assert entry is not None
    assert entry.mode is FileMode.EXECUTABLE


async def test_edit_file_refuses_what_is_not_unique_not_there_or_no_change(room: Workroom) -> None:
    assert "return" in await room.bad("edit_file", path="app.py", old_text="return a * b", new_text="x")
    await room.bad("edit_file", path="app.py", old_text="return", new_text="yield")
    await room.good("edit_file", path="app.py", old_text="return", new_text="yield", replace_all=True)
    assert "same" in await room.bad("edit_file", path="app.py", old_text="yield a", new_text="yield a")
    assert "empty" in await room.bad("edit_file", path="app.py", old_text="", new_text="x")
    assert "binary" in await room.bad("edit_file", path="blob.bin", old_text="a", new_text="b")
    assert "no file nope.py" in await room.bad("edit_file", path="nope.py", old_text="a", new_text="b")


async def test_write_file_creates_with_folders_and_overwrites_in_the_files_own_form(room: Workroom) -> None:
    assert "Created new/deep/file.py (1 lines)" in await room.good("write_file", path="new/deep/file.py", content="x\n")
    await room.good("write_file", path="crlf.txt", content="three\nfour\n")
    assert await room.content("crlf.txt") == b"three\r\nfour\r\n"
    await room.good("write_file", path="run.sh", content="#!/bin/sh\n")
    entry = await room.candidate.read("run.sh")
    assert entry is not None
    assert entry.mode is FileMode.EXECUTABLE
    assert "is a folder" in await room.bad("write_file", path="src", content="x")
    assert await room.content("new/deep/file.py") == b"x\n"


# --- move_file, delete_file, apply_patch -------------------------------------------------------------------------


async def test_move_and_delete(room: Workroom) -> None:
    await room.good("move_file", path="run.sh", new_path="bin/run.sh")
    entry = await room.candidate.read("bin/run.sh")
    assert entry == Entry(FILES["run.sh"], FileMode.EXECUTABLE)
    assert await room.content("run.sh") is None
    assert "already is something" in await room.bad("move_file", path="app.py", new_path="crlf.txt")
    assert "already is something" in await room.bad("move_file", path="app.py", new_path="src")
    assert "same" in await room.bad("move_file", path="app.py", new_path="./app.py")
    await room.good("delete_file", path="app.py")
    assert await room.content("app.py") is None
    assert "no file app.py" in await room.bad("delete_file", path="app.py")
    assert "is a folder" in await room.bad("delete_file", path="src")


async def test_apply_patch_changes_creates_and_deletes_in_one_go(room: Workroom) -> None:
    patch = (
        "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
        "--- /dev/null\n+++ b/made.py\n@@ -0,0 +1 @@\n+made = 1\n"
        "--- a/docs/read.me\n+++ /dev/null\n@@ -1 +0,0 @@\n-Name and name\n"
    )
    text = await room.good("apply_patch", patch=patch)
    assert "changed app.py" in text
    assert "created made.py" in text
    assert "deleted docs/read.me" in text
    assert b"a + b" in (await room.content("app.py") or b"")
    assert await room.content("made.py") == b"made = 1\n"
    assert await room.content("docs/read.me") is None


async def test_a_patch_with_one_wrong_file_changes_none(room: Workroom) -> None:
    patch = (
        "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
        "--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1 +1 @@\n-not in the file at all\n+x\n"
    )
    await room.bad("apply_patch", patch=patch)
    await room.bad("apply_patch", patch="just words")
    assert await room.candidate.harvest() == ()


async def test_a_patch_keeps_the_form_of_the_file(room: Workroom) -> None:
    await room.good("apply_patch", patch="--- a/crlf.txt\n+++ b/crlf.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n")
    assert await room.content("crlf.txt") == b"one\r\nzwei\r\n"


# --- run_tests, run_command, ask_user ----------------------------------------------------------------------------


async def test_run_tests_tells_failures_with_their_messages(room: Workroom) -> None:
    cases = {
        "t.py::a": CaseResult("t.py::a", Outcome.PASSED),
        "t.py::b": CaseResult("t.py::b", Outcome.FAILED, "E   assert 1 == 2", "t.py", 3),
    }
    room.report = SuiteReport("pytest", cases, 2)
    served = await room.serve("run_tests", tests=["./t.py::b"])
    assert "assert 1 == 2" in served.result.text
    assert "t.py::b" in served.result.text
    assert (served.result.failed, served.trouble) == (False, False), "a failing test is a result"
    assert room.asked == [["t.py::b"]]
    room.report = SuiteReport("pytest")
    assert (await room.serve("run_tests")).trouble, "nothing ran"
    room.report = RunnerUnavailableError("no pytest", hint="install it")
    assert "could not be started: no pytest install it" in await room.bad("run_tests")


async def test_run_command_tells_status_output_and_time_out(room: Workroom) -> None:
    text = await room.good("run_command", command="echo hello; echo error >&2; exit 3")
    assert text.startswith("Exit status 3")
    assert "hello\nerror" in text
    assert "(no output)" in await room.good("run_command", command="true")
    assert "Stopped after" in await room.good("run_command", command="sleep 30", timeout_s=0.2)
    assert "timeout_s" in await room.bad("run_command", command="true", timeout_s=-1)
    long = await room.good("run_command", command="seq 1 20000")
    assert len(long) < 25_000
    assert "left out" in long
    assert long.rstrip().endswith("20000")


async def test_ask_user_without_anybody_to_ask_says_to_decide(room: Workroom) -> None:
    assert "decide by yourself" in await room.bad("ask_user", question="Which?")


# --- the ends of the phases --------------------------------------------------------------------------------------


async def test_a_plan_is_read_into_the_domain_and_assessed_by_its_length(room: Workroom) -> None:
    steps = [{"title": " A ", "files": ["a.py"], "acceptance": "test_a passes"}, {"title": "B", "note": "extra"}]
    ended = (await room.serve("submit_plan", assessment="simple", steps=steps)).ends
    assert isinstance(ended, Plan)
    assert ended.assessment is Assessment.MULTI_STEP
    assert (ended.steps[0].title, ended.steps[0].files, ended.steps[0].acceptance) == ("A", ("a.py",), "test_a passes")
    assert "steps" in await room.bad("submit_plan", assessment="simple", steps=[])
    assert "title" in await room.bad("submit_plan", assessment="simple", steps=[{"title": "  "}])
    assert "assessment" in await room.bad("submit_plan", assessment="huge", steps=[{"title": "A"}])


async def test_a_reflection_is_read_into_the_domain(room: Workroom) -> None:
    served = await room.serve("submit_reflection", assessment="off by one", decision="retry", reason="use <=")
    assert served.ends == Reflection(ReflectionDecision.RETRY, "use <=", "off by one")
    assert "adapt needs the steps" in await room.bad("submit_reflection", decision="adapt", reason="x")
    assert "decision" in await room.bad("submit_reflection", decision="maybe", reason="x")


async def test_a_tool_that_breaks_is_an_answer_and_not_an_exception(
    room: Workroom, caplog: pytest.LogCaptureFixture
) -> None:
    room.report = ZeroDivisionError("a bug of ours")
    assert "run_tests failed: ZeroDivisionError: a bug of ours" in await room.bad("run_tests")
    assert "the tool run_tests failed" in caplog.text


def test_schemas_are_plain_and_name_what_is_required() -> None:
    for tools in TOOLS.values():
        for tool in tools:
            schema = tool.spec().input_schema
            assert schema["type"] == "object"
            assert "$ref" not in str(schema)
            assert "$defs" not in schema
            assert "'title': '" not in str(schema)
    plan = {tool.name: tool for tool in TOOLS[Phase.PLANNING]}["submit_plan"].spec().input_schema
    assert plan["required"] == ["assessment", "steps"]
    assert set(plan["properties"]["steps"]["items"]["properties"]) == {"title", "detail", "files", "acceptance"}


def test_the_schema_of_a_tool_is_made_once_and_no_request_writes_into_it() -> None:
    tools = tuple(tool.spec() for tool in TOOLS[Phase.EXECUTION])
    before = deepcopy([tool.input_schema for tool in tools])
    request = ModelRequest(Phase.EXECUTION, "be brief", (Message("user", (Text("go"),)),), tools)
    anthropic_body(request, "m", {}, force=True)
    chat_body(request, "m", Dialect())
    again = [tool.spec().input_schema for tool in TOOLS[Phase.EXECUTION]]
    assert all(one is tool.input_schema for one, tool in zip(again, tools, strict=True))
    assert again == before


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.py", "a/b/c.py", True),
        ("*.py", "a.pyc", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/x/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("**/test_*.py", "deep/er/test_a.py", True),
        ("src/", "src/x/y", True),
        ("*.{js,ts}", "x/a.ts", True),
        ("[!a]*.py", "b.py", True),
        ("[!a]*.py", "a.py", False),
        ("a?c", "abc", True),
        ("/top.py", "top.py", True),
        ("/top.py", "x/top.py", False),
        ("{a,b", "a", True),
        ("a.b", "aXb", False),
    ],
)
def test_globs_match_as_in_ripgrep(glob: str, path: str, matches: bool) -> None:
    assert bool(glob_matcher(glob).fullmatch(path)) is matches


def test_a_glob_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        glob_matcher("[z-a]")
