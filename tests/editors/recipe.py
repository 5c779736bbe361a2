"""Owns the reading of docs/editors.md: the lines for a stock Neovim and a stock Emacs, as they stand there."""

import re
import shutil
from pathlib import Path

from tests.editors.neovim import PLUGIN

PAGE = Path(__file__).parent.parent.parent / "docs" / "editors.md"


def block(after: str, language: str) -> str:
    """The first block of code in a language after some words of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.compile(rf"```{language}\n(.*?)```", re.DOTALL).search(text, text.index(after))
    assert found, f"docs/editors.md has no {language} after {after!r}"
    return found[1]


def stock_configuration(home: Path) -> str:
    """Does what the page says for a stock Neovim; the text of init.lua."""
    folder = home / ".config" / "nvim" / "lsp"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(PLUGIN / "lsp" / "agent_lsp.lua", folder)
    return block("Neovim 0.11 or newer, without the plugin", "lua")
