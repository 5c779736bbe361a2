"""Owns what a change did to tests of JavaScript and TypeScript, as far as their text tells: by counts alone."""

import re
from typing import Final

from agent_lsp.domain.languages import JAVASCRIPT, suffix

_ASSERTION: Final = re.compile(
    r"(?<![\w$.])(?:expect|assert)(?:\.\w+)*\s*\(|\bt\.(?:assert|is|ok|equal|throws)\w*\s*\("
)
_PASSED_OVER: Final = re.compile(
    r"\b(?:it|test|describe|suite|context)\.(?:skip|todo|only|fails|failing|skipIf)\b"
    r"|(?<![\w$.])(?:xit|xtest|xdescribe|fit|fdescribe)\s*\(|\b(?:skip|todo|only)\s*:\s*(?!false\b)|\bt\.skip\s*\("
)
_COMMENT: Final = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)


def weakened_script(path: str, before: bytes, after: bytes) -> tuple[str, ...]:
    """Why a changed test file of JavaScript or TypeScript may test less than before; empty for other files."""
    if suffix(path) not in JAVASCRIPT:
        return ()
    old, new = (_COMMENT.sub("", content.decode("utf-8", "replace")) for content in (before, after))
    found = []
    was, now = len(_ASSERTION.findall(old)), len(_ASSERTION.findall(new))
    if now < was:
        found.append(f"it has {now} assertions where it had {was}")
    if len(_PASSED_OVER.findall(new)) > len(_PASSED_OVER.findall(old)):
        found.append("tests are skipped, or others singled out")
    return tuple(found)
