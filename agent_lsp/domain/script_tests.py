"""Owns what a change did to tests of JavaScript and TypeScript: by their syntax, or by counts where that is unknown."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.changes import FileEdit, HunkClass, classify
from agent_lsp.domain.findings import Finding, FindingKind
from agent_lsp.domain.languages import JAVASCRIPT, suffix
from agent_lsp.domain.script_outline import UNTOLD, ScriptCheck, ScriptOutline, ScriptPart, ScriptReader
from agent_lsp.domain.script_strictness import digits, strictness

_ASSERTION: Final = re.compile(
    r"(?<![\w$.])(?:expect|assert)(?:\.\w+)*\s*\(|\bt\.(?:assert|is|ok|equal|throws)\w*\s*\("
)
_PASSED_OVER: Final = re.compile(
    r"\b(?:it|test|describe|suite|context)\.(?:skip|todo|only|fails|failing|skipIf)\b"
    r"|(?<![\w$.])(?:xit|xtest|xdescribe|fit|fdescribe)\s*\(|\b(?:skip|todo|only)\s*:\s*(?!false\b)|\bt\.skip\s*\("
)
_COMMENT: Final = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)
_ONLY: Final = re.compile(r"\bonly\b|^f(?:it|describe)$")
_WEAKENED: Final = FindingKind.WEAKENED
_WORD: Final = re.compile(r"[\w$]+")


def inspect_scripts(edits: Sequence[FileEdit], read: ScriptReader | None) -> tuple[list[Finding], dict[str, str]]:
    """What a change did to test files of these languages, and the tests that only have another name now."""
    found: list[Finding] = []
    pairs: list[_Pair] = []
    for edit in edits:
        if suffix(edit.base_path) in JAVASCRIPT and classify(edit.base_path) is HunkClass.TEST:
            pair = _pair(edit, read) if read is not None else None
            if pair is not None:
                pairs.append(pair)
            elif edit.before is not None and edit.after is not None:
                texts = weakened_script(edit.path, edit.before.content, edit.after.content)
                found += [Finding(_WEAKENED, edit.base_path, f"{edit.path}: {text}", edit.path) for text in texts]
    renamed = _renamed(pairs)
    for pair in pairs:
        found += _compare(pair, renamed)
    return found, renamed


def weakened_script(path: str, before: bytes, after: bytes) -> tuple[str, ...]:
    """Why a changed test file may test less than before, by counts alone; empty for other languages."""
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


@dataclass(frozen=True, slots=True)
class _Pair:
    """One test file before and after; a file that is not there has no parts."""

    edit: FileEdit
    old: Mapping[str, ScriptPart]
    new: Mapping[str, ScriptPart]


def _pair(edit: FileEdit, read: ScriptReader) -> _Pair | None:
    """None where one side cannot be read."""
    nothing = ScriptOutline()
    old = read(edit.base_path, edit.before.content) if edit.before is not None else nothing
    new = read(edit.path, edit.after.content) if edit.after is not None else nothing
    return _Pair(edit, old.parts, new.parts) if old is not None and new is not None else None


def _renamed(pairs: Sequence[_Pair]) -> dict[str, str]:
    """Ids of tests that went away, with the id of the new test that does the same; a moved file keeps its tests."""
    gone: dict[str, str] = {}
    come: dict[str, str] = {}
    same: dict[str, str] = {}
    for pair in pairs:
        base, path = pair.edit.base_path, pair.edit.path
        for name, part in pair.old.items():
            if part.is_test and path != base and name in pair.new:
                same[_id(base, name)] = _id(path, name)
            elif part.is_test and name not in pair.new:
                gone[_id(base, name)] = part.code
        for name, part in pair.new.items():
            if part.is_test and name not in pair.old:
                come.setdefault(part.code, _id(path, name))
    return {case: come[code] for case, code in gone.items() if code in come} | same


def _compare(pair: _Pair, renamed: Mapping[str, str]) -> Iterator[Finding]:
    """What a file's tests check less than they did."""
    base, path = pair.edit.base_path, pair.edit.path
    for name, part in pair.old.items():
        case, now = _id(base, _told_as(name, part)), pair.new.get(name)
        said = _id(base, name)
        if now is not None:
            for text in _weaknesses(part, now):
                yield Finding(_WEAKENED, case, f"{said}: {text}", path, now.line)
        elif part.is_test and said not in renamed:
            yield Finding(FindingKind.REMOVED, case, f"{said} was removed", base, part.line)
        elif part.checks and not part.is_test:
            text = f"an assertion was removed: {_short(part.checks[0].text)}"
            yield Finding(_WEAKENED, case, f"{said}: {text}", path)
    for name in pair.new.keys() - pair.old.keys():
        part = pair.new[name]
        for mark in filter(_ONLY.search, part.passed_over):
            text = f"`{mark}` was added, which passes the other tests over"
            yield Finding(_WEAKENED, base, f"{path}: {text}", path, part.line)


def _id(path: str, name: str) -> str:
    return f"{path}::{name}" if name else path


def _told_as(name: str, part: ScriptPart) -> str:
    """The name by which the runners may know a part: where its own is put together, that of what it stands in."""
    return name if part.named else name.rpartition("::")[0]


def _weaknesses(old: ScriptPart, new: ScriptPart) -> list[str]:
    found = [f"a new `{mark}` was added" for mark in (Counter(new.passed_over) - Counter(old.passed_over)).elements()]
    if old.rows is not None and new.rows is None:
        found.append("its table of cases was removed")
    elif old.rows is not None and new.rows is not None and UNTOLD < new.rows < old.rows:
        found.append(f"its table has {new.rows} cases instead of {old.rows}")
    if old.code != new.code:
        found += _lost_checks(old.checks, new.checks)
        if not found and new.detours > old.detours:
            found.append("its checks can be passed over now (a new return, try or condition stands around them)")
    return found


def _lost_checks(old: Sequence[ScriptCheck], new: Sequence[ScriptCheck]) -> Iterator[str]:
    before, after = ({check.text: check for check in side} for side in (old, new))
    counts = [Counter(check.text for check in side) for side in (old, new)]
    gained = [after[text] for text in (counts[1] - counts[0]).elements()]
    for text in (counts[0] - counts[1]).elements():
        check, partner = before[text], _partner(before[text], gained)
        if partner is None:
            yield f"an assertion was removed: {_short(text)}"
            continue
        gained.remove(partner)
        if strictness(partner) < strictness(check):
            yield f"an assertion was loosened: {_short(text)} became {_short(partner.text)}"
        elif (was := digits(check)) is not None and (now := digits(partner)) is not None and now < was:
            yield f"a tolerance was widened: {was:g} digits became {now:g}"


def _partner(check: ScriptCheck, gained: Sequence[ScriptCheck]) -> ScriptCheck | None:
    """What a check probably became: the new one that shares most of its words."""
    words = set(_WORD.findall(check.text))
    return max(gained, key=lambda other: len(words & set(_WORD.findall(other.text))), default=None)


def _short(text: str) -> str:
    return f"`{text}`" if len(text) <= 100 else f"`{text[:97]}...`"
