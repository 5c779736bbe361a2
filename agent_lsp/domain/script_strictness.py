"""Owns how much a check of a JavaScript test asks for, from nothing and truth to equality."""

import re
from typing import Final

from agent_lsp.domain.script_outline import ScriptCheck

_NOTHING, _TRUTH, _PART, _ORDER, _NEAR, _EQUAL, _SAME = 0, 10, 20, 30, 40, 50, 52

_EXPECTED: Final = {
    **dict.fromkeys(("toBe", "toStrictEqual"), _SAME),
    **dict.fromkeys(("toBeDefined", "toBeTruthy", "toBeFalsy", "toHaveBeenCalled", "toBeCalled"), _TRUTH),
    **dict.fromkeys(("toMatch", "toContain", "toContainEqual", "toBeInstanceOf", "toBeTypeOf", "toSatisfy"), _PART),
    **dict.fromkeys(("toBeGreaterThan", "toBeGreaterThanOrEqual", "toBeLessThan", "toBeLessThanOrEqual"), _ORDER),
    **dict.fromkeys(("toBeCloseTo", "toMatchObject", "toHaveLength", "toHaveBeenCalledTimes"), _NEAR),
    **dict.fromkeys(("exist", "ok", "true", "false"), _TRUTH),
}
_ASSERTED: Final = {
    **dict.fromkeys(("", "ok", "notEqual", "notStrictEqual", "doesNotThrow", "doesNotReject", "ifError"), _TRUTH),
    **dict.fromkeys(("notDeepEqual", "notDeepStrictEqual", "exists", "isOk", "truthy", "falsy"), _TRUTH),
    **dict.fromkeys(("match", "doesNotMatch", "include", "includes", "instanceOf", "isAbove", "isBelow"), _PART),
    **dict.fromkeys(("partialDeepStrictEqual", "closeTo", "approximately", "like"), _NEAR),
    **dict.fromkeys(("strictEqual", "deepStrictEqual", "is", "same"), _SAME),
}
_THROWING: Final = frozenset({"toThrow", "toThrowError", "throws", "rejects", "throw", "throwsAsync"})
_ANYTHING: Final = re.compile(r"\bexpect\.(?:anything|any|objectContaining|arrayContaining|stringContaining)\s*\(")
_LITERAL: Final = re.compile(r"true|false|null|undefined|-?[\d.]+|'[^']*'|\"[^\"]*\"|`[^`$]*`")


def strictness(check: ScriptCheck) -> int:
    """Higher asks for more; a matcher that is not known asks for equality."""
    if not check.asserted and not check.name:
        return _NOTHING
    if _says_nothing(check):
        return _NOTHING
    if check.name in _THROWING:
        return _EQUAL if check.arguments else _ORDER
    if check.name == "toHaveProperty":
        return _NEAR if len(check.arguments) > 1 else _PART
    grade = (_ASSERTED if check.asserted else _EXPECTED).get(check.name, _EQUAL)
    if check.negated:
        return min(grade, _TRUTH)
    return min(grade, _NEAR) if any(_ANYTHING.search(argument) for argument in check.arguments) else grade


def _says_nothing(check: ScriptCheck) -> bool:
    """Whether both sides are the same words, or what is looked at is written out: `expect(true).toBe(true)`."""
    literal = bool(_LITERAL.fullmatch(check.subject))
    if check.asserted and check.name in ("", "ok"):
        return literal
    return bool(check.subject) and (check.subject in check.arguments[:1] or (literal and bool(check.arguments)))


def digits(check: ScriptCheck) -> float | None:
    """How near a number must come, as a power of ten; None where that is not asked or not written out."""
    if check.name != "toBeCloseTo" or len(check.arguments) < 1:
        return None
    try:
        return float(check.arguments[1]) if len(check.arguments) > 1 else 2.0
    except ValueError:
        return None
