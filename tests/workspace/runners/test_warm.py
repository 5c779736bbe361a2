"""Warm runs against cold ones: real candidates, real processes, an environment of its own in the workspace."""

import asyncio
import json
import sys
import venv
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent_lsp.domain.changes import Entry
from agent_lsp.domain.ports import Candidate, SandboxKind, SuiteRequest
from agent_lsp.domain.verdict import CaseResult, LoadedFile, Outcome, SuiteReport
from agent_lsp.workspace.runners import interpreter
from agent_lsp.workspace.runners.interpreter import Interpreter
from agent_lsp.workspace.runners.pytest_runner import PytestRunner
from agent_lsp.workspace.runners.warm import WarmRuns
from agent_lsp.workspace.runners.warm_check import differences
from agent_lsp.workspace.runners.warm_memory import Experience, WarmMemory
from tests.workspace.scenes import put, scene

LOADING = "it is being loaded"
WITH_PYTEST = Path(pytest.__file__).parent.parent
SITE = f".venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@dataclass
class Shop:
    """One candidate whose tests run warm where they may."""

    candidate: Candidate
    runner: PytestRunner
    runs: WarmRuns
    memory: WarmMemory
    root: Path

    async def run(self, *tests: str, warm: bool = True, **request: object) -> SuiteReport:
        asked = SuiteRequest(tests or ("test_it.py",), timeout_s=60.0, warm=warm)
        return await self.runner.run(self.candidate, replace(asked, **request))  # type: ignore[arg-type]

    async def warmed(self, *tests: str) -> SuiteReport:
        """Runs until a warm run was compared with a cold one, and once more: that one is warm."""
        for _ in range(40):
            report = await self.run(*tests)
            if self.runs.last_note == "":
                report = await self.run(*tests)
                assert self.runs.last_note == ""
                return report
            assert self.runs.last_note in (LOADING, "these tests run for the first time")
        raise AssertionError("it is never loaded")

    async def told_cold(self, *tests: str) -> str:
        """Runs until it is known why the tests run cold."""
        for _ in range(40):
            await self.run(*tests)
            if self.runs.last_note not in (LOADING, "these tests run for the first time"):
                return self.runs.last_note
        raise AssertionError("it is never loaded")

    async def text(self, path: str) -> str:
        entry = await self.candidate.read(path)
        assert entry is not None
        return entry.content.decode()

    async def put(self, path: str, text: str) -> None:
        await self.candidate.write(path, Entry(text.encode()))

    async def known(self) -> Experience:
        found = await self.memory.latest()
        assert found is not None
        return found

    def waiting(self) -> list[int]:
        """Processes that wait to be forked from."""
        return [pid for pid in _pids() if f"{self.candidate.scratch}/prepared-" in _words(pid)]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@asynccontextmanager
async def shop(
    tmp_path: Path,
    files: Mapping[str, str],
    installed: Mapping[str, str] = {},
    kind: SandboxKind = SandboxKind.OVERLAY,
) -> AsyncIterator[Shop]:
    """A workspace with an environment that has pytest and what else is said to be installed."""
    root = tmp_path / "workspace"
    venv.create(root / ".venv", symlinks=True, with_pip=False)
    put(root / SITE, {"pytest.pth": f"{WITH_PYTEST}\n", **installed})
    async with scene(tmp_path, kind, {".gitignore": ".venv/\n", **files}) as made:
        candidate = await made.open()
        memory = WarmMemory(tmp_path / "warm.json")
        runs = WarmRuns(memory, after=1)
        python = Interpreter(".venv/bin/python", interpreter._OURS, inside=True, python="3", pytest="here")
        try:
            yield Shop(candidate, PytestRunner(python, warm=runs), runs, memory, root)
        finally:
            await candidate.close()


FACTS = """
import atexit, contextlib, gc, json, logging, multiprocessing, os, random, resource, signal, subprocess, sys, tempfile
import threading, warnings
import pytest
import thirdparty

SEEN = []
sys.modules["a_game"] = sys.modules[__name__]

@pytest.fixture(scope="module")
def base():
    SEEN.append("set up")
    yield 2
    SEEN.append("torn down")

@pytest.mark.parametrize("number", [1, 2, 3], ids=["one", "two", "three"])
def test_numbers(base, number):
    assert base * number != 4

def test_patches(monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_: "patched")
    monkeypatch.setitem(sys.modules, "thirdparty", None)
    monkeypatch.setenv("SOMETHING", "else")
    with pytest.raises(ImportError):
        import thirdparty
    assert json.dumps(1) == "patched"

def test_state_is_new():
    assert thirdparty.STATE == []
    thirdparty.STATE.append(1)
    json.loads = None
    os.environ["LEFT"] = "over"

def test_games():
    import a_game
    assert a_game.SEEN
    del sys.modules["a_game"]

@pytest.mark.skip(reason="not today")
def test_skipped(): ...

@pytest.mark.xfail(strict=True)
def test_expected(): assert thirdparty.answer() == 41

def _spawned(queue): queue.put(os.getppid())

def test_processes():
    assert subprocess.check_output([sys.executable, "-c", "import sys; print(sys.path[0])"]) == b"\\n"
    for way in ("fork", "spawn"):
        context = multiprocessing.get_context(way)
        queue = context.Queue()
        child = context.Process(target=_spawned, args=(queue,))
        child.start()
        assert queue.get(timeout=20) == os.getpid()
        child.join()

def test_facts(request):
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    where = {number: os.readlink(f"/proc/self/fd/{number}").partition(":")[0] for number in (0,)}
    facts = dict(
        argv=[os.path.basename(word) for word in sys.argv],
        words=[os.path.basename(word) for word in sys.orig_argv],
        main=sys.modules["__main__"].__file__,
        path=sys.path,
        flags=str(sys.flags),
        hooks=[str(type(hook)) for hook in sys.meta_path],
        descriptors=len(descriptors),
        input=where,
        folder=os.getcwd(),
        names=sorted(os.environ),
        environment={k: v for k, v in os.environ.items() if k not in ("HYPOTHESIS_STORAGE_DIRECTORY",)},
        parent=os.getppid(),
        leader=[os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
        threads=threading.active_count(),
        filters=len(warnings.filters),
        signals=[str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
        masked=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        limits=[resource.getrlimit(n) for n in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC)],
        depth=len([frame for frame in sys._current_frames()]),
        recursion=sys.getrecursionlimit(),
        streams=[sys.__stdin__.encoding, sys.__stdout__.encoding, sys.__stdin__.seekable()],
        temporary=tempfile.gettempdir(),
        young=logging.LogRecord("a", 1, "a", 1, "", (), None).relativeCreated < 60000,
        handlers=[str(handler.__class__) for handler in logging.root.handlers],
        modules=sorted(name for name in sys.modules if "agent_lsp" not in name),
    )
    with open("facts.json", "w") as out:
        json.dump(facts, out)

def test_dice():
    with open("dice.txt", "w") as out:
        out.write(f"{random.random()}")

atexit.register(lambda: open("ended.txt", "a").write("x"))
"""

THIRDPARTY = {
    "thirdparty/__init__.py": "from thirdparty.deep import answer\nSTATE = []\n",
    "thirdparty/deep.py": "def answer(): return 42\n",
}


async def test_a_warm_run_tells_and_is_what_a_cold_one_is(tmp_path: Path) -> None:
    files = {"test_it.py": FACTS, "shop.py": "def price():\n    return 1\n", "conftest.py": "import shop\n"}
    async with shop(tmp_path, files, THIRDPARTY) as place:
        warm = await place.warmed()
        facts, dice = json.loads(await place.text("facts.json")), await place.text("dice.txt")
        ended = await place.text("ended.txt")
        cold = await place.run(warm=False)
        assert differences(warm, cold) == {}
        assert [case.outcome.value for case in warm.cases.values()].count("failed") == 1
        assert len(warm.cases) == 11
        was = json.loads(await place.text("facts.json"))
        assert facts == was
        assert len(await place.text("ended.txt")) == len(ended) + 2, "what is registered for the end runs at the end"
        again = await place.run()
        assert place.runs.last_note == ""
        assert differences(again, cold) == {}, "nothing is left of the run before"
        assert await place.text("dice.txt") != dice, "each run throws its own dice"
        assert (await place.known()).cold == ""
        (waiting,) = place.waiting()
    assert waiting not in _pids(), "the process that waits ends with its candidate"


async def test_an_edit_within_a_second_is_seen_and_its_lines_are_told(tmp_path: Path) -> None:
    files = {
        "shop.py": "def price(a):\n    return a + 1\n",
        "test_it.py": "import shop\ndef test_it(): assert shop.price(1) == 2\n",
    }
    async with shop(tmp_path, files) as place:
        assert (await place.warmed()).passing() == {"test_it.py::test_it"}
        for sign, good in (("-", False), ("+", True), ("*", False), ("+", True)):
            await place.put("shop.py", f"def price(a):\n    return a {sign} 1\n")
            warm = await place.run(watch=("shop.py",))
            assert place.runs.last_note == ""
            assert bool(warm.passing()) is good
            lines = warm.executed if good else warm.executed_failing
            assert lines == {"shop.py": {1: frozenset(["test_it.py::test_it"]), 2: frozenset(["test_it.py::test_it"])}}
            assert [file.path for file in warm.loaded] == ["shop.py"]
        assert differences(warm, await place.run(watch=("shop.py",), warm=False)) == {}


TROUBLE = """
import os, signal, subprocess, sys, time
def test_fine(): pass
def test_exit():
    if os.path.exists("exit"): os._exit(0)
def test_hang():
    if os.path.exists("hang"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
        while True: time.sleep(1)
def test_daemon():
    if os.path.exists("daemon"):
        daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1001)"], start_new_session=True)
def waiting():
    names = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return [int(name) for name in names if "agent_lsp_prepared" in open(f"/proc/{name}/cmdline").read()]
def test_murder():
    if os.path.exists("murder"):
        os.kill(waiting()[0], signal.SIGKILL)
def test_forgery():
    if os.path.exists("forgery"):
        with open(f"/proc/{waiting()[0]}/fd/501", "w") as replies:
            replies.write('{"run": 1, "pid": 1}\\n{"run": [], "pid": 99}\\n[]\\n')
"""


async def test_what_ends_badly_ends_alone(tmp_path: Path) -> None:
    async with shop(tmp_path, {"test_it.py": TROUBLE}) as place:
        assert len((await place.warmed()).passing()) == 6
        await place.put("exit", "")
        report = await place.run()
        assert not report.finished
        assert "ended by itself with status 0 during test_it.py::test_exit" in report.trouble
        await place.candidate.write("exit", None)

        await place.put("daemon", "")
        assert len((await place.run()).passing()) == 6
        assert place.runs.last_note == "", "what a daemon does is no affair of the next run"
        assert not [pid for pid in _pids() if "time.sleep(1001)" in _words(pid)]
        await place.candidate.write("daemon", None)

        await place.put("hang", "")
        report = await place.run(timeout_s=1.5, test_limit_s=50.0)
        assert report.timed_out
        task = asyncio.create_task(place.run())
        while not [pid for pid in _pids() if "time.sleep(1000)" in _words(pid)]:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [pid for pid in _pids() if "time.sleep(1000)" in _words(pid)]
        await place.candidate.write("hang", None)
        assert len((await place.run()).passing()) == 6
        assert place.runs.last_note == "", "the process that waits is still there"

        for way, told in (("forgery", "it answered nonsense"), ("murder", "it ended by itself")):
            await place.put(way, "")
            assert len((await place.run()).passing()) == 6
            await place.candidate.write(way, None)
            assert len((await place.run()).passing()) == 6
            assert place.runs.last_note.startswith(told)
            assert len((await place.warmed()).passing()) == 6
        assert (await place.known()).cold == ""


async def test_what_is_installed_is_loaded_as_it_is_at_each_run(tmp_path: Path) -> None:
    files = {"test_it.py": "import thirdparty\ndef test_it(): assert thirdparty.answer() == 42\n"}
    async with shop(tmp_path, files, THIRDPARTY) as place:
        await place.warmed()
        watched = await place.run(watch=(f"{SITE}/thirdparty/deep.py",))
        assert place.runs.last_note == "a watched file lies among what is installed"
        assert f"{SITE}/thirdparty/deep.py" in watched.executed
        deep = place.root / SITE / "thirdparty" / "deep.py"
        deep.write_text("def answer(): return 43\n")
        assert (await place.run()).failing() == {"test_it.py::test_it"}
        assert place.runs.last_note.endswith("deep.py changed since it was loaded")


async def test_a_file_of_the_workspace_that_would_be_loaded_instead_keeps_the_run_cold(tmp_path: Path) -> None:
    files = {"test_it.py": "import thirdparty\ndef test_it(): assert thirdparty.answer() == 42\n"}
    async with shop(tmp_path, files, THIRDPARTY) as place:
        await place.warmed()
        await place.put("thirdparty.py", "def answer(): return 1\n")
        assert (await place.run()).failing() == {"test_it.py::test_it"}
        assert place.runs.last_note.startswith("thirdparty in ")


async def test_what_is_not_quiet_is_loaded_anew_in_each_run(tmp_path: Path) -> None:
    installed = {
        "calm.py": "import json\n",
        "busy.py": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n",
        "loud.py": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
        "bold.py": "import json, calm\njson.loads = lambda text: text\n",
        "open.py": "kept = open(__file__)\n",
        "chatty.py": "print('hello')\n",
    }
    text = "import threading, json, calm, busy, loud, bold, chatty, open as kept\n"
    text += "def test_it(): assert threading.active_count() == 2 and json.loads('1') == '1'\n"
    async with shop(tmp_path, {"test_it.py": text}, installed) as place:
        warm = await place.warmed()
        assert warm.passing() == {"test_it.py::test_it"}
        assert differences(warm, await place.run(warm=False)) == {}
        skipped = (await place.known()).skipped
        assert {name: skipped[name] for name in ("busy", "loud", "bold", "open", "chatty")} == {
            "busy": "it changes threads",
            "loud": "it warns: old",
            "bold": "it replaces json.loads",
            "open": "it changes open files",
            "chatty": "it writes to the standard output",
        }
        assert "calm" not in skipped


async def test_a_difference_makes_the_environment_cold_for_good(tmp_path: Path) -> None:
    installed = {"moody.py": "import os\nMOOD = os.environ.get('MOOD', 'bad')\n"}
    files = {
        "conftest.py": "import os\nos.environ['MOOD'] = 'good'\n",
        "test_it.py": "import moody\ndef test_it(): assert moody.MOOD == 'good'\n",
    }
    async with shop(tmp_path, files, installed) as place:
        for _ in range(40):
            report = await place.run()
            assert report.passing() == {"test_it.py::test_it"}, "the cold run is believed"
            if not place.runs.last_note:
                break
        told = await WarmMemory(tmp_path / "warm.json").latest()
        assert told is not None
        assert "test_it.py::test_it: failed / passed" in told.cold
        await place.run()
        assert place.runs.last_note == told.cold
        assert told.sentence().startswith("not used: a warm run told otherwise")


async def test_a_framework_that_is_the_project_itself_runs_cold(tmp_path: Path) -> None:
    pytest_itself = (WITH_PYTEST / "iniconfig" / "__init__.py").read_text()
    files = {"iniconfig/__init__.py": pytest_itself, "test_it.py": "import iniconfig\ndef test_it(): pass\n"}
    for name in ("exceptions.py", "_parse.py", "_version.py"):
        if (WITH_PYTEST / "iniconfig" / name).exists():
            files[f"iniconfig/{name}"] = (WITH_PYTEST / "iniconfig" / name).read_text()
    async with shop(tmp_path, files) as place:
        assert "pytest cannot be loaded ahead: it loads iniconfig, which is not installed" in await place.told_cold()
        assert "iniconfig" in (await place.known()).cold


async def test_a_plain_copy_runs_cold(tmp_path: Path) -> None:
    async with shop(tmp_path, {"test_it.py": "def test_it(): pass\n"}, kind=SandboxKind.CLONE) as place:
        assert (await place.run()).passing() == {"test_it.py::test_it"}
        assert place.runs.last_note == "a clone has no process namespace"


def _report(*outcomes: Outcome, **fields: object) -> SuiteReport:
    cases = {str(number): CaseResult(str(number), outcome) for number, outcome in enumerate(outcomes)}
    return replace(SuiteReport("pytest", cases, len(cases)), **fields)  # type: ignore[arg-type]


def test_reports_that_tell_otherwise_are_told_apart() -> None:
    one = _report(Outcome.PASSED, Outcome.FAILED)
    assert differences(one, one) == {}
    assert differences(_report(Outcome.PASSED, Outcome.PASSED), one) == {"1": "passed / failed"}
    assert "the tests and their order" in differences(_report(Outcome.PASSED), one)
    assert "the loaded files" in differences(replace(one, loaded=(LoadedFile("a", "a.py", "0"),)), one)
    lines = {"a.py": {1: frozenset(["0"])}}
    assert differences(replace(one, executed=lines), one) == {"0": "other lines ran"}
    assert "the files that were read" in differences(one, replace(one, touched=frozenset(["data"])))
    assert differences(replace(one, touched=frozenset(["data"])), one) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "environments": {"a": {}}}', '{"version": 0}'])
async def test_a_damaged_memory_starts_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "warm.json"
    file.write_text(text)
    memory = WarmMemory(file)
    (await memory.of("one")).cold = "why"
    await memory.keep("one")
    assert await WarmMemory(file).of("one") == Experience(cold="why")
