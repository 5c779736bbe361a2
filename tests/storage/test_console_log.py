"""The console log: lines, files, rotation, several processes, and what is there after a crash."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_lsp.domain.scope import scope
from agent_lsp.storage.console_log import ConsoleLog, configure_logging
from agent_lsp.storage.log_reader import error_blocks, follow, parse_block, read_tail

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) (?P<level>[A-Z]+) "
    r"(?P<process>[\w-]+)\[(?P<pid>\d+)\] run=(?P<run>\S+) req=(?P<req>\S+) (?P<logger>[\w.]+)(?P<mark>[:|]) "
    r"(?P<message>.*)"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "work" / ".agent-lsp"


@pytest.fixture
def log(folder: Path) -> Iterator[ConsoleLog]:
    console = configure_logging(folder, process="edge", level="info")
    yield console
    console.close()


def lines_of(log: ConsoleLog) -> list[str]:
    assert log.flush_within(10)
    return log.path.read_text("utf-8").splitlines()


def test_a_line_tells_time_level_process_run_request_and_logger(log: ConsoleLog) -> None:
    with scope(run_id="r_1", request_id=7):
        logging.getLogger("agent_lsp.demo").info("hello %s", "world")
    found = LINE.fullmatch(lines_of(log)[-1])
    assert found is not None
    assert found["level"], found["process"] == ("INFO", "edge")
    assert (found["pid"], found["run"], found["req"]) == (str(os.getpid()), "r_1", "7")
    assert (found["logger"], found["message"]) == ("agent_lsp.demo", "hello world")


def test_extra_names_the_run_where_no_scope_does_and_wins_over_it(log: ConsoleLog) -> None:
    with scope(run_id="r_outer"):
        logging.getLogger("demo").info("one", extra={"run_id": "r_extra", "request_id": 3})
    logging.getLogger("demo").info("two")
    one, two = lines_of(log)[-2:]
    assert "run=r_extra req=3" in one
    assert "run=- req=-" in two


async def test_the_scope_follows_tasks_and_does_not_leak_between_them(log: ConsoleLog) -> None:
    async def work(run: str) -> None:
        with scope(run_id=run):
            await asyncio.sleep(0)
            logging.getLogger("demo").info("in %s", run)

    await asyncio.gather(*(work(f"r_{number}") for number in range(5)))
    for line in lines_of(log)[-5:]:
        assert re.search(r"run=(\S+) .*in \1$", line)


def test_every_line_of_a_long_message_has_its_own_head_and_no_control_characters(log: ConsoleLog) -> None:
    logging.getLogger("demo").warning("first\nsecond \x1b[31mred\x00\r\nthird\u2028fourth")
    found = [LINE.fullmatch(line) for line in lines_of(log)[-4:]]
    assert [match["mark"] for match in found if match] == [":", "|", "|", "|"]
    assert [match["message"] for match in found if match] == ["first", "second \\x1b[31mred\\x00", "third", "fourth"]


def test_the_folder_keeps_itself_out_of_git(log: ConsoleLog, folder: Path) -> None:
    logging.getLogger("demo").info("x")
    lines_of(log)
    assert (folder / ".gitignore").read_text() == "*\n"
    assert log.path.stat().st_mode & 0o077 == 0


def test_lines_below_the_level_and_the_chatter_of_libraries_are_left_out(log: ConsoleLog) -> None:
    logging.getLogger("demo").debug("too low")
    logging.getLogger("pygls.protocol").info("a whole message body")
    logging.getLogger("httpx2").info("a request")
    logging.getLogger("pygls.server").warning("worth it")
    text = "\n".join(lines_of(log))
    assert "worth it" in text
    assert "too low" not in text
    assert "body" not in text
    assert "a request" not in text


def test_closing_gives_the_loggers_back_as_they_were(folder: Path) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("pygls").level, sys.excepthook, threading.excepthook
    log = configure_logging(folder, process="edge")
    log.close()
    log.close()
    after = root.level, list(root.handlers), logging.getLogger("pygls").level, sys.excepthook, threading.excepthook
    assert before == after
    logging.getLogger("demo").info("nobody listens")


def test_warnings_of_python_land_in_the_log(folder: Path) -> None:
    code = (
        "import warnings, sys\nfrom pathlib import Path\n"
        "from agent_lsp.storage.console_log import configure_logging\n"
        "configure_logging(Path(sys.argv[1]), process='edge')\nwarnings.warn('old thing')\n"
    )
    run(code, folder)
    assert "old thing" in read_tail(folder / "copilot_console.log", 10)


@pytest.mark.parametrize("mixed_sizes", [False, True])
def test_two_processes_with_rotation_lose_and_tear_no_line(folder: Path, mixed_sizes: bool) -> None:
    code = (
        "import logging, sys\nfrom pathlib import Path\n"
        "from agent_lsp.storage.console_log import configure_logging\n"
        "size = int(sys.argv[3])\n"
        "log = configure_logging(Path(sys.argv[1]), max_bytes=size, backups=60, process=sys.argv[2])\n"
        "for n in range(2000):\n"
        "    logging.getLogger('demo').info('line %d of %s end', n, sys.argv[2])\n"
        "    if n % 20 == 0: log.flush_within(5)\n"
        "log.close()\n"
    )
    sizes = ("20000", "26000") if mixed_sizes else ("20000", "20000")
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), name, size])
        for name, size in zip(("edge", "runtime"), sizes, strict=True)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    files = sorted(folder.glob("copilot_console.log*"))
    assert len(files) > 5
    seen = [line for file in files for line in file.read_text().splitlines()]
    assert all(LINE.fullmatch(line) for line in seen)
    for name in ("edge", "runtime"):
        numbers = [int(m[1]) for line in seen if (m := re.search(rf"line (\d+) of {name} end", line))]
        assert sorted(numbers) == list(range(2000))


def test_only_the_wanted_number_of_rotated_files_stays(folder: Path) -> None:
    log = configure_logging(folder, max_bytes=2000, backups=2, process="edge")
    for number in range(300):
        logging.getLogger("demo").info("line %d", number)
        log.flush_within(5)
    log.close()
    assert sorted(file.name for file in folder.glob("copilot*")) == [
        "copilot_console.log",
        "copilot_console.log.1",
        "copilot_console.log.2",
    ]
    assert read_tail(log.path, 25).count("\n") == 25
    assert "line 299" in read_tail(log.path, 1)


@pytest.mark.parametrize("max_bytes", [5_000_000, 300])
def test_a_folder_that_is_deleted_meanwhile_is_made_again(folder: Path, max_bytes: int) -> None:
    log = configure_logging(folder, max_bytes=max_bytes, process="edge")
    for number in range(20):
        logging.getLogger("demo").info("before %d", number)
        log.flush_within(5)
    shutil.rmtree(folder)
    logging.getLogger("demo").info("after")
    log.flush_within(5)
    logging.getLogger("demo").info("and after")
    log.close()
    assert (folder / ".gitignore").exists()
    text = read_tail(log.path, 10)
    assert "demo: after" in text
    assert "demo: and after" in text


def test_where_the_folder_cannot_be_made_lines_go_to_stderr_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    log = configure_logging(tmp_path / "file" / ".agent-lsp", process="edge")
    logging.getLogger("demo").info("one password=hunter2hunter2")
    log.flush_within(5)
    logging.getLogger("demo").error("two")
    log.close()
    shown = capsys.readouterr().err
    assert shown.count(f"cannot write {tmp_path}") == 1
    assert "demo: one password=***" in shown
    assert "demo: two" in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_told_once_and_used_when_it_opens(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    log = configure_logging(folder, process="edge")
    logging.getLogger("demo").info("one")
    log.flush_within(5)
    folder.chmod(0o700)
    log.close()
    assert "Permission denied" in capsys.readouterr().err


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )


START_UP = (
    "import asyncio, gc, logging, os, sys, threading, time\nfrom pathlib import Path\n"
    "from agent_lsp.storage.console_log import configure_logging\n"
    "from agent_lsp.storage.log_hooks import watch_loop\n"
    "log = configure_logging(Path(sys.argv[1]), process='runtime')\n"
)

UNHANDLED = {
    "top level": ("raise LookupError('lost it')", 1, "unhandled error at top level"),
    "thread": (
        "t = threading.Thread(target=lambda: [].remove(1), name='worker-3'); t.start(); t.join()",
        0,
        "unhandled error in thread worker-3",
    ),
    "task": (
        (
            "async def main():\n"
            "    watch_loop(asyncio.get_running_loop())\n"
            "    async def boom(): raise LookupError('in a task')\n"
            "    task = asyncio.create_task(boom(), name='boomer')\n"
            "    await asyncio.sleep(0); await asyncio.sleep(0); del task; gc.collect()\n"
            "asyncio.run(main())"
        ),
        0,
        "Task exception was never retrieved (task boomer)",
    ),
    "callback": (
        (
            "async def main():\n"
            "    watch_loop(asyncio.get_running_loop())\n"
            "    asyncio.get_running_loop().call_soon(lambda: {}['k'])\n"
            "    await asyncio.sleep(0)\n"
            "asyncio.run(main())"
        ),
        0,
        "Exception in callback",
    ),
    "finaliser": (
        "class A:\n    def __del__(self): raise LookupError('del')\nA(); gc.collect()",
        0,
        "Exception ignored in",
    ),
}


@pytest.mark.parametrize("where", UNHANDLED)
def test_an_unhandled_error_lands_in_the_log_as_one_block(where: str, folder: Path) -> None:
    code, status, logged = UNHANDLED[where]
    done = run(START_UP + code, folder)
    assert done.returncode == status, done.stderr
    [block] = error_blocks(folder / "copilot_console.log")
    fields = parse_block(block)
    assert logged in fields["logged"] or (where == "finaliser" and "__del__" in fields["logged"])
    assert fields["type"] in ("LookupError", "ValueError", "KeyError")
    assert done.stdout == ""


def test_ctrl_c_and_system_exit_are_no_errors(folder: Path) -> None:
    run(START_UP + "logging.info('x')\nsys.exit(3)", folder)
    run(START_UP + "raise KeyboardInterrupt", folder)
    assert error_blocks(folder / "copilot_console.log") == []


def test_a_logged_error_is_on_disk_before_the_call_returns_even_if_the_process_dies_then(folder: Path) -> None:
    done = run(START_UP + "logging.info('before')\nlogging.error('the last words')\nos._exit(9)", folder)
    assert done.returncode == 9
    path = folder / "copilot_console.log"
    assert ": before\n" in path.read_text()
    assert parse_block(error_blocks(path)[0])["message"] == "the last words"


def test_what_was_logged_a_moment_before_kill_9_is_in_the_file(folder: Path) -> None:
    code = START_UP + "logging.info('the last line')\nprint('logged', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "logged\n"
        path = folder / "copilot_console.log"
        limit = time.monotonic() + 10
        while not (path.exists() and path.stat().st_size) and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert "the last line" in path.read_text()


async def test_logging_an_error_holds_an_event_loop_no_longer_than_twenty_milliseconds(folder: Path) -> None:
    log = configure_logging(folder, process="edge")
    log.warm_up()
    await asyncio.to_thread(log.flush_within, 10)
    taken = []
    for _ in range(20):
        started = time.perf_counter()
        try:
            raise ValueError("x" * 2000)
        except ValueError:
            logging.getLogger("demo").exception("oh")
        taken.append(time.perf_counter() - started)
        await asyncio.sleep(0)
    await asyncio.to_thread(log.close)
    assert sorted(taken)[5] < 0.020, "a quarter is enough: the machine may be busy with other things"
    assert len(error_blocks(log.path)) == 20


def test_the_edge_loads_no_heavy_library_for_plain_lines(folder: Path) -> None:
    code = START_UP + (
        "logging.getLogger('demo').info('plain')\nlog.flush_within(5)\n"
        "print(sorted({'concurrent_log_handler', 'detect_secrets', 'requests', 'pydantic'} & set(sys.modules)))"
    )
    assert run(code, folder).stdout == "[]\n"


def test_wrong_arguments_and_odd_messages_never_raise_into_the_code_that_logs(log: ConsoleLog) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    logger = logging.getLogger("demo.odd")
    logger.propagate = False  # pytest's own handler raises for these
    logger.addHandler(log)
    logger.info("%d", "not a number")
    logger.info(Odd())
    logger.info({"a": 1})
    logger.info("lone \udc80 surrogate")
    logger.info("x" * 1_000_000)
    logger.removeHandler(log)
    text = "\n".join(lines_of(log))
    assert "'%d' with unfit arguments ('not a number',)" in text
    assert "{'a': 1}" in text
    assert "lone \\udc80 surrogate" in text
    assert "characters left out" in text
    assert len(text) < 60_000


def test_the_tail_reads_the_last_lines_or_the_last_whole_blocks(log: ConsoleLog) -> None:
    logger = logging.getLogger("demo")
    for number in range(3):
        logger.info("line %d", number)
        logger.error("error %d", number)
    assert log.flush_within(5)
    assert read_tail(log.path, 1).strip() == "=== COPILOT ERROR END ==="
    blocks = error_blocks(read_tail(log.path, 1000, errors_only=True))
    assert [parse_block(block)["message"] for block in blocks] == ["error 0", "error 1", "error 2"]
    [last] = error_blocks(read_tail(log.path, 1, errors_only=True))
    assert parse_block(last)["message"] == "error 2"
    assert read_tail(log.path.with_name("none.log"), 5) == ""
    assert read_tail(log.path, 0) == ""


def test_a_block_that_a_crash_cut_off_does_not_swallow_the_next_one() -> None:
    text = "=== COPILOT ERROR START ===\ntype: A\n=== COPILOT ERROR START ===\ntype: B\n=== COPILOT ERROR END ===\nx\n"
    assert [parse_block(block) for block in error_blocks(text)] == [{"type": "A"}, {"type": "B"}]


def test_following_shows_old_and_new_lines_through_several_rotations(folder: Path) -> None:
    log = configure_logging(folder, max_bytes=1500, backups=50, process="edge")
    logger = logging.getLogger("demo")
    logger.info("number 0")
    log.flush_within(5)
    seen: list[str] = []

    def read() -> None:
        for line in follow(log.path, lines=10):
            seen.append(line)
            if line.endswith("number 199"):
                return

    reader = threading.Thread(target=read)
    reader.start()
    deadline_s = time.monotonic() + 10
    while not seen and time.monotonic() < deadline_s:  # it shows the last ten lines of what is there when it begins
        time.sleep(0.01)
    for number in range(1, 200):
        logger.info("number %d", number)
        if number % 7 == 0:
            log.flush_within(5)
    log.close()
    reader.join(10)
    numbers = [int(match[1]) for line in seen if (match := re.search(r"number (\d+)$", line))]
    assert numbers == list(range(200))


def test_following_only_errors_shows_only_blocks_and_waits_for_a_log_that_is_not_there_yet(folder: Path) -> None:
    path = folder / "copilot_console.log"
    found: list[str] = []
    reader = threading.Thread(
        target=lambda: found.extend(follow(path, errors_only=True, stop=lambda: "=== COPILOT ERROR END ===" in found))
    )
    reader.start()
    log = configure_logging(folder, process="edge")
    logging.getLogger("demo").info("not this")
    logging.getLogger("demo").error("but this")
    log.close()
    reader.join(10)
    assert found[0] == "=== COPILOT ERROR START ==="
    assert found[1].startswith("time: ")


def test_the_parser_of_the_docs_reads_a_real_log(log: ConsoleLog, tmp_path: Path) -> None:
    try:
        os.environ["NO_SUCH_VARIABLE"]
    except KeyError:
        logging.getLogger("demo").exception("could not look it up")
    assert log.flush_within(5)
    docs = (Path(__file__).parents[2] / "docs" / "copilot-log.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", docs, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code, str(log.path)], capture_output=True, text=True, timeout=60, check=True
    )
    [row] = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["type"] == "KeyError"
    assert row["logged"] == "could not look it up"
    [command] = re.findall(r"```sh\n(sed .*?)\n```", docs, re.DOTALL)
    shown = subprocess.run(
        ["sh", "-c", command], cwd=log.path.parent.parent, capture_output=True, text=True, timeout=60, check=True
    )
    assert error_blocks(shown.stdout) == error_blocks(log.path)
