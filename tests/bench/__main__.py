"""`make bench`: measures, prints the tables of docs/benchmarks.md and writes them there, with the chart.

`make bench PARTS="edge busy"` measures only these parts and leaves the rest of the page as it is.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench.busy import measure_busy
from tests.bench.candidates import measure_candidates
from tests.bench.contenders import contenders, ours
from tests.bench.edge import measure_client_us, measure_edge
from tests.bench.gate import measure_gates
from tests.bench.maps import measure_maps
from tests.bench.measure import Row, say
from tests.bench.page import DOCS, EDGE, Json, edge_part, plain_part, write
from tests.bench.repair import measure_repair
from tests.bench.resume import measure_resume
from tests.bench.warm import measure_warm

_ROUNDS: Final = 9


def _edge(folder: Path, rounds: int) -> Json:
    servers = contenders(folder / "cache")
    return edge_part(measure_edge(folder, servers, rounds), servers, measure_client_us(folder), rounds)


def _plain(measure: Callable[[Path], Coroutine[Any, Any, list[Row]]]) -> Callable[[Path, int], Json]:
    return lambda folder, _rounds: plain_part(asyncio.run(measure(folder)))


PARTS: Final[Mapping[str, Callable[[Path, int], Json]]] = {
    EDGE: _edge,
    "busy": _plain(lambda folder: measure_busy(folder, ours(folder / "cache"))),
    "gate": _plain(measure_gates),
    "candidates": _plain(measure_candidates),
    "warm": _plain(measure_warm),
    "repair": _plain(measure_repair),
    "map": _plain(measure_maps),
    "resume": _plain(measure_resume),
}


def main() -> None:
    """Measures the chosen parts, prints their tables, and puts them into the page."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without any, all of them")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N", help="of the edge (default 9)")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="DIR", help="the folder of benchmarks.md")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        say(f"measuring {name} …")
        with tempfile.TemporaryDirectory(prefix="agent-lsp-bench-") as folder:
            part = PARTS[name](Path(folder), options.rounds)
        print(write(options.docs, {name: part}))


if __name__ == "__main__":
    main()
