"""Owns the start of a test process: `agent_lsp_start.py CONFIG [ARGUMENTS]` runs the tests as `python -m` would.

The folder of this file never stays on `sys.path`, and the environment is left alone, so processes that the tests start
see nothing of it. Only this file writes the report's end marker, after the test framework has come to its own end.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH109, PTH118, PTH120, PTH123

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys
from typing import Any

_PLUGINS = {
    "pytest": ("agent_lsp_report",),
    "unittest": ("agent_lsp_unittest",),
    "django": ("agent_lsp_unittest", "agent_lsp_django"),
}
"""What is loaded for a framework; the last one runs it."""


def main(opened: Any = None) -> None:
    """Ends with the test framework's own exit status.

    `opened` comes from a process that was prepared: the files that it opened before, as the recorder wants them.
    """
    with open(sys.argv[1], encoding="utf-8") as stream:
        config = json.load(stream)
    import agent_lsp_bytecode  # type: ignore[import-not-found]
    from agent_lsp_record import Recorder  # type: ignore[import-not-found]

    if opened is None and config.get("bytecode"):
        agent_lsp_bytecode.lay_out(os.path.realpath(config["root"]), config["bytecode"])
    keep_bytecode = agent_lsp_bytecode.keep
    # The tracer stands before the framework is imported: what is to be judged may be a part of it, or used by it.
    recorder = Recorder(config, opened)
    folder, sys.path[0] = os.path.dirname(sys.argv[0]), os.getcwd()
    recorder.start()
    for name in _PLUGINS[config["framework"]]:
        plugin = _plugin(name, folder)
    plugin.RECORDER = recorder
    replaced, finish = getattr(plugin, "replaced", list), recorder.finish  # as they are before other code can come
    status = 1
    try:
        if config["framework"] == "pytest":
            sys.argv = ["pytest", *sys.argv[2:]]
            runpy.run_module("pytest", run_name="__main__", alter_sys=True)
        else:
            plugin.run(sys.argv[2:])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finish(status, replaced())
    if config.get("keep_bytecode"):
        keep_bytecode(os.path.realpath(config["root"]), config["keep_bytecode"])
    sys.exit(status)


def _plugin(name: str, folder: str) -> Any:
    """A module of ours, loaded by its place: the workspace's own modules come first for everything that it imports."""
    spec: Any = importlib.util.spec_from_file_location(name, os.path.join(folder, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
