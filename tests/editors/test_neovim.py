"""A real Neovim, stock and headless, does the whole job through `vim.lsp` with nothing but the configuration file."""

import sys
from pathlib import Path

import pytest

from agent_lsp.app.demo.sample_project import BUGGY_FILE
from tests.editors.driving import drive, sample_project
from tests.editors.neovim import PLUGIN, program
from tests.judge.proxy import judged, through

pytestmark = pytest.mark.editor

DRIVER = Path(__file__).with_name("drive.lua")


async def test_neovim_runs_reviews_applies_and_undoes_with_one_u(tmp_path: Path) -> None:
    project, home = await sample_project(tmp_path)
    on_disk = (project / BUGGY_FILE).read_bytes()
    log, configuration = home / "judged.json", home / "configuration"
    (configuration / "lsp").mkdir(parents=True)
    (configuration / "lsp" / "agent_lsp.lua").write_text((PLUGIN / "lsp" / "agent_lsp.lua").read_text())

    server = through(log, [sys.executable, "-m", "agent_lsp", "serve"])
    editor = [program(), "--clean", "--headless", "-n", "-c", f"luafile {DRIVER}"]
    seen = drive(editor, project, home, server, {"AGENT_LSP_CONFIGURATION": str(configuration)})

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
    assert await judged(log) == []
