"""Owns the picture in docs/gate.md: the screen of a real Neovim, in a real terminal, with a proposal under review.

Run: python -m tests.editors.picture docs/gate.svg. Needs tmux.
"""

import argparse
import asyncio
import html
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from agent_lsp.app.demo.sample_project import BUGGY_FILE, GOAL, make_sample_project
from tests.editors.neovim import PLUGIN, program

DRIVER = Path(__file__).with_name("picture.lua")
COLUMNS, ROWS = 138, 28
WAIT_S = 120.0

FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts that the picture would fetch from elsewhere."""

RUN = re.compile(
    r'<text (class="gate-r\d+") x="([\d.]+)" (y="[\d.]+") textLength="[\d.]+"[^>]*>(.*?)</text>', re.DOTALL
)
BLANK = "&#160;"
CELL = 12.2
"""The width that Rich gives a column."""

DARK = TerminalTheme((20, 22, 27), (224, 226, 234), [(7, 8, 13)] * 8)
"""Neovim's own colours; it names all others itself."""


def tmux(socket: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["tmux", "-S", str(socket), "-f", "/dev/null", *arguments],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def screen(folder: Path) -> str:
    """What a person sees, with its colours, once the menu of code actions is open."""
    project, home, socket, ready = (folder / name for name in ("roomplan", "home", "socket", "ready"))
    variables = {
        "HOME": str(home),
        "AGENT_LSP_CACHE_DIR": str(home / "cache"),
        "AGENT_LSP_CONFIGURATION": str(PLUGIN),
        "AGENT_LSP_COMMAND": json.dumps([sys.executable, "-m", "agent_lsp", "serve"]),
        "AGENT_LSP_FILE": BUGGY_FILE,
        "AGENT_LSP_GOAL": GOAL,
        "AGENT_LSP_REPORT": str(ready),
    }
    given = [f"{name}={value}" for name, value in variables.items()]
    gone = [part for name in os.environ if name.startswith(("XDG_", "NVIM", "ANTHROPIC_")) for part in ("-u", name)]
    command = ["env", *gone, *given, program(), "--clean", "-n", "-c", f"luafile {DRIVER}"]
    size = ("-x", str(COLUMNS), "-y", str(ROWS))
    tmux(socket, "new-session", "-d", *size, "-c", str(project), shlex.join(command))
    try:
        tmux(socket, "set-option", "-g", "status", "off")
        end_s = time.monotonic() + WAIT_S
        while not ready.exists() or "Type number" not in (seen := tmux(socket, "capture-pane", "-e", "-N", "-p")):
            if time.monotonic() > end_s:
                raise TimeoutError(tmux(socket, "capture-pane", "-p"))
            time.sleep(0.2)
        return seen
    finally:
        tmux(socket, "kill-server")


def picture(seen: str) -> str:
    """The screen as an SVG of text."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, color_system="truecolor", force_terminal=True)
        for line in seen.rstrip("\n").split("\n"):
            console.print(Text.from_ansi(line), soft_wrap=False, no_wrap=True, crop=True)
        text = console.export_svg(title="Neovim", theme=DARK, unique_id="gate")
    return RUN.sub(trimmed, FONT_FACE.sub("", text))


def trimmed(run: re.Match[str]) -> str:
    """A run of text without the blanks around it, which not every viewer gives their width."""
    style, x, rest, inside = run.groups()
    text = inside.replace(BLANK, " ").replace("\n", " ")
    if not text.strip():
        return ""
    left = float(x) + CELL * (len(text) - len(text.lstrip()))
    width = CELL * cell_len(html.unescape(text.strip()))
    return f'<text {style} x="{left:g}" {rest} textLength="{width:g}">{text.strip().replace(" ", BLANK)}</text>'


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "roomplan").mkdir()
        (folder / "home").mkdir()
        asyncio.run(make_sample_project(folder / "roomplan"))
        arguments.target.write_text(picture(screen(folder)))


if __name__ == "__main__":
    main()
