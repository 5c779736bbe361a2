"""Owns where the prompts lie: `agent_lsp/prompts` in a wheel, `prompts/` beside the package in an editable install."""

from importlib.resources import files
from pathlib import Path

import agent_lsp


def load_prompts() -> dict[str, str]:
    """Every template's text by its name without `.md`. Empty if the installation lost them."""
    shipped = files("agent_lsp") / "prompts"
    if shipped.is_dir():
        return {
            entry.name.removesuffix(".md"): entry.read_text(encoding="utf-8")
            for entry in shipped.iterdir()
            if entry.name.endswith(".md")
        }
    folder = Path(agent_lsp.__file__).parent.parent / "prompts"
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
