"""Owns `agent-lsp models`: the endpoints of the tiers with their health, and having Ollama load a model."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent_lsp.app.models import NETWORK, place_of
from agent_lsp.domain.errors import AgentLspError, UserError
from agent_lsp.providers import ollama
from agent_lsp.providers.health import probe
from agent_lsp.settings.endpoint import Endpoint, Endpoints, endpoints
from agent_lsp.settings.loader import load

_WITHIN_S: Final = 10.0
_EXIT_USAGE: Final = 2


def show_models(root: Path, *, as_json: bool, pull: str | None) -> int:
    """Prints every endpoint, or loads models where `pull` is given (empty: all of Ollama). 1 if something failed."""
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        known = endpoints(load(root, environ=os.environ).settings, os.environ)
        known.check()
        return asyncio.run(_pull(_wanted(known, pull)) if pull is not None else _show(known, as_json=as_json))
    except AgentLspError as error:
        print(f"agent-lsp models: {error.message}. {error.hint}".strip(), file=sys.stderr)
        return _EXIT_USAGE if isinstance(error, UserError) else 1


def _wanted(known: Endpoints, name: str) -> list[Endpoint]:
    """Raises UserError where there is nothing to load."""
    of_ollama = [place for place in known.by_name.values() if place.provider == "ollama"]
    chosen = [place for place in of_ollama if name in ("", place.label)]
    if not chosen:
        names = ", ".join(place.label for place in of_ollama) or "none"
        what = f"the endpoint {name or 'of any tier'} is none of Ollama's"
        raise UserError(what, hint=f"Endpoints of Ollama: {names}; docs/models.md tells how to set one up.")
    return chosen


async def _pull(places: list[Endpoint]) -> int:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        for place in places:
            task = bar.add_task(f"{place.name}", total=100.0)

            def tell(status: str, percent: float | None, *, task: Any = task, name: str = place.name) -> None:
                bar.update(task, description=f"{name}: {status}", completed=percent)

            await ollama.pull(place_of(place), tell)
            bar.update(task, description=f"{place.name}: ready", completed=100.0)
    return 0


async def _show(known: Endpoints, *, as_json: bool) -> int:
    rows = await asyncio.gather(*(_row(known, name, place) for name, place in known.by_name.items()))
    if as_json:
        print(json.dumps({"tiers": known.table.to_json(), "endpoints": rows}, indent=2))
    else:
        _print(rows)
    return 1 if any(not row["works"] for row in rows) else 0


async def _row(known: Endpoints, name: str, place: Endpoint) -> dict[str, Any]:
    works, said = True, "not asked here"
    if place.provider in NETWORK:
        works, said = await probe(place_of(place, _WITHIN_S))
    row = {"endpoint": name, "provider": place.provider, "model": place.name, "tiers": known.table.of(name)}
    return {**row, "works": works, "seen": said}


def _print(rows: list[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not rows:
        console.print("No language model is configured; the embedded repair engine serves failing tests.")
        console.print("Set ANTHROPIC_API_KEY, or see docs/models.md for other models.")
        return
    table = Table("", "endpoint", "model", "tiers", "seen", box=None, pad_edge=False)
    for row in rows:
        mark = "[green]ok[/green]" if row["works"] else "[red]no[/red]"
        model = f"{row['model']} ({row['provider']})"
        table.add_row(mark, row["endpoint"], model, ", ".join(row["tiers"]), row["seen"])
    console.print(table)
