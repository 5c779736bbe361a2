"""Owns the driving of an editor by a script in its own language, which finds its task in the environment."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_lsp.app.demo.sample_project import BUGGY_FILE, GOAL, make_sample_project

TIMEOUT_S = 600
FOREIGN = ("XDG_", "NVIM", "ANTHROPIC_")
"""Beginnings of variables that would bring in what is the person's."""


async def sample_project(folder: Path) -> tuple[Path, Path]:
    """A project with a bug, and a home that is empty."""
    project, home = folder / "project", folder / "home"
    project.mkdir()
    home.mkdir()
    await make_sample_project(project)
    return project, home


def drive(
    editor: Sequence[str], project: Path, home: Path, server: Sequence[str], more: Mapping[str, str]
) -> dict[str, Any]:
    """What the script saw, doing the main job on the sample project. What it stumbled over fails the test."""
    report = home / "report.json"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
        "HOME": str(home),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_COMMAND": json.dumps(server),
        "AGENT_LSP_FILE": str(project / BUGGY_FILE),
        "AGENT_LSP_GOAL": GOAL,
        "AGENT_LSP_REPORT": str(report),
        **more,
    }
    done = subprocess.run(
        editor, cwd=project, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert report.exists(), done.stderr
    seen: dict[str, Any] = json.loads(report.read_text())
    assert "problem" not in seen, f"{seen}\n{done.stderr}"
    return seen
