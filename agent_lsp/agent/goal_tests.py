"""Owns finding out which tests a run's goal tests are, where they are not named as the runner names them."""

from collections.abc import Iterable, Sequence

from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.comparison import within
from agent_lsp.domain.goal_names import AskedName, asked_name, has_place, placed, tidy
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.integrity import test_names
from agent_lsp.domain.ports import Trees

_READ_AT_MOST = 2000
"""Test files that are looked through for a bare name."""


async def find_goals(
    trees: Trees, tree: str, goals: Sequence[str], scope: Sequence[str], made: Iterable[str]
) -> tuple[CaseId, ...]:
    """The goal tests by path and name; `made` are files that the change brings.

    A name that means nothing here stays as it is, and will be told as not found.
    """
    wanted = [tidy(goal) for goal in goals if goal.strip()]
    if not wanted:
        return ()
    paths = frozenset([*await trees.paths(tree), *made])
    found: list[CaseId] = []
    for goal in wanted:
        if has_place(goal, paths):
            found.append(goal)
            continue
        asked = asked_name(goal)
        files = [place.id for place in placed(asked, paths)]
        if len(asked.parts) > 1 and files:
            found += files
        else:
            found += await _by_name(trees, tree, asked, _in_scope(paths, scope)) or files or [goal]
    return tuple(dict.fromkeys(found))


def _in_scope(paths: frozenset[str], scope: Sequence[str]) -> list[str]:
    files = sorted(path for path in paths if path.endswith(".py") and classify(path) is HunkClass.TEST)
    inside = [path for path in files if any(within(path, place.partition("::")[0]) for place in scope)]
    return (inside if scope else files)[:_READ_AT_MOST]


async def _by_name(trees: Trees, tree: str, asked: AskedName, paths: Sequence[str]) -> list[CaseId]:
    """Every test of that bare name."""
    last = asked.parts[-1].encode() if asked.parts else b""
    found: list[CaseId] = []
    for path in paths:
        entry = await trees.read(tree, path)
        if entry is not None and last and last in entry.content:
            found += asked.ids(path, sorted(test_names(entry.content)))
    return found
