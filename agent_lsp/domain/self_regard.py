"""Owns the look for source that asks whether a test runs it: what such code does under a test proves nothing."""

import re
from collections.abc import Collection
from typing import Final

from agent_lsp.domain.changes import FileEdit, hunks_of
from agent_lsp.domain.coverage import python_sources
from agent_lsp.domain.text import decode, split_lines

_NAMES_A_RUNNER: Final = re.compile(
    r"\b_?pytest\b|\bunittest\b|PYTEST_[A-Z_]+|\bAGENT_LSP\b|\bagent_lsp_(?:report|record|start)\b"
)


def asks_for_tests(edits: Collection[FileEdit]) -> tuple[str, ...]:
    """One sentence for each file whose source now names a test runner, or what records the tests, as it did not."""
    found = []
    for edit in python_sources(edits):
        before = decode(edit.before.content) if edit.before else None
        known = set(_NAMES_A_RUNNER.findall(before.text)) if before is not None else set()
        for hunk in hunks_of(edit).hunks:
            names = [match for line in split_lines(hunk.new_text) for match in _NAMES_A_RUNNER.findall(line)]
            named = [name for name in names if name not in known]
            if named:
                found.append(f"{edit.path} now names {named[0]}, as code does that behaves otherwise under tests")
    return tuple(dict.fromkeys(found))
