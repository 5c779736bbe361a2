"""Owns the measurement of apply_patch on a file of diffs that small models wrote, against git and GNU patch.

Run: python -m tests.measure_patches PATH/sloppy-diffs.jsonl [--list applied|refused]
Each row of the file is JSON with `name`, `before` and `diff`. A diff is judged on its lines, not on the file name
it guessed: like `patch FILE`, all but the `as named` row are told which file is meant.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from agent_lsp.domain.errors import ToolError
from agent_lsp.domain.patching import apply_patch

Row = dict[str, str]
Outcome = tuple[bool, bool]
"""Whether the diff was taken, and whether it changed the text."""

_OLD = re.compile(r"^--- .*$", re.MULTILINE)
_NEW = re.compile(r"^\+\+\+ .*$", re.MULTILINE)


def named(row: Row) -> str:
    """The diff with its header lines naming the file that is meant."""
    diff = _OLD.sub(lambda _: f"--- a/{row['name']}", row["diff"])
    return _NEW.sub(lambda _: f"+++ b/{row['name']}", diff)


def ours(row: Row, *, as_named: bool = False) -> str:
    """The new text. Raises ToolError."""

    def read(path: str) -> str | None:
        return row["before"] if path == row["name"] else None

    texts = apply_patch(row["diff"] if as_named else named(row), read)
    text = texts[row["name"]]
    return "" if text is None else text


def by_program(argv: list[str], row: Row) -> Outcome:
    """What a program does with the diff in a folder with the file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, row["name"]).write_text(row["before"])
        Path(folder, "change.diff").write_text(named(row))
        done = subprocess.run(argv, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
        taken = done.returncode == 0
        return taken, taken and Path(folder, row["name"]).read_text() != row["before"]


def by_patch(row: Row) -> Outcome:
    """GNU patch with the largest fuzz, told the file."""
    argv = ["patch", "-p0", "--batch", "--forward", "-F5", "-r", "-", "-i", "change.diff", row["name"]]
    return by_program(argv, row)


def by_apply_patch(row: Row, *, as_named: bool = False) -> Outcome:
    """What apply_patch does; a diff without effect is refused by it."""
    try:
        changed = ours(row, as_named=as_named) != row["before"]
    except ToolError:
        return False, False
    return True, changed


def main() -> None:
    """Prints the table, or with --list the rows of one outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--list", choices=["applied", "refused"])
    arguments = parser.parse_args()
    rows: list[Row] = [json.loads(line) for line in arguments.path.read_text().splitlines()]
    if arguments.list:
        _list(rows, arguments.list == "applied")
        return
    ways: dict[str, Callable[[Row], Outcome]] = {
        "git apply": lambda row: by_program(["git", "apply", "change.diff"], row),
        "git apply --recount -C1": lambda row: by_program(["git", "apply", "--recount", "-C1", "change.diff"], row),
        "patch -F5": by_patch,
        "apply_patch, as named": lambda row: by_apply_patch(row, as_named=True),
        "apply_patch": by_apply_patch,
    }
    print(f"{len(rows)} diffs{'taken':>28}{'changed the text':>22}")
    for label, way in ways.items():
        taken, changed = (sum(column) for column in zip(*map(way, rows), strict=True))
        print(f"{label:<26}{taken:>4}{_share(taken, rows):>9}{changed:>9}{_share(changed, rows):>9}")


def _share(count: int, rows: list[Row]) -> str:
    return f"{100 * count / len(rows):.1f} %"


def _list(rows: list[Row], applied: bool) -> None:
    for number, row in enumerate(rows):
        try:
            ours(row)
        except ToolError as error:
            if not applied:
                print(f"{number}: {error.message}")
        else:
            if applied:
                print(number)


if __name__ == "__main__":
    main()
