"""Owns the pictures in docs/neovim.md: a real Neovim's screen with the plugin.

Run: python -m tests.editors.neovim_pictures.
"""

import asyncio
import html
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent_lsp.app.demo.sample_project import BUGGY_FILE, make_sample_project
from tests.anthropic_server import AnthropicServer, ScriptedBrain, calls, edit, finish
from tests.editors.hands import Hands
from tests.editors.neovim import neovim
from tests.editors.screen import Cell, Screen

DOCS: Final = Path(__file__).parents[2] / "docs"
SIZE: Final = (104, 26)
CELL: Final = (8.4, 17)
"""Width and height of a character, in the picture's units."""

GOAL: Final = "spans that touch should merge"
BRAIN: Final = ScriptedBrain(
    execution=[calls(edit(BUGGY_FILE, "span.start < merged", "span.start <= merged")), calls(finish("They merge now."))]
)

INIT: Final = """
vim.o.termguicolors = true
vim.o.number = true
vim.o.signcolumn = 'yes'
vim.o.ruler = false
vim.o.laststatus = 2
vim.o.statusline = "%f %m%=%{%v:lua.require'agent_lsp'.statusline()%} %l,%c"
"""


def picture(screen: Screen) -> str:
    """The screen as an SVG of text."""
    width, height = screen.columns * CELL[0], screen.rows * CELL[1]
    font = 'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14" xml:space="preserve"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 16:g} {height + 16:g}" {font}>',
        f'<rect width="100%" height="100%" rx="6" fill="{_colour(screen.colours[1])}"/>',
    ]
    for row, cells in enumerate(screen.cells):
        parts += _row(screen, row, cells)
    return "\n".join([*parts, "</svg>\n"])


def _row(screen: Screen, row: int, cells: list[Cell]) -> Iterator[str]:
    column = 0
    for style, group in itertools.groupby(cells, key=lambda cell: cell[1]):
        run = list(group)
        text = "".join(part for part, _ in run)
        x, y = 8 + column * CELL[0], 8 + row * CELL[1]
        front, back = _colours(screen, screen.styles.get(style, {}))
        if back != _colour(screen.colours[1]):
            yield f'<rect x="{x:g}" y="{y:g}" width="{len(run) * CELL[0]:g}" height="{CELL[1]}" fill="{back}"/>'
        if text.strip():
            lead = len(text) - len(text.lstrip())
            x, long = x + lead * CELL[0], len(text.strip()) * CELL[0]
            shown = html.escape(text.strip()).replace(" ", "&#160;")
            weight = ' font-weight="bold"' if screen.styles.get(style, {}).get("bold") else ""
            place = f'x="{x:g}" y="{y + 13:g}" textLength="{long:g}"'
            yield f'<text {place} fill="{front}"{weight}>{shown}</text>'
        column += len(run)


def _colours(screen: Screen, style: Mapping[str, Any]) -> tuple[str, str]:
    front = _colour(style.get("foreground", screen.colours[0]))
    back = _colour(style.get("background", screen.colours[1]))
    return (back, front) if style.get("reverse") else (front, back)


def _colour(number: int) -> str:
    return f"#{number:06x}"


async def pictures(folder: Path) -> dict[str, Screen]:
    """The screens, by the names of their files."""
    project, home = folder / "roomplan", folder / "home"
    project.mkdir()
    home.mkdir()
    await make_sample_project(project)
    taken: dict[str, Screen] = {}
    with AnthropicServer(BRAIN) as model:
        async with neovim(project, home, model=model, init=INIT, size=SIZE) as nvim:
            await _review(Hands(nvim, project, plugin=True, model=model), taken)
    return taken


async def _review(hands: Hands, taken: dict[str, Screen]) -> None:
    nvim = hands.nvim

    async def take(name: str) -> None:
        await nvim.command("mode")
        await nvim.lua("return 1")
        await asyncio.sleep(0.3)  # what is drawn late is only missing from a picture
        taken[name] = Screen(*SIZE, [list(row) for row in nvim.screen.cells], nvim.screen.styles, nvim.screen.colours)

    await nvim.edit(BUGGY_FILE)
    run_id = await hands.start(GOAL)
    await hands.until(run_id, "proposed")
    await hands.hunks(1)
    await nvim.keys("]a")
    await nvim.seen("agent: proven")
    await take("neovim-review.svg")
    await nvim.keys(":Agent diff<CR>")
    await nvim.seen("q closes")
    await take("neovim-diff.svg")
    await nvim.keys(":tabclose<CR>\\aa")
    await hands.until(run_id, "applied")
    await nvim.keys(":Agent log<CR>")
    await nvim.until("the log", "return vim.bo.filetype == 'agent_lsp_log'")
    await nvim.keys(":Agent status<CR>")
    await nvim.seen("applied ")
    await take("neovim-runs.svg")


def main() -> None:
    """Writes the pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for file, screen in asyncio.run(pictures(Path(name))).items():
            (DOCS / file).write_text(picture(screen), encoding="utf-8")
            print(f"--- {file}\n{screen.text}")


if __name__ == "__main__":
    main()
