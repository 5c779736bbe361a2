"""Owns how a proposed change is printed in a terminal: its summary, the diff, the verdict."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax

from agent_lsp.app.verdict_text import verdict_text


def print_change(console: Console, proposal: Mapping[str, Any]) -> None:
    """The diff stands as it is where nobody but a program reads it."""
    verdict = proposal["verdict"]
    console.print(proposal["summary"], soft_wrap=True)
    if console.is_terminal:
        console.print(Syntax(proposal["diff"], "diff", background_color="default"))
    else:
        print(proposal["diff"], end="", flush=True)
    console.print(Panel(verdict_text(verdict), title=f"verdict: {verdict['decision']}", title_align="left"))
