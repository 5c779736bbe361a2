"""Owns finding out which tests a run's goal tests are, where they are not named as the runner names them."""

from collections.abc import Iterable, Sequence

from agent_lsp.domain.changes import HunkClass, classify
from agent_lsp.domain.comparison import within
from agent_lsp.domain.goal_names import asked_name, described, has_place, is_sentence, placed, tidy
from agent_lsp.domain.ids import CaseId
from agent_lsp.domain.integrity import test_names
from agent_lsp.domain.ports import Trees

_READ_AT_MOST = 2000
"""Test files that are looked through for a bare name."""

_READ_AT_ONCE = 200


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
    certain = {goal: _placed(goal, paths) for goal in wanted}
    loose = [goal for goal, found in certain.items() if not found]
    named = await _by_name(trees, tree, loose, _in_scope(paths, scope)) if loose else {}
    found: list[CaseId] = []
    for goal in wanted:
        found += certain[goal] or named.get(goal) or _files(goal, paths) or [goal]
    return tuple(dict.fromkeys(found))


def _placed(goal: str, paths: frozenset[str]) -> list[CaseId]:
    """What a name means that tells its file."""
    if has_place(goal, paths):
        return [goal]
    return _files(goal, paths) if not is_sentence(goal) and len(asked_name(goal).parts) > 1 else []


def _files(goal: str, paths: frozenset[str]) -> list[CaseId]:
    return [] if is_sentence(goal) else [place.id for place in placed(asked_name(goal), paths)]


def _in_scope(paths: frozenset[str], scope: Sequence[str]) -> list[str]:
    files = sorted(path for path in paths if path.endswith(".py") and classify(path) is HunkClass.TEST)
    inside = [path for path in files if any(within(path, place.partition("::")[0]) for place in scope)]
    return (inside if scope else files)[:_READ_AT_MOST]


async def _by_name(trees: Trees, tree: str, goals: Sequence[str], paths: Sequence[str]) -> dict[str, list[CaseId]]:
    """Every test of a bare name, or that is described by these words; all files are read once."""
    found: dict[str, list[CaseId]] = {}
    for start in range(0, len(paths), _READ_AT_ONCE):
        contents = await trees.contents(tree, paths[start : start + _READ_AT_ONCE])
        for path, content in contents.items():
            for goal in goals:
                found.setdefault(goal, []).extend(_in_file(path, content, goal))
    return found


def _in_file(path: str, content: bytes, goal: str) -> list[CaseId]:
    if is_sentence(goal):
        return [f"{path}::{name}" for name in described(content, goal)] if goal.encode() in content else []
    asked = asked_name(goal)
    last = asked.parts[-1].encode() if asked.parts else b""
    return asked.ids(path, sorted(test_names(content))) if last and last in content else []
