"""Owns the look for source that asks whether a test runs it: what such code does under a test proves nothing."""

import re
from collections.abc import Collection
from typing import Final

from agent_lsp.domain.changes import FileEdit, hunks_of
from agent_lsp.domain.coverage import python_sources
from agent_lsp.domain.text import decode, split_lines

_NAMES_A_RUNNER: Final = re.compile(r"\bpytest\b|\bunittest\b|PYTEST_[A-Z_]+|\bAGENT_LSP\b")


def asks_for_tests(edits: Collection[FileEdit]) -> tuple[str, ...]:
    """One sentence for each added source line that names a test runner, in files that named none before."""
    found = []
    for edit in python_sources(edits):
        before = decode(edit.before.content) if edit.before else None
        if before is not None and _NAMES_A_RUNNER.search(before.text):
            continue
        for hunk in hunks_of(edit).hunks:
            named = [match for line in split_lines(hunk.new_text) for match in _NAMES_A_RUNNER.findall(line)]
            if named:
                found.append(f"{edit.path} now names {named[0]}, as code does that behaves otherwise under tests")
    return tuple(dict.fromkeys(found))
