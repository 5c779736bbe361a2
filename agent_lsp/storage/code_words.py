"""Owns the difference between a secret and code that only looks like one: `token = lexer.next()`, `password: str`.

In a log too much masked costs nothing. A model that reads code must see the code, so that here a value counts as a
secret only where it can be a literal: in quotes, bare in a line of a settings file, or with letters and digits mixed.
"""

import re
from typing import Final

_EXPRESSION = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->|::|\?\.)[A-Za-z_]\w*)*(?:[(\[{].*|\.|!|\?)?", re.DOTALL)
"""Names joined by dots, perhaps called or indexed."""

_OPENS: Final = ("{", "$", "%", "<", "(", "[", "@", "&", "*", "`", "#", "|", "=", "/", "\\")
_KEYWORD = re.compile(r"key|token|secret|pass|pwd|auth|credential|cookie|user|name|value|data|type|str", re.IGNORECASE)
_TEMPLATE = re.compile(r"\$?\{[^}]*\}|%[^\s]*|\$\w+|<[^>]*>")
"""What is filled in later: `${PASSWORD}`, `%s`, `<your token>`."""

_JOINTS = re.compile(r"[-_./]")
_SHELL_LINE = re.compile(r"\s*(?:export\s+)?[A-Z][A-Z0-9_]*=\S+\s*")
_SETTING_LINE = re.compile(r"\s*-?\s*[\w.\-]+\s*:\s+[a-z]+\s*")
_TYPES: Final = frozenset(
    ("str", "int", "bool", "float", "bytes", "string", "number", "boolean", "any", "unknown", "object", "undefined")
)
_NAMED = re.compile(r"[\s:=]")
"""What stands between a name and its value; a key of a known shape has none before it."""

_SCHEME = re.compile(r"(?:bearer|basic|token|digest|negotiate)\s+$", re.IGNORECASE)
_NAME_ENDS = re.compile(
    r"(?:key|secret|password|passwd|passphrase|pwd|token|credentials?)['\"\\]{0,3}\]?\s*(?::=|=>|[:=]|:[^=]*=)\s*[rbf]?$",
    re.IGNORECASE,
)


def reads_as_code(match: re.Match[str]) -> bool:
    """Whether what one of the redaction's patterns found is plainly code or prose.

    `lead` is what stands before the value; the value is `quoted` or `bare`.
    """
    groups = match.groupdict()
    lead: str = groups["lead"]
    quoted: str | None = groups.get("quoted")
    if quoted is not None:
        return _TEMPLATE.fullmatch(quoted) is not None or _is_prose(quoted, lead)
    bare: str = groups["bare"]
    if not _NAMED.search(lead):
        return False
    if "," in lead and not any(mark in lead for mark in "\"'"):
        return True  # the next argument of a function
    if _SCHEME.search(lead):
        return bare.startswith(_OPENS) or of_words(bare)
    return _is_code(bare, match)


def _is_prose(quoted: str, lead: str) -> bool:
    """`token_type = "bearer"`: words under a name that says more than that here is a secret."""
    return of_words(quoted) and _NAME_ENDS.search(lead) is None


def of_words(text: str) -> bool:
    """Whether a text is made of words alone, be they joined by dots or dashes."""
    return all(word.strip(",:;!?'()").isalpha() for word in _JOINTS.sub(" ", text).split())


def _is_code(bare: str, match: re.Match[str]) -> bool:
    if bare.startswith(_OPENS):
        return True
    if not _EXPRESSION.fullmatch(bare):
        return False
    word = bare.rstrip(".!?")
    if not word.replace("_", "").isalnum():
        return True  # joined, called or indexed
    line = _line_of(match)
    if _SHELL_LINE.fullmatch(line):
        return False
    if word.replace("_", "").isalpha():
        return not (_SETTING_LINE.fullmatch(line) and len(word) >= 6 and word not in _TYPES)
    return "_" in word or _KEYWORD.search(word) is not None


def _line_of(match: re.Match[str]) -> str:
    text = match.string
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return text[start : end if end >= 0 else len(text)]
