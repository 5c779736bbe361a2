"""`make fuzz`: many sessions of generated messages with a bar, then what was found, each with its seed.

python -m tests.fuzz [--messages 200000] [--seed N] [--session 10000]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.fuzz.session import SMALL, WHOLE, Outcome, make_workspace, run_session, run_torn
from tests.judge.meta_model import MISSING, MetaModel, load

TORN_MESSAGES = 500
WHOLE_EVERY = 4


def fuzz(model: MetaModel, messages: int, session: int, seed: int) -> list[Outcome]:
    """Runs the sessions, each ended by a torn one; stops at the first that found something."""
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="agent-lsp-fuzz-") as name,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        task = bar.add_task("messages", total=messages)
        sent = 0
        while sent < messages:
            root = make_workspace(Path(name) / str(seed))
            count = min(session, messages - sent)
            server = WHOLE if seed % WHOLE_EVERY == 0 else SMALL
            outcome = run_session(model, root, seed, count, lambda more: bar.advance(task, more), argv=server)
            torn = run_torn(model, root, seed, TORN_MESSAGES)
            outcomes += [outcome, torn]
            sent, seed = sent + count, seed + 1
            if outcome.found or torn.found:
                break
    return outcomes


def main() -> int:
    """The exit status: 0 when nothing was found, 1 for a finding, 2 without the meta model."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--session", type=int, default=10_000, help="messages of one session")
    parser.add_argument("--seed", type=int, default=1, help="of the first session; a failing one is told")
    options = parser.parse_args()
    model = load()
    if model is None:
        print(MISSING, file=sys.stderr)
        return 2
    began = time.monotonic()
    outcomes = fuzz(model, options.messages, options.session, options.seed)
    sent = sum(outcome.sent for outcome in outcomes)
    took_s = time.monotonic() - began
    grown = max((outcome.growth_kib or 0 for outcome in outcomes), default=0)
    print(f"{sent:,} messages in {len(outcomes)} sessions, {took_s:.0f} s ({sent / took_s:,.0f} a second), ", end="")
    print(f"most growth of a session's memory {grown:,} KiB")
    failed = [outcome for outcome in outcomes if outcome.found]
    for outcome in failed:
        print(f"\nseed {outcome.seed}:")
        print("\n".join(f"- {what}" for what in outcome.found[:20]))
    print("nothing was found" if not failed else f"\nagain: python -m tests.fuzz --seed {failed[0].seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
