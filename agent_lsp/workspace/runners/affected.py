"""Owns which projects of a workspace a change can affect, by the paths of the changed files. Computes, nothing else."""

import re
from collections.abc import Collection, Sequence

from agent_lsp.domain.languages import JAVASCRIPT, PYTHON, suffix
from agent_lsp.workspace.runners.projects import Language, Project


def affected(projects: Sequence[Project], changed: Collection[str]) -> dict[int, bool]:
    """The projects to ask, by number; True for those that a change of their own code concerns.

    Code asks the projects of its language, the innermost around it and those whose manifest names that one. What lies
    above them, or belongs to none, can affect all of them. Other files ask whatever is around them, in any language.
    No changed paths: all are asked.
    """
    found: dict[int, bool] = {}
    for path in changed:
        language = language_of(path)
        peers = [at for at, project in enumerate(projects) if project.language is language]
        for at, surely in _concerned(projects, peers or list(range(len(projects))), path, bool(peers)).items():
            found[at] = found.get(at, False) or surely
    return found or dict.fromkeys(range(len(projects)), False)


def owners(projects: Sequence[Project], path: str) -> list[int]:
    """The projects that hold a test file, or tests below a folder."""
    language = language_of(path)
    peers = [at for at, project in enumerate(projects) if language is None or project.language is language]
    around = _innermost(projects, peers, path)
    below = [at for at in peers if path in ("", ".") or projects[at].folder.startswith(path.rstrip("/") + "/")]
    return sorted({*around, *below}) or around


def language_of(path: str) -> Language | None:
    """The language of a file that projects are of."""
    if suffix(path) in JAVASCRIPT:
        return Language.JAVASCRIPT
    return Language.PYTHON if suffix(path) in PYTHON else None


def _concerned(projects: Sequence[Project], peers: Sequence[int], path: str, own_code: bool) -> dict[int, bool]:
    around = _innermost(projects, peers, path)
    inside = [at for at in around if projects[at].folder != "."]
    if not inside:
        return {at: own_code and (at in around or not around) for at in peers}
    found = dict.fromkeys(inside, own_code)
    wave = list(inside)
    while wave:
        names = [projects[at].name for at in wave if projects[at].name]
        wave = [at for at in range(len(projects)) if at not in found and _names(projects[at], names)]
        found |= dict.fromkeys(wave, False)
    return found


def _innermost(projects: Sequence[Project], peers: Sequence[int], path: str) -> list[int]:
    holding = [at for at in peers if _holds(projects[at].folder, path)]
    deepest = max((_depth(projects[at].folder) for at in holding), default=0)
    return [at for at in holding if _depth(projects[at].folder) == deepest]


def _holds(folder: str, path: str) -> bool:
    return folder == "." or path == folder or path.startswith(folder + "/")


def _depth(folder: str) -> int:
    return 0 if folder == "." else folder.count("/") + 1


def _names(project: Project, names: Sequence[str]) -> bool:
    """Whether a manifest mentions one of these projects."""
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", project.manifest) for name in names)
