"""Owns trying many texts of source files on a few tests in one process that forks for each of them.

`agent_lsp_screen.py CONFIG [ARGUMENTS]`: pytest starts once and is forked before it collects; each fork sees one text
in place of a file's own, whatever lies on the disk, and tells which tests passed. Where pytest's own start already
loads such a file, each fork starts pytest itself. Nothing it tells is a verdict. PYTEST_DONT_REWRITE.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH109, PTH118, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

_SPARE_BYTES = 2 << 30
"""Memory that a fork may take on top of what it begins with."""

_QUIET = ("-qq", "--capture=sys", "--tb=no")
_LATE, _EARLY = b"late", b"early"


class Texts:
    """What the loader of source files takes instead of the files' own text."""

    def __init__(self, root: str, texts: dict[str, str]) -> None:
        self.root = os.path.realpath(root)
        self._paths = {os.path.normpath(os.path.join(self.root, path)): path for path in texts}
        self._names = {os.path.basename(path) for path in texts}
        self.texts = dict(texts)
        self.seen: set[str] = set()

    def edit(self, path: str, start: int, end: int, text: str) -> None:
        old = self.texts[path]
        self.texts[path] = old[:start] + text + old[end:]

    def install(self) -> None:
        loader: Any = importlib.machinery.SourceFileLoader
        original = loader.get_code

        def get_code(this: Any, fullname: str) -> Any:
            path = this.get_filename(fullname)
            if os.path.basename(path) in self._names:
                target = self._paths.get(os.path.realpath(path))
                if target is not None:
                    self.seen.add(target)
                    return compile(self.texts[target], path, "exec", dont_inherit=True)
            return original(this, fullname)

        loader.get_code = get_code


class Run:
    """The tests of one fork, as its plugin: chosen and put in order, told as they end."""

    def __init__(self, plan: dict[str, Any], texts: Texts) -> None:
        self.wanted: dict[str, int] = {name: at for at, name in enumerate([*plan["tests"], *plan["others"]])}
        self._targets = len(plan["tests"])
        self._cpu_s: float = plan["cpu_s"]
        self._texts = texts
        self._into = -1
        self._bad = False
        self._passed = 0
        self.base = False
        self.on_collection: Callable[[], None] = lambda: None

    def begin(self, into: int) -> None:
        """In the fork: what it tells goes there, and it may not use more than it should."""
        self._into = into
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        self._clock(self._cpu_s * 3)
        try:
            import resource

            with open("/proc/self/statm", encoding="ascii") as stream:
                size = int(stream.read().split()[0]) * resource.getpagesize()
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            limit = size + _SPARE_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
        except (ImportError, OSError, ValueError):
            return

    def _clock(self, seconds: float) -> None:
        """The processor's time, so that a busy machine stops nobody too early; its end ends the process."""
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def tell(self, text: str) -> None:
        os.write(self._into, text.encode("ascii") + b"\n")

    def _case_id(self, item: Any) -> str:
        _, mark, rest = item.nodeid.partition("::")
        path = os.path.realpath(str(getattr(item, "path", None) or item.fspath))
        inside = path.startswith(self._texts.root + os.sep)
        return path[len(self._texts.root) + 1 :].replace(os.sep, "/") + mark + rest if inside else str(item.nodeid)

    # --- pytest's hooks ----------------------------------------------------------------------------------------------

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        at = {id(item): self.wanted.get(self._case_id(item), -1) for item in items}
        items[:] = sorted((item for item in items if at[id(item)] >= 0), key=lambda item: at[id(item)])

    def pytest_collection_finish(self, session: Any) -> None:
        self.tell(f"collected {len(session.items)} {int(bool(self._texts.seen))}")
        if self.base:
            from agent_lsp_record import installed_modules  # type: ignore[import-not-found]

            self.tell("modules " + " ".join(name for name in installed_modules(self._texts.root) if name.isascii()))

    def pytest_runtest_logstart(self) -> None:
        self._bad = False
        self._clock(self._cpu_s)

    def pytest_runtest_logreport(self, report: Any) -> None:
        called = report.when == "call" and report.outcome == "passed"
        self._bad = self._bad or report.outcome == "failed" or (report.when == "call" and not called)
        self._bad = self._bad or (report.when == "setup" and report.outcome != "passed")

    def pytest_runtest_protocol_done(self, item: Any) -> None:
        at = self.wanted[self._case_id(item)]
        self.tell(f"{'failed' if self._bad else 'passed'} {at}")
        self._passed += not self._bad
        done_targets = at + 1 >= self._targets
        if not self.base and ((done_targets and not self._passed) or (self._bad and at >= self._targets)):
            item.session.shouldstop = "it is known what this text does"

    def end(self) -> None:
        """Ends the fork. What it has written is in the pipe."""
        self.tell("end")
        os._exit(0)


class Forks:
    """Forks for one edit after the other, a few at a time, and writes down what each told."""

    def __init__(self, plan: dict[str, Any], texts: Texts, run: Run) -> None:
        self._plan, self._texts, self._run = plan, texts, run
        self._out = open(plan["report"], "a", encoding="ascii")  # noqa: SIM115 - as long as the process
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, tuple[int, int, float, bytearray]] = {}

    def note(self, **fields: Any) -> None:
        self._out.write(json.dumps(fields) + "\n")
        self._out.flush()

    def serve(self) -> bool:
        """All edits. True in a fork, which is to go on with its tests; False when nothing is left."""
        gc.collect()
        if hasattr(gc, "freeze"):
            gc.freeze()
        for number, (path, start, end, text) in enumerate(self._plan["edits"]):
            while len(self._running) >= self._plan["workers"]:
                self._wait()
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                self._run.begin(writing)
                self._run.base = not path
                if path:
                    self._texts.edit(path, start, end, text)
                if str(number) in self._plan["also"]:
                    self._texts.edit(*self._plan["also"][str(number)])
                return True
            os.close(writing)
            self._selector.register(reading, selectors.EVENT_READ, child)
            self._running[child] = (number, reading, time.monotonic(), bytearray())
            while not path and self._running:
                self._wait()
        while self._running:
            self._wait()
        return False

    def _wait(self) -> None:
        for key, _ in self._selector.select(0.05):
            _, reading, _, said = self._running[key.data]
            chunk = os.read(reading, 1 << 16)
            said += chunk
            if not chunk or said.endswith(b"end\n"):
                self._over(key.data, late=False)
        for child, (_, _, began_s, _) in list(self._running.items()):
            if time.monotonic() - began_s > self._plan["wall_s"]:
                self._over(child, late=True)

    def _over(self, child: int, *, late: bool) -> None:
        number, reading, began_s, said = self._running.pop(child)
        self._selector.unregister(reading)
        os.close(reading)
        if late:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        rows = [line.split() for line in said.decode("ascii", "replace").splitlines()]
        killed = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF)
        names = next((row[1:] for row in rows if row[0] == "modules"), [])
        if names and _quiet(names):
            _load(names)
        counted = next((row for row in rows if row[0] == "collected"), ["", "0", "0"])
        self.note(
            n=number,
            passed=[int(row[1]) for row in rows if row[0] == "passed"],
            failed=[int(row[1]) for row in rows if row[0] == "failed"],
            collected=int(counted[1]),
            seen=counted[2] == "1",
            late=killed,
            seconds=round(time.monotonic() - began_s, 4),
        )


def _alone() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return True


def _quiet(names: list[str]) -> bool:
    """Whether loading these starts no thread, as a process that is thrown away shows."""
    child = os.fork()
    if child == 0:
        _load(names)
        os._exit(int(not _alone()))
    _, status = os.waitpid(child, 0)
    return status == 0


def _load(names: list[str]) -> None:
    """What the tests load of distributions anyway."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - a fork then loads it, or fails to
            continue


def _session(arguments: list[str], run: Run, report_plugin: Any) -> None:
    """pytest, as the workspace starts it, with us as a plugin."""
    import pytest

    class Plugin:
        pytest_collection_finish = staticmethod(run.pytest_collection_finish)
        pytest_runtest_logreport = staticmethod(run.pytest_runtest_logreport)

        @staticmethod
        @pytest.hookimpl(tryfirst=True)
        def pytest_configure(config: Any) -> None:
            report_plugin._set_options(config.option)
            config.option.maxfail = 0

        @staticmethod
        @pytest.hookimpl(hookwrapper=True)
        def pytest_load_initial_conftests(early_config: Any) -> Any:
            report_plugin._set_options(early_config.known_args_namespace)
            yield

        @staticmethod
        @pytest.hookimpl(tryfirst=True)
        def pytest_collection() -> None:
            run.on_collection()

        @staticmethod
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items: list[Any]) -> None:
            run.pytest_collection_modifyitems(items)

        @staticmethod
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_protocol(item: Any) -> Any:
            run.pytest_runtest_logstart()
            yield
            run.pytest_runtest_protocol_done(item)

        @staticmethod
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtestloop() -> Any:
            yield
            run.end()

    pytest.main([*_QUIET, *arguments], plugins=[Plugin()])
    if run._into >= 0:
        run.end()


def main() -> None:
    """Serves late where that can be, else early."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        plan = json.load(stream)
    folder, sys.path[0] = os.path.dirname(sys.argv[0]), os.getcwd()
    sys.path.append(folder)
    import agent_lsp_report  # type: ignore[import-not-found]
    import pytest  # noqa: F401

    sys.path.remove(folder)
    texts = Texts(plan["root"], plan["texts"])
    texts.install()
    run = Run(plan, texts)
    forks = Forks(plan, texts, run)
    arguments = sys.argv[2:]
    sys.argv = ["pytest", *arguments]
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)

        def collecting() -> None:
            """The first time is in the process that forks, and its forks go on from here."""
            run.on_collection = lambda: None
            if texts.seen or not _alone():
                os.write(writing, _EARLY)
                os._exit(0)
            os.write(writing, _LATE)
            if not forks.serve():
                forks.note(end="late")
                os._exit(0)

        run.on_collection = collecting
        _session(arguments, run, agent_lsp_report)
        os._exit(0)
    os.close(writing)
    way = os.read(reading, 16)
    os.wait()
    if way == _LATE:
        return
    if forks.serve():
        _session(arguments, run, agent_lsp_report)
        os._exit(0)
    forks.note(end="early")


if __name__ == "__main__":
    main()
