"""`make bench`: measures, prints the tables of docs/benchmarks.md and writes them there, with the chart.

`make bench PARTS="edge busy"` measures only these parts and leaves the rest of the page as it is;
`make bench PARTS="repair --whole"` takes all programs instead of a few.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.busy import measure_busy
from tests.bench.candidates import measure_candidates
from tests.bench.contenders import bare, contenders, ours
from tests.bench.edge import measure_client_us, measure_edge
from tests.bench.gate import measure_gates
from tests.bench.maps import measure_maps
from tests.bench.measure import Row, say
from tests.bench.memory import measure_memory
from tests.bench.page import DOCS, EDGE, Json, edge_part, plain_part, write
from tests.bench.repair import measure_repair
from tests.bench.resume import measure_resume
from tests.bench.turns import measure_turns
from tests.bench.warm import measure_warm

_ROUNDS: Final = 9


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: rounds of the edge, and whether the repair engine gets all programs."""

    rounds: int
    whole: bool


Part = Callable[[Path, Extent], Json]


def _edge(folder: Path, extent: Extent) -> Json:
    servers = contenders(folder / "cache")
    rows = measure_edge(folder, servers, extent.rounds)
    return edge_part(rows, servers, measure_client_us(folder), extent.rounds)


def _repair(folder: Path, extent: Extent) -> Json:
    return plain_part(asyncio.run(measure_repair(folder, whole=extent.whole)))


def _plain(measure: Callable[[Path], Coroutine[Any, Any, list[Row]]]) -> Part:
    return lambda folder, _: plain_part(asyncio.run(measure(folder)))


PARTS: Final[Mapping[str, Part]] = {
    EDGE: _edge,
    "busy": _plain(lambda folder: measure_busy(folder, ours(folder / "cache"))),
    "gate": _plain(measure_gates),
    "candidates": _plain(measure_candidates),
    "warm": _plain(measure_warm),
    "repair": _repair,
    "map": _plain(measure_maps),
    "resume": _plain(measure_resume),
    "turns": lambda folder, _: plain_part(measure_turns(folder)),
    "memory": lambda folder, _: plain_part(measure_memory(folder, bare())),
}


def main() -> None:
    """Measures the chosen parts, prints their tables, and puts them into the page."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all of them")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N", help="of the edge (default 9)")
    parser.add_argument("--whole", action="store_true", help="all programs of the repair engine, not a few")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="DIR", help="the folder of benchmarks.md")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    extent = Extent(options.rounds, options.whole)
    for name in options.parts or PARTS:
        say(f"measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="agent-lsp-bench-") as folder:
            part = PARTS[name](Path(folder), extent)
        print(write(options.docs, {name: part}))


if __name__ == "__main__":
    main()
