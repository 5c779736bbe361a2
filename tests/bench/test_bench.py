"""The parts of `make bench` that can be wrong without anybody seeing it in a figure."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.anthropic_server import AnthropicServer, Call, ParsedRequest, edit
from tests.bench.chart import chart
from tests.bench.contenders import BARE, OURS, Contender
from tests.bench.edge import measure_client_us
from tests.bench.editor import Editor, python_text
from tests.bench.lean_client import Frames, LeanClient, ServerFailedError, frame
from tests.bench.measure import Comparison, Row, in_rounds, percentile, rotated
from tests.bench.memory import Stages, waiting
from tests.bench.memory import rows as memory_rows
from tests.bench.page import CHART, FIGURES, PAGE, edge_part, plain_part, put, write
from tests.bench.repair import UNSEEN2, Tried, rows_of, spread
from tests.bench.turns import Script, play, said, script
from tests.bench.turns import rows as turn_rows
from tests.repair_bugs.everyday import EVERYDAY
from tests.repair_bugs.slip import Slip
from tests.repair_bugs.unseen import UNSEEN

FASTER = Comparison("quick thing", "ms", {OURS: 2.0, BARE: 10.0, "other": None, "slow": 5000.0}, aim=0.4)
RATE = Comparison("rate", "/s", {OURS: 20_000.0, BARE: 1000.0}, aim=10.0, more_is_better=True)
GROWTH = Comparison("growth", "MiB", {OURS: -0.3, BARE: 75.0}, bound=1.0)

ANSWERING = """
import json, os, sys
def read():
    length = int(sys.stdin.buffer.readline().split(b":")[1]); sys.stdin.buffer.readline()
    return json.loads(sys.stdin.buffer.read(length))
def write(message):
    body = json.dumps(message).encode()
    data = b"content-length: %d\\r\\nContent-Type: x\\r\\n\\r\\n" % len(body) + body
    for at in range(0, len(data), 7):
        os.write(1, data[at:at + 7])
"""
ASKS_BACK = (
    ANSWERING
    + """
first = read()
write({"jsonrpc": "2.0", "id": 1, "method": "workspace/configuration", "params": {"items": [{}, {}]}})
answer = read()
write({"jsonrpc": "2.0", "method": "window/logMessage", "params": {}})
write({"jsonrpc": "2.0", "id": first["id"], "result": answer["result"]})
read()
"""
)
DIES = ANSWERING + "read(); sys.exit('out of ideas')"
TAKES_MUCH = (
    ANSWERING
    + """
while True:
    message = read()
    if "id" in message:
        write({"jsonrpc": "2.0", "id": message["id"], "result": len(message["params"] or "")})
    elif message["method"] == "exit":
        break
"""
)


@pytest.fixture
def client(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], LeanClient]:
    def start(code: str) -> LeanClient:
        errors = (tmp_path / "errors").open("w+b")
        client = LeanClient([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, errors=errors)
        request.addfinalizer(errors.close)
        request.addfinalizer(client.leave)
        return client

    return start


def test_the_hundredth_of_a_hundred_is_the_99th_percentile_and_the_median_is_in_the_middle() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 0.99) == 100.0
    assert percentile(values, 0.5) == 51.0
    assert percentile([3.0], 0.99) == 3.0


def test_every_server_begins_as_often_as_any_other_and_the_pair_that_counts_changes_places() -> None:
    firsts = [rotated(["a", "b", "c"], number)[0] for number in range(12)]
    assert {name: firsts.count(name) for name in "abc"} == {"a": 4, "b": 4, "c": 4}
    pairs = [tuple(rotated(["a", "b"], number)) for number in range(4)]
    assert pairs.count(("a", "b")) == pairs.count(("b", "a")) == 2
    assert all(sorted(rotated(["a", "b", "c"], number)) == ["a", "b", "c"] for number in range(6))


def test_a_server_that_fails_once_is_left_out_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> int:
        raise ServerFailedError("no answer")

    results = in_rounds("t", 4, {"good": lambda: 1, "bad": failing, "seldom": lambda: 2}, seldom={"seldom"})
    assert results == {"good": [1, 1, 1, 1], "bad": [], "seldom": [2, 2]}
    assert capsys.readouterr().err.count("bad is left out: no answer") == 1


def test_frames_are_found_whole_however_the_bytes_are_cut() -> None:
    data = frame({"id": 1, "text": "é𝄞"}) + b"content-LENGTH: 2\r\nContent-Type: x\r\n\r\n{}"
    frames, bodies = Frames(), []
    for at in range(len(data)):
        frames.feed(data[at : at + 1])
        while (body := frames.next()) is not None:
            bodies.append(json.loads(body))
    assert bodies == [{"id": 1, "text": "é𝄞"}, {}]


def test_a_header_without_a_length_is_an_error_and_not_a_wait() -> None:
    frames = Frames()
    frames.feed(b"Content-Type: x\r\n\r\n{}")
    with pytest.raises(ServerFailedError, match="without Content-Length"):
        frames.next()


def test_the_client_answers_what_a_server_asks_before_it_answers(client: Callable[[str], LeanClient]) -> None:
    talk = client(ASKS_BACK)
    assert talk.request("a", {}) == [None, None]
    assert [note["method"] for note in talk.notifications] == ["window/logMessage"]


def test_a_server_that_dies_is_named_with_its_last_words(client: Callable[[str], LeanClient]) -> None:
    with pytest.raises(ServerFailedError, match="out of ideas"):
        client(DIES).request("a", {})


def test_more_than_a_pipe_holds_is_written_while_answers_are_read(client: Callable[[str], LeanClient]) -> None:
    talk = client(TAKES_MUCH)
    for _ in range(2000):
        talk.notify("n", "x" * 200)
    msg_id, data = talk.request_frame("a", "y" * 300_000)
    answer, read_at = talk.exchange(data, msg_id)
    assert answer["result"] == 300_000
    assert read_at > talk.started


def test_the_clients_own_round_trip_is_measured(tmp_path: Path) -> None:
    assert 1 < measure_client_us(tmp_path) < 50_000


def test_changes_leave_the_document_as_it_was_and_stay_inside_its_lines(tmp_path: Path) -> None:
    editor = Editor([sys.executable, "-c", TAKES_MUCH], tmp_path)
    text = python_text(300)
    with editor:
        editor.open("file:///a.py", text)
        frames, lines = Frames(), text.split("\n")
        frames.feed(editor.changes("file:///a.py", 40))
    touched = set()
    for version in range(2, 42):
        params = json.loads(frames.next() or b"")["params"]
        assert params["textDocument"]["version"] == version
        (change,) = params["contentChanges"]
        start, end = change["range"]["start"], change["range"]["end"]
        line = lines[start["line"]]
        assert start["character"] <= end["character"] <= len(line)
        lines[start["line"]] = line[: start["character"]] + change["text"] + line[end["character"] :]
        touched.add(start["line"])
    assert lines == text.split("\n")
    assert len(touched) == 20


def test_the_measured_document_is_python_of_the_promised_length() -> None:
    text = python_text(300)
    assert text.count("\n") == 300
    compile(python_text(5000).rpartition("@dataclass")[0], "long.py", "exec")


def test_an_aim_is_met_by_ratio_by_rate_or_by_the_figure_itself() -> None:
    assert FASTER.met(OURS, BARE) is True
    assert FASTER.met("slow", BARE) is False
    assert FASTER.met("other", BARE) is None
    assert RATE.met(OURS, BARE) is True
    assert RATE.met(BARE, BARE) is False
    assert GROWTH.met(OURS, BARE) is True
    assert [row.aim_text() for row in (FASTER, RATE, GROWTH)] == ["≤ 0.4 ×", "≥ 10 ×", "< 1 MiB"]
    assert [FASTER.text(name) for name in (OURS, "slow", "other")] == ["2.00 ms", "5,000.0 ms", "\N{EN DASH}"]


def _page(folder: Path, *parts: str) -> None:
    marks = "".join(f"## {name}\n<!-- {name}: made by make bench -->\nold\n<!-- end of {name} -->\n" for name in parts)
    (folder / PAGE).write_text(f"# Title\n{marks}tail\n")


def test_one_part_measured_anew_leaves_the_others_and_the_prose(tmp_path: Path) -> None:
    _page(tmp_path, "gate", "edge")
    write(tmp_path, {"gate": plain_part([Row("the gate", "1 s", "2 s", 0.5, "≤ 1.5 ×")])})
    servers = [Contender(OURS), Contender(BARE, version="1.0"), Contender("other", missing="npm is not there")]
    told = write(tmp_path, {"edge": edge_part([FASTER, RATE, GROWTH], servers, 12.3, 9)})
    page = (tmp_path / PAGE).read_text()
    assert page.startswith("# Title\n## gate\n")
    assert page.endswith("tail\n")
    assert "old" not in page
    assert "| the gate | 1 s | 2 s | 0.50 × | ≤ 1.5 × |" in page
    assert "| quick thing | 2.00 ms | 10.0 ms | 0.20 × | ≤ 0.4 × | met | \N{EN DASH} |" in page
    assert "- other: npm is not there" in page
    assert told in page
    assert "the gate" not in told
    assert set(json.loads((tmp_path / FIGURES).read_text())) == {"gate", "edge"}
    assert ET.fromstring((tmp_path / CHART).read_text()).tag.endswith("svg")


def test_a_page_without_a_place_for_a_part_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the part busy"):
        put("# Title\n", "busy", "table\n")


def test_the_chart_is_xml_in_which_better_is_left_of_the_baseline_and_nothing_leaves_the_card() -> None:
    root = ET.fromstring(chart([FASTER, RATE, GROWTH], [OURS, "slow", "other"], BARE, "<caption> & all"))
    name = "{http://www.w3.org/2000/svg}"
    base = max(float(line.get("x1", "0")) for line in root.iter(f"{name}line") if line.get("class") == "base")
    ours = [bar for bar in root.iter(f"{name}rect") if bar.get("class") == "s0" and bar.get("rx") == "1.5"]
    assert len(ours) == 3
    assert all(float(bar.get("x", "0")) + float(bar.get("width", "0")) <= base + 2 for bar in ours)
    width = float((root.get("viewBox") or "0 0 0 0").split()[2])
    for bar in root.iter(f"{name}rect"):
        assert 0 <= float(bar.get("x", "0")) <= float(bar.get("x", "0")) + float(bar.get("width", "0")) <= width
    texts = ["".join(text.itertext()) for text in root.iter(f"{name}text")]
    assert "5,000.0 ms »" in texts
    assert "« -0.3 MiB" in texts
    assert "<caption> & all" in texts


def test_a_command_that_is_refused_is_no_answer(tmp_path: Path) -> None:
    refuses = (
        ANSWERING + 'first = read()\nwrite({"jsonrpc": "2.0", "id": first["id"], "result": {"error": "busy"}})\nread()'
    )
    with Editor([sys.executable, "-c", refuses], tmp_path) as editor, pytest.raises(ServerFailedError, match="busy"):
        editor.command("agent.run", {})


# --- turns ----------------------------------------------------------------------------------------------------------


def test_a_turn_lasts_from_one_request_to_the_next_and_counts_for_its_tool() -> None:
    wanted = [Call("read_file", {}), Call("search", {}), Call("read_file", {})]
    brain = Script(wanted, [1.0, 1.5, 3.5])
    assert not brain.over
    with pytest.raises(ServerFailedError, match="3 requests of 4 came"):
        brain.turns()
    brain.arrived_s.append(3.75)
    assert brain.turns() == {"read_file": [0.5, 0.25], "search": [2.0], "edit_file": []}


def test_the_script_calls_each_tool_as_often_as_any_other_and_edits_what_is_there() -> None:
    files = {"a/one.py": "first\n" + "x\n" * 200, "a/short.py": "x\n"}
    wanted = script(files, 6).wanted
    assert [call.name for call in wanted] == ["read_file", "search", "edit_file"] * 2
    assert wanted[2].input == edit("a/one.py", "first\n", "first\n# 2\n").input


def test_the_bare_loop_sends_what_the_run_sent(tmp_path: Path) -> None:
    wanted = [Call("read_file", {"path": "a.py"}), Call("search", {"pattern": "x"})]
    tools = [{"name": name, "description": "d", "input_schema": {"type": "object"}} for name in ("search", "edit_file")]
    messages = [{"role": "user", "content": [{"type": "text", "text": "the goal"}]}]
    for call, result in zip(wanted, ("what is in it", "where it is"), strict=True):
        asked = {"type": "tool_use", "id": f"of the run {call.name}", "name": call.name, "input": call.input}
        answer = {"type": "tool_result", "tool_use_id": asked["id"], "content": result}
        messages += [{"role": "assistant", "content": [asked]}, {"role": "user", "content": [answer]}]
    body = {"model": "m", "max_tokens": 99, "system": "be brief", "tools": tools, "messages": messages, "stream": True}
    (tmp_path / "said.json").write_text(json.dumps(said(body)))
    brain = Script(wanted)
    with AnthropicServer(brain) as model:
        play(tmp_path / "said.json", model)
    assert model.errors == []
    assert brain.over
    last = model.requests[-1].body
    assert {**last, "messages": []} == {**body, "messages": []}
    assert [_bare(message) for message in last["messages"]] == [_bare(message) for message in messages]


def _bare(message: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What was said, without the ids that the endpoint gives."""
    keys = ("type", "text", "name", "input", "content")
    return [(message["role"], *(block.get(key) for key in keys)) for block in message["content"]]


def test_what_the_harness_adds_is_the_mean_over_the_tools() -> None:
    ours = {"read_file": [0.03, 0.02, 0.04], "search": [0.06], "edit_file": [0.03]}
    loop = {"read_file": [0.02], "search": [0.02], "edit_file": [0.02]}
    *each, added = turn_rows({OURS: [ours], "loop": [loop, loop]})
    assert [(row.subject, row.baseline, round(row.ratio, 3)) for row in each] == [
        ("30.0 ms", "20.0 ms", 1.5),
        ("60.0 ms", "20.0 ms", 3.0),
        ("30.0 ms", "20.0 ms", 1.5),
    ]
    assert (added.subject, added.baseline, round(added.ratio, 3)) == ("20.0 ms", "20.0 ms", 1.0)
    with pytest.raises(ServerFailedError, match="no turns of loop"):
        turn_rows({OURS: [ours], "loop": []})


# --- memory and repair ----------------------------------------------------------------------------------------------


def test_memory_is_compared_stage_by_stage() -> None:
    stages = [Stages(20.0 + more, 60.0, 120.0, 180.0, 120.0) for more in (0.0, 5.0, 1.0)]
    found = memory_rows({OURS: stages, BARE: [Stages(30.0)]}, BARE)
    assert [(row.subject, row.baseline) for row in found] == [
        ("21.0 MiB", "30.0 MiB"),
        ("60.0 MiB", "21.0 MiB"),
        ("120.0 MiB", "60.0 MiB"),
        ("180.0 MiB", "120.0 MiB"),
        ("120.0 MiB", "120.0 MiB"),
    ]
    with pytest.raises(ServerFailedError, match=f"memory of {BARE}"):
        memory_rows({OURS: stages, BARE: []}, BARE)


def test_the_model_of_the_memory_rows_plans_and_then_keeps_silent() -> None:
    def asked(tool: str) -> ParsedRequest:
        return ParsedRequest(0, "", {}, {"tools": [{"name": tool}]})

    assert waiting(asked("submit_plan")).calls[0].name == "submit_plan"
    fault = waiting(asked("finish_step")).fault
    assert fault is not None
    assert (fault.kind, fault.after) == ("stall", 0)


def test_a_few_programs_are_the_same_ones_each_time_and_from_all_over() -> None:
    few = spread(EVERYDAY, 6)
    assert few == spread(EVERYDAY, 6)
    assert [EVERYDAY.index(slip) for slip in few] == [0, 4, 8, 12, 16, 20]
    assert spread(EVERYDAY, len(EVERYDAY)) == EVERYDAY


def test_programs_are_counted_and_edits_compared_with_bare_runs() -> None:
    slip = EVERYDAY[0]
    tried = [
        Tried(slip, solved=True, right=True, seconds=4.0, tries=30, search_s=3.0, suite_s=0.5),
        Tried(slip, solved=True, seconds=6.0, tries=60, search_s=6.0, suite_s=0.5),
        Tried(slip, seconds=60.0, tries=60, search_s=51.0, suite_s=0.5),
    ]
    found = rows_of("3 of 9", tried)
    assert [(row.subject, row.baseline) for row in found[2:]] == [("150", "120"), ("6.0 s", "0.5 s")]
    assert [row.subject for row in found[:2]] == ["2 of 3", "1 of 2"]
    assert found[2].ratio == 1.25


@pytest.mark.parametrize("slip", [*UNSEEN, *UNSEEN2], ids=lambda slip: slip.name)
def test_an_unseen_slip_is_noticed_by_what_is_shown_and_by_what_is_hidden(slip: Slip) -> None:
    names: dict[str, Any] = {}
    exec(compile(f"{slip.wrong_text()}\n{dedent(slip.setup)}", slip.name, "exec"), names)

    def gives(call: str) -> str:
        try:
            return repr(eval(call, names))
        except Exception as error:
            return type(error).__name__

    for calls in (slip.shown, slip.hidden):
        assert [gives(call) for call in calls] != slip.expected(calls)
    assert not set(slip.shown) & set(slip.hidden)
