"""What the text of a changed JavaScript test shows of its weakening, and what that makes of a verdict."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit, HunkClass, classify
from agent_lsp.domain.findings import FindingKind
from agent_lsp.domain.integrity import inspect_tests

OLD = """import { test, expect } from 'vitest'
test('adds', () => {
  expect(add(1, 2)).toBe(3)
  expect(add(0, 0)).toBe(0) // expect(nothing)
})
"""


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (OLD + "test('more', () => { expect(1).toBe(1) })\n", ""),
        (OLD.replace("  expect(add(0, 0)).toBe(0)", "  "), "it has 1 assertions where it had 2"),
        (OLD.replace("expect(add(0", "// expect(add(0"), "it has 1 assertions where it had 2"),
        (OLD.replace("test('adds'", "test.skip('adds'"), "skipped"),
        (OLD.replace("test('adds'", "xtest('adds'"), "skipped"),
        (OLD + "test.only('one', () => {})\n", "singled out"),
        (OLD.replace("'adds', ()", "'adds', { skip: true }, ()"), "skipped"),
        (OLD.replace("toBe(3)", "toBe(3).skip"), ""),
    ],
)
def test_fewer_assertions_and_new_skips_weaken_a_script_test(new: str, told: str) -> None:
    edit = FileEdit("src/add.test.ts", Entry(OLD.encode()), Entry(new.encode()))
    findings = inspect_tests([edit]).of(FindingKind.WEAKENED)
    assert [told in finding.text for finding in findings] == ([True] if told else [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/add.test.ts", HunkClass.TEST),
        ("src/add-test.mjs", HunkClass.TEST),
        ("test-add.js", HunkClass.TEST),
        ("pkg/add_test.go", HunkClass.TEST),
        ("src/latest.js", HunkClass.SOURCE),
        ("vitest.config.ts", HunkClass.CONFIG),
        ("web/package.json", HunkClass.CONFIG),
    ],
)
def test_files_of_other_languages_are_classed_by_their_tools_own_patterns(path: str, expected: HunkClass) -> None:
    assert classify(path) is expected


def test_of_a_package_only_what_says_how_tests_run_is_configuration() -> None:
    def findings(new: str) -> list[str]:
        old = b'{"version": "1", "scripts": {"test": "vitest run", "build": "tsc"}}'
        return [f.text for f in inspect_tests([FileEdit("package.json", Entry(old), Entry(new.encode()))]).findings]

    assert findings('{"version": "2", "scripts": {"test": "vitest run"}}') == []
    assert findings('{"version": "1", "scripts": {"test": "true"}}') == [
        "test configuration changed: package.json (scripts.test)"
    ]
