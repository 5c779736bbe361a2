"""A real Emacs, stock and without a window, does the whole job through eglot."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.app.demo.sample_project import BUGGY_FILE, GOAL, make_sample_project

pytestmark = pytest.mark.editor

DRIVER = Path(__file__).with_name("drive.el")
EMACS = os.environ.get("AGENT_LSP_EMACS") or shutil.which("emacs")
"""AGENT_LSP_EMACS names another one than that of the PATH."""


def _has_eglot() -> bool:
    if EMACS is None:
        return False
    done = subprocess.run([EMACS, "-Q", "--batch", "--eval", "(require 'eglot)"], capture_output=True, check=False)
    return done.returncode == 0


def _drive(project: Path, home: Path) -> dict[str, Any]:
    report = home / "report.json"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ANTHROPIC_"))},
        "HOME": str(home),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_COMMAND": json.dumps([sys.executable, "-m", "agent_lsp", "serve"]),
        "AGENT_LSP_FILE": str(project / BUGGY_FILE),
        "AGENT_LSP_GOAL": GOAL,
        "AGENT_LSP_REPORT": str(report),
    }
    done = subprocess.run(
        [str(EMACS), "-Q", "--batch", "-l", str(DRIVER)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert report.exists(), done.stderr
    seen: dict[str, Any] = json.loads(report.read_text())
    assert "problem" not in seen, f"{seen['problem']}\n{done.stderr}"
    return seen


async def test_emacs_states_a_goal_accepts_its_change_and_rolls_it_back_by_code_actions_alone(tmp_path: Path) -> None:
    if not _has_eglot():
        pytest.skip("needs an Emacs with eglot (29 or newer): install one, or name it in AGENT_LSP_EMACS")
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    await make_sample_project(project)
    on_disk = (project / BUGGY_FILE).read_bytes()

    seen = _drive(project, home)

    assert any(title.startswith("Agent: plan") for title in seen["start"])
    assert "proven" in seen["diagnostic"]
    assert any(title.startswith("Discard change") for title in seen["review"])
    assert seen["applied"] == seen["before"].replace("span.start < merged", "span.start <= merged")
    assert seen["undone"] == seen["before"]
    assert (project / BUGGY_FILE).read_bytes() == on_disk, "an accepted change goes to the buffer, not to the file"
