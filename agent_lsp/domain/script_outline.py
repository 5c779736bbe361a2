"""Owns the outline of a test file of JavaScript or TypeScript: its tests, what they check, what passes them over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class ScriptCheck:
    """One thing that can fail a test, `expect(subject).not.name(arguments)` or `assert.name(subject, arguments)`.

    `text` is the whole of it on one line. `name` is empty where an `expect(...)` asks for nothing.
    """

    text: str
    name: str
    subject: str = ""
    arguments: tuple[str, ...] = ()
    negated: bool = False
    asserted: bool = False


UNTOLD: Final = -1


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """A test, a group of tests without what is in them, or the rest of the file.

    `code` is what it does, without its name and without the tests in it. `passed_over` has what skips it or singles
    it out, as written. `rows` is how many cases its table has: None without one, UNTOLD where they are not written out.
    `detours` counts the ways around its checks. `named` is False where its name is put together when it runs.
    """

    line: int = 0
    code: str = ""
    checks: tuple[ScriptCheck, ...] = ()
    passed_over: tuple[str, ...] = ()
    rows: int | None = None
    detours: int = 0
    is_test: bool = False
    named: bool = True


@dataclass(frozen=True, slots=True)
class ScriptOutline:
    """A file's parts by their names, `suite::test` as the runners have them; the rest of the file is under ""."""

    parts: Mapping[str, ScriptPart] = field(default_factory=dict)


ScriptReader = Callable[[str, bytes], ScriptOutline | None]
"""A path and its content to its outline; None where it is no such file or its syntax is not known.
Adapter: workspace/script_reader.py."""
