"""Owns the process that waits inside a candidate with what a run of tests loads first, and becomes runs by forking.

`agent_lsp_prepared.py PLAN COMMANDS REPLIES`: the last two are descriptors of JSON lines. It loads nothing of the
workspace, loads only what is quiet (agent_lsp_quiet), looks before each fork whether all of that still stands, and
says `doubt` and ends where it does not: the run then starts as any other process. Python 3.8, standard library only.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH108, PTH109, PTH116, PTH120, PTH123, PTH208

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from typing import Any

from agent_lsp_record import SITES, Touched, is_installed  # type: ignore[import-not-found]

NEVER = "cannot be loaded ahead"
"""Part of the reason where it would be the same another time."""

_MOST_PROBES = 60


class Prepared:
    """What was loaded, and what must still be so when a run is forked."""

    def __init__(self, plan: dict[str, Any], commands: int, replies: int, started: frozenset[str]) -> None:
        self._plan, self._commands, self._replies = plan, commands, replies
        self._pending = b""
        self._probes = 0
        self.skipped: dict[str, str] = {}
        # What was there before the working directory came onto the path cannot be shadowed by what lies in it.
        self._started = {name.partition(".")[0] for name in started}
        self._stamps: dict[str, tuple[int, ...] | None] = {}
        self._names: set[str] = set()

    # --- loading ---------------------------------------------------------------------------------------------

    def load(self) -> str:
        """Loads the framework and what else is quiet; the reason where that cannot be."""
        first: list[str] = self._plan["first"]
        loud = self._probe(first, strict=False)
        if loud:
            return f"{first[0]} {NEVER}: {loud}"
        _import(first)
        groups: dict[str, list[str]] = {}
        for name in self._plan["modules"]:
            top = name.partition(".")[0]
            if top not in self._plan["skip"] and name not in sys.modules:
                groups.setdefault(top, []).append(name)
        self._load_quiet(list(groups.items()))
        gc.collect()
        self._remember()
        return self._alone()

    def _load_quiet(self, groups: list[tuple[str, list[str]]]) -> None:
        """All at once, or what of each half is quiet."""
        if not groups:
            return
        names = [name for _, rows in groups for name in rows]
        loud = self._probe(names, strict=True) if self._probes < _MOST_PROBES else "too much else is not quiet"
        if not loud:
            _import(names)
        elif len(groups) == 1:
            self.skipped[groups[0][0]] = loud
        else:
            self._load_quiet(groups[: len(groups) // 2])
            self._load_quiet(groups[len(groups) // 2 :])

    def _probe(self, names: list[str], *, strict: bool) -> str:
        """Loads modules in a process that is thrown away; what was not quiet about it, else nothing."""
        import agent_lsp_quiet  # type: ignore[import-not-found]

        self._probes += 1
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                told = agent_lsp_quiet.loud(lambda: _import(names), self._is_installed, strict=strict)
            except BaseException as error:  # noqa: BLE001 - a forked child must not return
                told = f"{type(error).__name__}: {error}"
            os.write(writing, told.encode("utf-8", "replace")[:2000])
            os._exit(0)
        os.close(writing)
        text = b""
        while True:
            chunk = os.read(reading, 4096)
            if not chunk:
                break
            text += chunk
        os.close(reading)
        _, status = os.waitpid(child, 0)
        return text.decode("utf-8", "replace") if status == 0 else f"loading it ended the process ({status})"

    def _is_installed(self, file: str) -> bool:
        installed: bool = is_installed(file, os.path.realpath(self._plan["root"]))
        return installed

    # --- what must still be so -----------------------------------------------------------------------------------

    def _remember(self) -> None:
        library = _library()
        for name, module in list(sys.modules.items()):
            self._names.add(name.partition(".")[0])
            file = vars(module).get("__file__") if type(module) is type(sys) else None
            if isinstance(file, str) and not (file.startswith(library) and not _in_site(file)):
                self._stamps[file] = _stamp(file)
                self._stamps[os.path.dirname(file)] = _stamp(os.path.dirname(file))
        for folder in sys.path:
            if _in_site(folder):
                self._stamps[folder] = _stamp(folder)

    def doubt(self) -> str:
        """Why no run may be forked now, else nothing."""
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                return f"{path} changed since it was loaded"
        for number, folder in enumerate(sys.path):
            if number and (_in_site(folder) or (folder + os.sep).startswith(_library())):
                continue
            names = self._names - self._started if number == 0 else self._names
            hiding = sorted(names.intersection(_stems(folder)))
            if hiding:
                return f"{hiding[0]} in {folder} has the name of a module that is loaded from elsewhere"
        return self._alone()

    def _alone(self) -> str:
        if len(os.listdir("/proc/self/task")) != 1:
            return "what was loaded has started a thread"
        others = _descriptors() - {0, 1, 2, self._commands, self._replies}
        return f"what was loaded keeps {len(others)} files or sockets open" if others else ""

    # --- runs ------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Returns in the child that is to become a run, and nowhere else."""
        while True:
            order = self._order()
            doubt = self.doubt()
            if doubt:
                self.reply({"run": order["run"], "doubt": doubt})
                os._exit(0)
            try:
                if self._fork():
                    self._become(order)
                    return
            except OSError as error:
                self.reply({"run": order["run"], "doubt": str(error)})

    def _order(self) -> dict[str, Any]:
        while b"\n" not in self._pending:
            chunk = os.read(self._commands, 1 << 16)
            if not chunk:
                os._exit(0)
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order

    def _fork(self) -> bool:
        """True in a process whose parent is the holder, as that of every command is."""
        middle = os.fork()
        if middle:
            _, status = os.waitpid(middle, 0)
            if status:
                raise OSError("no more processes can be started")
            return False
        try:
            parent = os.getpid()
            if os.fork():
                os._exit(0)
        except OSError:
            os._exit(1)
        while os.getppid() == parent:
            time.sleep(0.0001)
        return True

    def _become(self, order: dict[str, Any]) -> None:
        """What a process has that is started for the order."""
        try:
            os.setsid()
            output = os.open(order["output"], os.O_WRONLY)
            os.unlink(order["output"])
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            os.chdir(order["cwd"])
            os.environ.clear()
            os.environ.update(order["env"])
            self.reply({"run": order["run"], "pid": os.getpid()})
        except BaseException as error:  # noqa: BLE001 - a forked child must not return to the loop
            self.reply({"run": order["run"], "doubt": str(error)})
            os._exit(127)
        os.close(self._commands)
        os.close(self._replies)
        sys.argv = list(order["argv"][1:])
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = order["argv"]
        sys.path_importer_cache.clear()
        importlib.invalidate_caches()
        logging: Any = sys.modules.get("logging")
        if isinstance(getattr(logging, "_startTime", None), float):
            logging._startTime = time.time()
        elif isinstance(getattr(logging, "_startTime", None), int):
            logging._startTime = time.time_ns()

    def reply(self, message: dict[str, Any]) -> None:
        """One line, in one piece."""
        os.write(self._replies, json.dumps(message).encode("ascii") + b"\n")


def _import(names: list[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _library() -> str:
    return os.path.dirname(os.__file__) + os.sep


def _in_site(path: str) -> bool:
    return any(f"{os.sep}{site}" in path for site in SITES)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _stems(folder: str) -> set[str]:
    """Names of modules and packages that a folder may have."""
    try:
        names = [name.partition(".") for name in os.listdir(folder)]
    except OSError:
        return set()
    return {stem for stem, _, end in names if end in ("", "py", "pyc") or end.endswith("so")}


def _descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
            found.add(int(name))
        except OSError:
            continue
    return found


def main() -> Any:
    """In a child that became a run: what has been opened so far, as the recorder wants it."""
    with open(sys.argv[1], encoding="utf-8") as stream:
        plan = json.load(stream)
    # What every run loads first of all, from the folder of this file, which then leaves the path.
    import agent_lsp_bytecode  # type: ignore[import-not-found]  # noqa: F401
    import agent_lsp_start  # type: ignore[import-not-found]  # noqa: F401

    prepared = Prepared(plan, int(sys.argv[2]), int(sys.argv[3]), frozenset(sys.modules))
    import agent_lsp_quiet  # noqa: F401

    sys.path[0] = os.getcwd()
    touched = Touched(os.path.realpath(plan["root"]))
    touched.listen()
    reason = prepared.load()
    if reason:
        prepared.reply({"doubt": reason})
        os._exit(0)
    prepared.reply({"ready": True, "skipped": prepared.skipped})
    prepared.serve()
    return touched


if __name__ == "__main__":
    opened = main()
    import agent_lsp_start

    agent_lsp_start.main(opened)
