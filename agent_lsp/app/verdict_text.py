"""Owns how a verdict reads in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_SHOWN: Final = 5


def verdict_text(verdict: Mapping[str, Any]) -> str:
    """The verdict of PROTOCOL.md section 4 as a few aligned lines."""
    rows = [
        f"fixed          {_some(verdict['fixed'])}",
        f"broken         {_some(verdict['broken'])}",
        f"as before      {len(verdict['stillFailing'])} still failing",
        f"tests          {verdict['ran']} of {verdict['collected']} ran, without the change and with it",
        f"changed lines  {verdict['changedLinesRun']} of {verdict['changedLines']} ran under a passing test",
    ]
    if verdict["flaky"]:
        rows.append(f"flaky          {_some(verdict['flaky'])}")
    if verdict["removedOrWeakened"]:
        rows.append(f"weakened       {_some(verdict['removedOrWeakened'])}")
    return "\n".join([*rows, *verdict["reasons"]])


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
