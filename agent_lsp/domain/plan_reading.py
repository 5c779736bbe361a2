"""Owns the reading of a plan that a person edited as Markdown: the way back from `plan_markdown`."""

import re
from collections.abc import Sequence
from typing import Final

from agent_lsp.domain.errors import BadArgumentError
from agent_lsp.domain.plan import Step

_STEP: Final = re.compile(r"^ {0,3}\d{1,4}[.)]\s+(?:\[[ xX~!]?\]\s*)?(?P<title>\S.*?)\s*$")
_FILES: Final = re.compile(r"^\s*files:\s*(?P<names>.*)$", re.IGNORECASE)
_DONE: Final = re.compile(r"^\s*done when:\s*(?P<words>.*)$", re.IGNORECASE)
_INDENT: Final = "   "


def read_plan(markdown: str) -> tuple[Step, ...]:
    """The steps of the document: each numbered line begins one. Raises BadArgumentError where there is none.

    Beneath it `Files: …` and `Done when: …` are read as such, and all else is the step's detail. What stands before
    the first number (the heading) is not part of the plan, nor are the marks of what was done.
    """
    parts: list[tuple[str, list[str]]] = []
    for line in markdown.splitlines():
        found = _STEP.match(line)
        if found is not None:
            parts.append((_plain(found["title"]), []))
        elif parts:
            parts[-1][1].append(line)
    if not parts:
        raise BadArgumentError(
            "The plan has no step.", hint="Each step begins with a number and a dot: `1. [ ] **What is done**`."
        )
    return tuple(_step(title, lines) for title, lines in parts)


def _plain(title: str) -> str:
    inner = title.removeprefix("**").removesuffix("**").strip() if title.startswith("**") else title
    return inner or title


def _step(title: str, lines: Sequence[str]) -> Step:
    files: list[str] = []
    acceptance, detail = "", []
    for line in lines:
        names, done = _FILES.match(line), _DONE.match(line)
        if names is not None:
            files += [name for part in names["names"].split(",") if (name := part.strip().strip("`").strip())]
        elif done is not None:
            acceptance = f"{acceptance} {done['words'].strip()}".strip()
        else:
            detail.append(line.removeprefix(_INDENT).rstrip())
    return Step(title, "\n".join(detail).strip("\n"), tuple(files), acceptance)
