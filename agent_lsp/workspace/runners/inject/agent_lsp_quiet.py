"""Owns what it means that loading modules is quiet: nothing but modules came of it, so it may happen ahead of time.

Called in a process that is thrown away. Python 3.8, standard library only.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH109, PTH119, PTH123, PTH208

from __future__ import annotations

import builtins
import gc
import os
import re
import signal
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

_LIBRARIES = re.compile(
    r"^(lib(c|m|mvec|pthread|dl|rt|util|gcc_s|stdc\+\+|z|atomic|python3[.\d]*m?|nss_\w+|resolv|crypt|nsl|tirpc"
    r"|ssl|crypto|ffi|sqlite3|lzma|bz2|uuid|expat|mpdec|ncursesw?|tinfow?|panelw?|readline|gdbm|gdbm_compat|db-[\d.]+)"
    r"|ld-linux[\w-]*|ld|linux-vdso)([-.][\w.-]*)?$"
)
"""What the interpreter and its standard library are linked with. Any other library may keep threads or devices."""

_OF_A_PROCESS = ("threads", "children", "open files", "the environment", "the working directory", "standard streams")

_HOOKS = ("excepthook", "displayhook", "unraisablehook", "breakpointhook")


def loud(load: Callable[[], None], is_installed: Callable[[str], bool], *, strict: bool) -> str:
    """What else changed while `load` ran, in a few words; nothing where it was quiet.

    Not `strict` is for the framework itself, which each run would load first of all: of what it changes in the process
    only that counts which a fork does not have or does not share. A warning of anything else would have been told.
    """
    written = _divert_output()
    with warnings.catch_warnings(record=True) as told:
        if strict:
            warnings.simplefilter("always")
        before, names, attributes = _state(), set(sys.modules), _attributes()
        load()
        after, replaced = _state(), _replaced(attributes) if strict else ""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.fstat(written).st_size:
        return "it writes to the standard output"
    if told:
        return f"it warns: {told[0].message}"
    changed = sorted(name for name in (before if strict else _OF_A_PROCESS) if before[name] != after[name])
    if changed:
        return f"it changes {', '.join(changed)}"
    return replaced or _modules(names, is_installed) or _libraries()


def _divert_output() -> int:
    """A file in memory that the output goes to from now on."""
    written = os.memfd_create("output")
    for number in (1, 2):
        os.dup2(written, number)
    return written


def _state() -> dict[str, Any]:
    """What belongs to the process, by what a person calls it."""
    logging: Any = sys.modules.get("logging")
    root = logging.getLogger() if logging else None
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "children": _children(),
        "open files": sorted(os.listdir("/proc/self/fd")),
        "hooks of the import": [id(hook) for hook in (*sys.meta_path, *sys.path_hooks)],
        "sys.path": list(sys.path),
        "filters of warnings": list(warnings.filters),
        "the environment": dict(os.environ),
        "the working directory": os.getcwd(),
        "signal handlers": [signal.getsignal(number) for number in range(1, signal.NSIG)],
        "standard streams": [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "hooks of the interpreter": [id(getattr(sys, name, None)) for name in _HOOKS],
        "tracing": (sys.gettrace(), sys.getprofile()),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()),
        "builtins": {name: id(value) for name, value in vars(builtins).items() if name != "_"},
        "logging": (list(root.handlers), root.level, logging.root.manager.disable) if root else ([], 30, 0),
    }


def _children() -> str:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
            return stream.read()
    except OSError:
        return ""


def _attributes() -> dict[str, dict[str, Any]]:
    """Functions and classes of every module, by name. Asks no value for anything: that could run its code."""
    kinds = (types.FunctionType, types.BuiltinFunctionType, type)
    return {
        name: {key: value for key, value in vars(module).items() if issubclass(type(value), kinds)}
        for name, module in list(sys.modules.items())
        if type(module) is types.ModuleType
    }


def _replaced(attributes: dict[str, dict[str, Any]]) -> str:
    for name, was in attributes.items():
        module = sys.modules.get(name)
        now = vars(module) if type(module) is types.ModuleType else {}
        for key, value in was.items():
            if now.get(key) is not value:
                return f"it replaces {name}.{key}"
    return ""


def _modules(before: set[str], is_installed: Callable[[str], bool]) -> str:
    for name in sorted(set(sys.modules) - before):
        module = sys.modules[name]
        file = vars(module).get("__file__") if type(module) is types.ModuleType else None
        if isinstance(file, str) and not is_installed(file):
            return f"it loads {name}, which is not installed but lies at {file}"
    return ""


def _libraries() -> str:
    """Shared libraries in this process, but for extension modules themselves."""
    extensions = {
        os.path.realpath(file)
        for module in list(sys.modules.values())
        if type(module) is types.ModuleType and isinstance(file := vars(module).get("__file__"), str)
    }
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        files = {line.split(None, 5)[5].strip() for line in stream if line.count("/") and ".so" in line}
    for file in sorted(files):
        name = os.path.basename(file)
        if os.path.realpath(file) not in extensions and not _LIBRARIES.match(name.partition(".so")[0]):
            return f"it brings the library {name}"
    return ""
