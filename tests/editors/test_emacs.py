"""A real Emacs, stock and without a window, does the whole job through eglot, as docs/editors.md starts it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent_lsp.app.demo.sample_project import BUGGY_FILE
from tests.editors.driving import drive, sample_project
from tests.editors.recipe import block
from tests.judge.proxy import judged, through

pytestmark = pytest.mark.editor

DRIVER = Path(__file__).with_name("drive.el")
EMACS = os.environ.get("AGENT_LSP_EMACS") or shutil.which("emacs")
"""AGENT_LSP_EMACS names another one than that of the PATH."""


def _has_eglot() -> bool:
    if EMACS is None:
        return False
    done = subprocess.run([EMACS, "-Q", "--batch", "--eval", "(require 'eglot)"], capture_output=True, check=False)
    return done.returncode == 0


def _recipe() -> list[str]:
    """The page's lines for Emacs; the names of programs in them are found on the PATH."""
    return ["--eval", f"(progn {block('**Emacs 29', 'elisp')})"]


async def test_emacs_states_a_goal_accepts_its_change_and_rolls_it_back_by_code_actions_alone(tmp_path: Path) -> None:
    if not _has_eglot():
        pytest.skip("needs an Emacs with eglot (29 or newer): install one, or name it in AGENT_LSP_EMACS")
    project, home = await sample_project(tmp_path)
    on_disk = (project / BUGGY_FILE).read_bytes()

    server = through(home / "judged.json", [sys.executable, "-m", "agent_lsp", "serve"])
    seen = drive([str(EMACS), "-Q", "--batch", *_recipe(), "-l", str(DRIVER)], project, home, server, {})

    assert any(title.startswith("Agent: plan") for title in seen["start"])
    assert "proven" in seen["diagnostic"]
    assert any(title.startswith("Discard change") for title in seen["review"])
    assert seen["applied"] == seen["before"].replace("span.start < merged", "span.start <= merged")
    assert seen["undone"] == seen["before"]
    assert seen["recipe"] == ["agent-lsp", "serve"], "the server that the page's lines give a Python file"
    assert (project / BUGGY_FILE).read_bytes() == on_disk, "an accepted change goes to the buffer, not to the file"
    assert await judged(home / "judged.json") == []
