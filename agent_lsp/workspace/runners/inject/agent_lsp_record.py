"""Owns the report that a test process writes of itself: JSON lines, and a trace of the watched files.

Runs under the workspace's interpreter (Python 3.8 or newer, standard library only). PYTEST_DONT_REWRITE.
Code under test lives in the same process and could tamper with all of this: the reader checks what can be checked.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH100, PTH109, PTH110, PTH113, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import builtins
import hashlib
import importlib.machinery
import json
import os
import re
import sys
import threading
import time
import types
from typing import Any

from agent_lsp_clock import Clock  # type: ignore[import-not-found]  # noqa: F401 - plugins take it from here
from agent_lsp_lines import HIT, instrument  # type: ignore[import-not-found]

TEXT_LIMIT = 6000
"""Characters of one failure's text that are kept: its head and, mostly, its tail."""

SITES = ("site-packages", "dist-packages")
"""Names of the folders that distributions are installed in."""

_ENDS = re.compile(r"::|\[|/")
"""Where a part of a test id ends: its folders, file, classes and function can be asked for."""

_IMPORTS = rb"^[ \t]*(?:from|import)\b[^\n(]*(?:\([^)]*)?\b%b\b"


class Report:
    """Appends records to the report file, from the process that made it and from no fork of it."""

    def __init__(self, path: str) -> None:
        self._path, self._pid = path, os.getpid()
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, kind: str, **fields: Any) -> None:
        """One line, written at once, so that a crash loses nothing that was told before it."""
        if os.getpid() != self._pid:
            return
        line = json.dumps(dict(fields, kind=kind)).encode("ascii") + b"\n"
        with self._lock:
            try:
                os.write(self._fd, line)
            except OSError:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                os.write(self._fd, line)


class Recorder:
    """What the plugins tell: tests as they begin and end, with the watched statements that each ran."""

    def __init__(self, config: dict[str, Any], opened: Touched | None = None) -> None:
        self.root: str = os.path.realpath(config["root"])
        self.tests: list[str] = config["tests"]
        self._asked: dict[str, list[str]] = {}
        for want in self.tests:
            self._asked.setdefault("" if want.rstrip("/") == "." else want.rstrip("/"), []).append(want)
        self.fail_fast: bool = config["fail_fast"]
        self.first: list[str] = config.get("first", [])
        self.test_limit_s: float = config.get("test_limit_s", 0.0)
        self.case_limits_s: dict[str, float] = config.get("case_limits_s", {})
        self.own_limits: bool = not config.get("once_hung", False)
        self.stopped_s = 0.0
        self.enough_s: float = config.get("enough_s", 0.0)
        self.cut_short = False
        self._tests_since_s = 0.0
        shard = config.get("shard")
        self.sharded = bool(shard)
        self._shard_files = frozenset(shard["files"] if shard else ())
        self._shard_rest = bool(shard and shard["rest"])
        self.report = Report(config["report"])
        self.touched = opened or Touched(self.root)
        self._tells_modules: bool = config.get("modules", False)
        self.tracer = Tracer(self.root, config["watch"], self.report)
        self.collected = 0
        self.ended = 0
        self.stopped = ""
        self._texts: dict[str, bytes] = {}

    def start(self) -> None:
        """Begins to listen; call it before any code of the workspace is imported."""
        self.touched.listen()
        self.tracer.install()
        self.report.write("start", python=sys.version.split()[0], executable=sys.executable, cwd=os.getcwd())

    def relative(self, path: Any) -> str:
        """A path relative to the root, or empty if it lies elsewhere."""
        real = os.path.realpath(str(path))
        return real[len(self.root) + 1 :].replace(os.sep, "/") if real.startswith(self.root + os.sep) else ""

    def wanted(self, case_id: str) -> list[str]:
        """Which of the asked ids and paths a test answers to."""
        found = list(self._asked.get("", ()))
        if self._asked:
            ends = [mark.start() for mark in _ENDS.finditer(case_id)]
            for end in (*ends, len(case_id)):
                found += self._asked.get(case_id[:end], ())
        return found

    def belongs(self, path: str) -> bool:
        """Whether the tests of a file are for this process; all are where the run is not split."""
        return not self.sharded or (path in self._shard_files) != self._shard_rest

    def collect(self, ids: list[str]) -> None:
        """Tells the tests that will run, and what was asked for and is not among them."""
        self.collected += len(ids)
        found = {want for case_id in ids for want in self.wanted(case_id)}
        self.report.write("collected", ids=ids, not_found=[want for want in self.tests if want not in found])
        if self._tells_modules:
            self.report.write("modules", names=installed_modules(self.root))

    def begin(self, case_id: str) -> None:
        """A test starts; what ran until now belongs to none."""
        self._tests_since_s = self._tests_since_s or time.monotonic()
        self.stopped_s = 0.0
        self.report.write("begin", id=case_id, hits=self.tracer.take())

    def enough(self) -> bool:
        """Whether the time is over in which tests were to begin; asked after each test."""
        self.cut_short = self.cut_short or bool(
            self.enough_s and self.ended < self.collected and time.monotonic() - self._tests_since_s > self.enough_s
        )
        return self.cut_short

    def end(self, case_id: str, outcome: str, **fields: Any) -> None:
        """A test ended, with all of its phases."""
        self.ended += 1
        stopped = {"stopped_s": self.stopped_s} if self.stopped_s else {}
        self.report.write("end", id=case_id, outcome=outcome, hits=self.tracer.take(), **stopped, **fields)

    def finish(self, exit_status: int, replaced: list[str]) -> None:
        """The end marker. Nothing of the run comes after it. `replaced` is what of the reporting was tampered with."""
        self.tracer.look_for_copies()
        self.report.write("touched", paths=sorted(self.touched.paths()))
        dependents = {path: self.dependents(path) for path in self.tracer.loaded_by}
        self.report.write("dependents", files=dependents, hits=self.tracer.take())
        counts = {"collected": self.collected, "ended": self.ended, "peak_bytes": peak_bytes()}
        self.report.write(
            "finish",
            exit_status=exit_status,
            stopped=self.stopped,
            replaced=replaced,
            cut_short=self.cut_short,
            **counts,
        )

    def dependents(self, path: str) -> list[str]:
        """Files under the root that import a watched file, directly or not, by their loaded modules' text."""
        sources = {}
        for name, module in list(sys.modules.items()):
            file = self.relative(getattr(module, "__file__", None) or "/")
            if file.endswith(".py"):
                sources[name] = file
        found: set[str] = set()
        wave = {name for name, file in sources.items() if file == path}
        while wave:
            words = {name.rsplit(".", 1)[-1].encode() for name in wave}
            wave = set()
            for name, file in sources.items():
                if file not in found and file != path and self._mentions(file, words):
                    found.add(file)
                    wave.add(name)
        return sorted(found)

    def _mentions(self, file: str, words: set[bytes]) -> bool:
        if file not in self._texts:
            try:
                with open(os.path.join(self.root, file), "rb") as stream:
                    self._texts[file] = stream.read()
            except OSError:  # a module out of a zip file, or one whose file is gone by now
                self._texts[file] = b""
        text = self._texts[file]
        return any(re.search(_IMPORTS % re.escape(word), text, re.MULTILINE) for word in words if word in text)


def peak_bytes() -> int:
    """The most memory that this process, or the largest of those that it waited for, has used; 0 where unknown."""
    try:
        import resource
    except ImportError:
        return 0
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int(most) * (1 if sys.platform == "darwin" else 1024)


def answers(case_id: str, want: str) -> bool:
    """Whether a test id is what was asked for, or lies in it: a folder, file, class or parametrized function."""
    want = want.rstrip("/")
    if case_id == want or want in ("", "."):
        return True
    return case_id.startswith((want + "::", want + "[", want + "/"))


def is_installed(file: str, root: str) -> bool:
    """Whether a file belongs to the standard library or to an installed distribution, be it below the root."""
    if file.startswith(os.path.dirname(os.__file__) + os.sep):
        return True
    real = os.path.realpath(file)
    below = real[len(root) :] if real.startswith(root + os.sep) else real
    return any(f"{os.sep}{site}{os.sep}" in below for site in SITES)


def installed_modules(root: str) -> list[str]:
    """Modules of the standard library and of installed distributions in the order in which they were loaded.

    Only those that anybody could load: not what a loader of somebody's own has made or rewritten.
    """
    plain = (importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader)
    found = []
    for name, module in list(sys.modules.items()):
        spec: Any = vars(module).get("__spec__") if type(module) is types.ModuleType else None
        if type(getattr(spec, "loader", None)) not in plain or spec.name != name or not isinstance(spec.origin, str):
            continue
        if is_installed(spec.origin, root):
            found.append(name)
    return found


def shorten(text: str) -> str:
    """A long failure text without its middle."""
    if len(text) <= TEXT_LIMIT:
        return text
    return text[: TEXT_LIMIT // 3] + "\n[...]\n" + text[-2 * TEXT_LIMIT // 3 :]


class Touched:
    """Files under the root that this process opened to read, or imported."""

    def __init__(self, root: str) -> None:
        self._root, self._prefix = root, root + os.sep
        self._seen: set[str] = set()
        self._listening = False

    def listen(self) -> None:
        """Audit hooks cannot be removed, so this one is quick and never raises. A second call does nothing."""
        if self._listening:
            return
        self._listening = True
        seen, add = self._seen, self._seen.add

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event == "open":
                name, mode = args[0], args[1]
                if name.__class__ is str and name not in seen and (mode is None or "r" in mode or "+" in mode):
                    add(name)

        sys.addaudithook(hook)

    def paths(self) -> set[str]:
        """Relative paths; relative names are taken from the working directory as it is now."""
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        found = set()
        for name in [*self._seen, *(file for file in files if isinstance(file, str))]:
            path = os.path.abspath(name)
            if not path.startswith(self._prefix):
                path = os.path.realpath(path)
            if path.startswith(self._prefix) and "__pycache__" not in path and os.path.isfile(path):
                found.add(path[len(self._prefix) :].replace(os.sep, "/"))
        return found


class Tracer:
    """Compiles the watched files from their source, with a mark before each statement.

    No trace function is set, so coverage tools, debuggers and the rest of the suite run as ever; compiling from the
    source past the byte-code cache is also what proves which bytes ran. A loader that compiles in a way of its own gets
    the source as ever, and its file is not measured.
    """

    def __init__(self, root: str, watch: list[str], report: Report) -> None:
        self._report = report
        self._targets = {os.path.realpath(os.path.join(root, path)): path for path in watch}
        self._names = {os.path.basename(path) for path in self._targets}
        self._hits: set[int] = set()
        self._next = 0
        self._codes: dict[tuple[str, str], types.CodeType] = {}
        self.loaded_by: dict[str, str] = {}
        self._plain: Any = None
        self._before: set[str] = set()

    def install(self) -> None:
        """Hooks the loader of source files."""
        if not self._targets:
            return
        setattr(builtins, HIT, self._hits.add)
        loader: Any = importlib.machinery.SourceFileLoader
        original = loader.get_code
        self._plain, self._before = loader.source_to_code, set(sys.modules)

        def get_code(this: Any, fullname: str) -> Any:
            path = this.get_filename(fullname)
            if os.path.basename(path) in self._names:
                target = self._targets.get(os.path.realpath(path))
                if target is not None:
                    return self._compile(this, fullname, path, target) or original(this, fullname)
            return original(this, fullname)

        loader.get_code = get_code

    def take(self) -> list[int]:
        """The statements that ran since the last call."""
        if not self._hits:
            return []
        hits = list(self._hits)
        self._hits.difference_update(hits)
        return sorted(hits)

    def _compile(self, loader: Any, fullname: str, path: str, target: str) -> Any:
        source = loader.get_data(path)
        digest = hashlib.sha256(source).hexdigest()
        self.loaded_by[target] = fullname
        self._report.write("loaded", module=fullname, path=target, sha256=digest)
        if getattr(loader.source_to_code, "__func__", None) is not self._plain:
            self._report.write("unmeasured", path=target)
            return loader.source_to_code(source, path)
        code = self._codes.get((target, digest))
        if code is None:
            try:
                tree, statements = instrument(source, path, self._next)
                code = compile(tree, path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return None
            self._report.write(
                "statements",
                path=target,
                first=self._next,
                spans=statements.spans,
                deferred=[int(flag) for flag in statements.deferred],
            )
            self._next += len(statements.spans)
            self._codes[target, digest] = code
        return code

    def look_for_copies(self) -> None:
        """Tells modules that bear a watched file's name and were loaded from another place."""
        modules = list(sys.modules.items())
        for real, target in self._targets.items():
            if target in self.loaded_by or not target.endswith(".py"):
                continue
            names = module_names(target, os.path.dirname(real))
            for name, module in modules:
                file = getattr(module, "__file__", None)
                if name in names and isinstance(file, str):
                    place = os.path.realpath(file)
                    if place == real:
                        self.loaded_by[target] = name
                        self._tell_unseen(target, real, name, module)
                    else:
                        self._report.write("loaded", module=name, path=place, sha256="")

    def _tell_unseen(self, target: str, real: str, name: str, module: Any) -> None:
        """A watched file that was loaded past us: only loaders that are known to compile the file are believed."""
        spec: Any = getattr(module, "__spec__", None)
        kind = type(getattr(spec, "loader", None) or getattr(module, "__loader__", None))
        early = kind is importlib.machinery.SourceFileLoader and name in self._before
        digest, loader = "", ""
        if early or (kind.__module__, kind.__name__) == ("_pytest.assertion.rewrite", "AssertionRewritingHook"):
            with open(real, "rb") as stream:
                digest = hashlib.sha256(stream.read()).hexdigest()
        else:
            loader = "no loader" if kind is type(None) else kind.__module__ + "." + kind.__qualname__
        self._report.write("loaded", module=name, path=target, sha256=digest, loader=loader)
        self._report.write("unmeasured", path=target)


def module_names(path: str, folder: str) -> set[str]:
    """The dotted names under which a copy of a file would be imported: `src/a/b.py` is src.a.b and a.b.

    Folders with an `__init__.py` belong to the name. A bare name is taken for a copy only where the file lies at the
    root or in `src` or `lib`: `types` elsewhere is rarely the file that it shares its name with.
    """
    parts = path[:-3].replace(os.sep, "/").split("/")
    least = 1
    while os.path.exists(os.path.join(folder, "__init__.py")) and least < len(parts):
        folder, least = os.path.dirname(folder), least + 1
    if parts[-1] == "__init__":
        parts.pop()
        least -= 1
    names = {".".join(parts[start:]) for start in range(len(parts) - least + 1)}
    if len(parts) > 1 and parts[:-1] not in (["src"], ["lib"]) and least < 2:
        names.discard(parts[-1])
    return {name for name in names if name and name not in getattr(sys, "stdlib_module_names", ())}
