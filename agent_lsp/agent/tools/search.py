"""Owns the tool search: ripgrep where the candidate has it, else a small Python program with the same output.

Both run in the candidate and are killed after a time, since a pattern of a model may never end in Python's `re`.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import Field

from agent_lsp.agent.tools.globs import glob_matcher
from agent_lsp.agent.tools.tool import Answer, Bench, Tool, ToolInput, nearest
from agent_lsp.domain.errors import CandidateError, ToolError
from agent_lsp.domain.policy import Effect, inside_root
from agent_lsp.domain.ports import Command

MOST_MATCHES: Final = 200
LONGEST_LINE: Final = 300
TIMEOUT_S: Final = 30.0
ARGUMENT_BYTES: Final = 100_000
"""Paths are handed over in portions of this size; Linux allows 2 MiB of arguments and environment."""

_RIPGREP: Final = (
    *("rg", "--no-config", "--no-ignore", "--hidden", "--no-heading", "--with-filename", "--null", "--line-number"),
    *("--color=never", "--max-count=50", "--sort=path", "--no-messages", "--text"),
)

_PYTHON_SEARCH: Final = """
import re, sys
flags, pattern, paths = sys.argv[1], sys.argv[3], sys.argv[5:]
try:
    wanted = re.compile(pattern, re.IGNORECASE if "i" in flags else 0)
except re.error as error:
    print("regex parse error:", error)
    sys.exit(2)
found = 1
for path in paths:
    try:
        with open(path, "rb") as file:
            lines = file.read().decode("utf-8", "replace").split("\\n")
    except OSError:
        continue
    hits = 0
    for number, line in enumerate(lines, 1):
        if wanted.search(line.rstrip("\\r")):
            found, hits = 0, hits + 1
            sys.stdout.buffer.write(f"{path}\\0{number}:{line}\\n".encode())
            if hits >= 50:
                break
sys.exit(found)
"""

_HIT = re.compile(r"^(?:\./)?([^\0\n]+)\0(\d+):(.*)$")


class Search(ToolInput):
    """What to look for, and where."""

    pattern: str = Field(min_length=1, description="A regular expression in ripgrep's syntax.")
    path: str | None = Field(default=None, description="A file or folder relative to the root; default: everywhere.")
    glob: str | None = Field(default=None, description="Only files that match, e.g. *.py.")
    ignore_case: bool = False


async def _run(given: Search, bench: Bench) -> Answer:
    folder = inside_root(given.path or ".")
    paths = await bench.candidate.paths(folder)
    if not paths and folder != "." and await bench.candidate.read(folder) is not None:
        paths = [folder]
    if not paths and folder != ".":
        raise ToolError(f"There is nothing at {folder}.{await nearest(bench, folder)}")
    paths = [path for path in paths if path not in bench.private]
    if given.glob:
        matcher = glob_matcher(given.glob)
        paths = [path for path in paths if matcher.fullmatch(path)]
        if not paths:
            return Answer(f"No file under {folder} matches the glob {given.glob}.")
    searcher = await _searcher(bench)
    hits: list[str] = []
    for portion in _portions(paths):
        hits += await _matches(bench, searcher, given, portion)
        if len(hits) > MOST_MATCHES:
            break
    return Answer(_shown(hits, given.pattern, searcher))


async def _searcher(bench: Bench) -> tuple[str, ...]:
    """The program to search with, found once: its arguments up to the flags."""
    if bench.searcher is None:
        for program, probe in ((_RIPGREP, ("rg", "--version")), *((_python(name)) for name in _PYTHONS)):
            if await _starts(bench, probe):
                bench.searcher = program
                break
        else:
            raise ToolError("Nothing here can search files; use list_files and read_file instead.")
    return bench.searcher


_PYTHONS: Final = (sys.executable, "python3", "python")


def _python(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (name, "-I", "-S", "-c", _PYTHON_SEARCH), (name, "-c", "")


async def _starts(bench: Bench, probe: tuple[str, ...]) -> bool:
    try:
        done = await bench.candidate.run(Command(probe, timeout_s=10.0))
    except CandidateError:
        return False
    return done.exit_status == 0


async def _matches(bench: Bench, searcher: tuple[str, ...], given: Search, paths: Sequence[str]) -> list[str]:
    flags = "-i" if given.ignore_case else "-s"
    command = (*searcher, flags, "-e", given.pattern, "--", *paths)
    done = await bench.candidate.run(Command(command, timeout_s=TIMEOUT_S, output_limit_bytes=400_000))
    if done.timed_out:
        raise ToolError(f"The search took longer than {TIMEOUT_S:.0f} s; give a simpler pattern, a path or a glob.")
    hits = []
    for line in done.output.split("\n"):
        hit = _HIT.match(line)
        if hit is not None and "\0" not in hit[3]:
            text = hit[3].rstrip("\r")
            text = text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + " …"
            hits.append(f"{hit[1]}:{hit[2]}: {text}")
    if done.exit_status not in (0, 1) and not hits:
        raise ToolError(f"The pattern could not be searched for: {done.output.strip()[:800]}{_note(searcher)}")
    return hits


def _note(searcher: tuple[str, ...]) -> str:
    if searcher[0] == "rg":
        return ""
    return (
        " (ripgrep is not there, so Python's re searched: \\p{…}, [[:alpha:]] and other syntax of ripgrep alone "
        "are not understood)"
    )


def _portions(paths: Sequence[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for path in paths:
        size += len(path.encode()) + 1
        if portion and size > ARGUMENT_BYTES:
            yield portion
            portion, size = [], len(path.encode()) + 1
        portion.append(path)
    if portion:
        yield portion


def _shown(hits: list[str], pattern: str, searcher: tuple[str, ...]) -> str:
    if not hits:
        return f"Nothing matches {pattern}.{_note(searcher)}"
    cut = f"\n… more than {MOST_MATCHES} matches; narrow it with path or glob" if len(hits) > MOST_MATCHES else ""
    return "\n".join(hits[:MOST_MATCHES]) + cut


TOOL: Final = Tool(
    name="search",
    description=(
        "Searches the workspace's files for a regular expression (ripgrep syntax; ignored and private files left out). "
        "Gives path:line: text."
    ),
    effect=Effect.READ,
    input_model=Search,
    run=_run,
)
