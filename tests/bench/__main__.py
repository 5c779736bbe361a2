"""`make bench`: prints the table of docs/benchmarks.md and writes it there between its marks."""

import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from agent_lsp.app.demo.sample_project import make_sample_project
from tests.bench.edge import measure_actions, measure_start
from tests.bench.measure import Row
from tests.bench.runtime import measure_candidates, measure_gate

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
START, END = "<!-- table: made by make bench -->", "<!-- end of table -->"


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="agent-lsp-bench-") as name:
        folder = Path(name)
        root = folder / "start"
        root.mkdir()
        await make_sample_project(root)
        rows: list[Row] = []
        parts: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "start and memory": lambda: measure_start(root, folder / "cache"),
            "code actions": lambda: measure_actions(folder),
            "gate": lambda: _gates(folder),
            "candidates": lambda: measure_candidates(folder),
        }
        for title, work in parts.items():
            print(f"measuring {title} …", file=sys.stderr, flush=True)
            rows += await work()
        return rows


async def _gates(folder: Path) -> list[Row]:
    return [await measure_gate(folder, slow=False), await measure_gate(folder, slow=True)]


def _table(rows: list[Row]) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}"
    head = f"Measured on {datetime.now(UTC):%Y-%m-%d}, {machine}; medians of alternated rounds in one run.\n\n"
    head += "| what | agent-lsp | baseline | ratio | aim |\n|---|---|---|---|---|\n"
    return head + "\n".join(row.markdown() for row in rows) + "\n"


def main() -> None:
    """Measures everything, prints the table, and puts it into the page."""
    table = _table(asyncio.run(_measure()))
    print(table)
    page = PAGE.read_text()
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n{table}{END}{after}")


if __name__ == "__main__":
    main()
