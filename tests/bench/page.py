"""Owns what `make bench` writes: the figures in docs/benchmarks.json, and from them the tables and the chart."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.chart import chart
from tests.bench.contenders import BARE, OURS, Contender
from tests.bench.measure import NOTHING, Comparison, Row

DOCS: Final = Path(__file__).parent.parent.parent / "docs"
FIGURES, PAGE, CHART = "benchmarks.json", "benchmarks.md", "benchmarks.svg"
EDGE: Final = "edge"

Json = dict[str, Any]


def edge_part(rows: Sequence[Comparison], servers: Sequence[Contender], client_us: float, rounds: int) -> Json:
    """The figures of the edge as plain data."""
    who = [{"name": server.name, "version": server.version, "missing": server.missing} for server in servers]
    return {**_taken(), "rounds": rounds, "clientUs": client_us, "servers": who, "rows": [asdict(row) for row in rows]}


def plain_part(rows: Sequence[Row]) -> Json:
    """The figures of any other part as plain data."""
    return {**_taken(), "rows": [asdict(row) for row in rows]}


def write(docs: Path, parts: Mapping[str, Json]) -> str:
    """Replaces these parts in the figures, makes the page and the chart anew, and gives the tables as text."""
    known: Json = json.loads((docs / FIGURES).read_text()) if (docs / FIGURES).exists() else {}
    known.update(parts)
    (docs / FIGURES).write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    tables = {name: table(name, part) for name, part in known.items()}
    text = (docs / PAGE).read_text()
    for name, lines in tables.items():
        text = put(text, name, lines)
    (docs / PAGE).write_text(text)
    if EDGE in known:
        (docs / CHART).write_text(_chart(known[EDGE]))
    return "\n".join(tables[name] for name in parts)


def put(text: str, part: str, lines: str) -> str:
    """The page with this part's table between its marks. Raises ValueError when the marks are not there."""
    start, end = f"<!-- {part}: made by make bench -->", f"<!-- end of {part} -->"
    before, found, rest = text.partition(start)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"{PAGE} has no place for the part {part}: it needs the lines {start} and {end}")
    return f"{before}{start}\n{lines}{end}{after}"


def table(name: str, part: Json) -> str:
    """One part as Markdown."""
    return _edge_table(part) if name == EDGE else _plain_table(part)


def _plain_table(part: Json) -> str:
    lines = [f"Measured on {part['date']}, {part['machine']}; medians of alternated rounds in one run.", ""]
    lines += ["| what | agent-lsp | baseline | ratio | aim |", "|---|---|---|---|---|"]
    for row in (Row(**row) for row in part["rows"]):
        lines.append(f"| {row.name} | {row.subject} | {row.baseline} | {row.ratio:.2f} × | {row.aim} |")
    return "\n".join(lines) + "\n"


def _edge_table(part: Json) -> str:
    names = [server["name"] for server in part["servers"] if server["name"] not in (OURS, BARE)]
    versions = [f"{server['name']} {server['version']}" for server in part["servers"] if server["version"]]
    head = (
        f"Measured on {part['date']}, {part['machine']}; medians of {part['rounds']} alternated rounds in one run. The "
        f"client's own round trip, with a process that only echoes: {part['clientUs']:.0f} µs. {'; '.join(versions)}."
    )
    lines = [
        head,
        "",
        f"| what | {OURS} | {BARE} | ratio | aim | | {' | '.join(names)} |",
        "|---|---|---|---|---|---|" + "---|" * len(names),
    ]
    for row in (Comparison(**row) for row in part["rows"]):
        ratio = row.ratio(OURS, BARE)
        cells = [
            row.name,
            row.text(OURS),
            row.text(BARE),
            NOTHING if ratio is None else f"{ratio:.2f} ×",
            row.aim_text(),
        ]
        cells += [{True: "met", False: "missed", None: ""}[row.met(OURS, BARE)], *map(row.text, names)]
        lines.append("| " + " | ".join(cells) + " |")
    missing = [f"- {server['name']}: {server['missing']}" for server in part["servers"] if server["missing"]]
    return "\n".join([*lines, *([""] if missing else []), *missing]) + "\n"


def _chart(part: Json) -> str:
    rows = [Comparison(**row) for row in part["rows"]]
    names = [server["name"] for server in part["servers"] if server["name"] != BARE and not server["missing"]]
    return chart(rows, names, BARE, f"{part['date']}, {part['machine']}; medians; logarithmic scale")


def _taken() -> Json:
    cores = os.cpu_count() or 1
    machine = f"{cores} cores, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine}
