"""What the syntax of a changed JavaScript or TypeScript test shows of its weakening."""

import pytest

from agent_lsp.domain.changes import Entry, FileEdit
from agent_lsp.domain.findings import Finding, FindingKind
from agent_lsp.domain.integrity import Integrity, inspect_tests
from agent_lsp.workspace.script_reader import read_script

PATH = "src/calc.test.ts"
OLD = """import { describe, test, expect, it } from 'vitest'
import assert from 'node:assert/strict'

describe('calc', () => {
  beforeEach(() => { reset() })
  test('adds', async () => {
    expect(add(1, 2)).toBe(3)  // expect(nothing)
    await expect(later(add(0, 0))).resolves.toEqual({ value: 0 })
  })
  test.each([[1, 2], [3, 4], [5, 6]])('doubles %i', (a, b) => { expect(double(a) as number).toBe(b) })
  it('is near', () => { expect(third()).toBeCloseTo(0.333, 3); expect(() => third(0)).toThrow('zero') })
})
test('plain', (t) => {
  assert.strictEqual(add(1, 1), 2)
  t.assert.deepStrictEqual(rows(), [1])
})
"""


def changed(new: str, old: str = OLD, path: str = PATH) -> Integrity:
    return inspect_tests([FileEdit(path, Entry(old.encode()), Entry(new.encode()))], read_script)


def told(found: Integrity) -> list[tuple[str, str]]:
    return [(finding.id, finding.text) for finding in found.findings]


WEAKER = {
    "an assertion removed": ("    expect(add(1, 2)).toBe(3)", "", "calc::adds", "an assertion was removed"),
    "one in a comment": ("  assert.strict", "  // assert.strict", "plain", "`assert.strictEqual(add(1, 1), 2)`"),
    "a truth for an equality": (".toBe(3)", ".toBeTruthy()", "calc::adds", "an assertion was loosened"),
    "not what it was": (".toBe(3)", ".not.toBe(4)", "calc::adds", "an assertion was loosened"),
    "anything will do": ("{ value: 0 }", "expect.anything()", "calc::adds", "an assertion was loosened"),
    "itself": ("expect(add(1, 2)).toBe(3)", "expect(3).toBe(3)", "calc::adds", "an assertion was loosened"),
    "no matcher": ("expect(add(1, 2)).toBe(3)", "expect(add(1, 2))", "calc::adds", "an assertion was loosened"),
    "ok for equal": ("strictEqual(add(1, 1), 2)", "ok(add(1, 1))", "plain", "an assertion was loosened"),
    "any error": (".toThrow('zero')", ".toThrow()", "calc::is near", "an assertion was loosened"),
    "fewer digits": ("0.333, 3", "0.333, 1", "calc::is near", "a tolerance was widened: 3 digits became 1"),
    "fewer rows": (", [5, 6]", "", "calc", "its table has 2 cases instead of 3"),
    "a skip": ("test('adds'", "test.skip('adds'", "calc::adds", "a new `test.skip` was added"),
    "a skip by another name": ("it('is near'", "xit('is near'", "calc::is near", "a new `xit` was added"),
    "a skip by option": ("'adds', async", "'adds', { skip: true }, async", "calc::adds", "a new `skip: true`"),
    "a skip of many": ("describe('calc'", "describe.skip('calc'", "calc", "a new `describe.skip` was added"),
    "a skip within": ("(t) => {", "(t) => {\n  t.skip()", "plain", "a new `t.skip` was added"),
    "a condition": ("test('adds'", "test.skipIf(slow)('adds'", "calc::adds", "a new `test.skipIf` was added"),
    "expected to fail": ("test('adds'", "test.fails('adds'", "calc::adds", "a new `test.fails` was added"),
    "another singled out": ("test('plain'", "test.only('new', () => {})\ntest('plain'", "", "`test.only` was added"),
    "an early return": ("    expect(add(1", "    if (slow) return\n    expect(add(1", "calc::adds", "passed over"),
    "a try": ("expect(add(1, 2)).toBe(3)", "try { expect(add(1, 2)).toBe(3) } catch {}", "calc::adds", "passed over"),
}


@pytest.mark.parametrize("name", WEAKER)
def test_a_weaker_test_is_named_with_what_became_of_it(name: str) -> None:
    was, now, case, text = WEAKER[name]
    assert was in OLD
    findings = told(changed(OLD.replace(was, now, 1)))
    assert [(f"{PATH}::{case}" if case else PATH, True)] == [(found, text in said) for found, said in findings]


@pytest.mark.parametrize(
    "new",
    [
        OLD + "test('more', () => { expect(1).toBe(one()) })\n",
        OLD.replace(".toBe(3)", ".toBe(4)"),
        OLD.replace(".toEqual(", ".toStrictEqual("),
        OLD.replace("(1, 2)).toBe(3)", "(1, 2))\n      .toBe(3)"),
        OLD.replace("[5, 6]", "[5, 6], [7, 8]"),
        OLD.replace("0.333, 3", "0.3333, 4"),
        OLD.replace("'adds', async", "'adds', { skip: false, timeout: 10 }, async"),
        OLD.replace("=> { reset() }", "=> { reset(); if (deep) { prepare() } }"),
        OLD.replace("    expect(add(1", "    const all = [1].map((x) => { return x })\n    expect(add(1"),
        OLD.replace("test('plain'", "import.meta.dirname\ntest('plain'"),
    ],
)
def test_more_and_other_tests_are_no_weaker(new: str) -> None:
    assert new != OLD
    assert told(changed(new)) == []


def test_the_place_of_a_finding_is_the_test_as_it_now_is() -> None:
    [finding] = changed("// one more line\n" + OLD.replace(".toBe(3)", ".toBeDefined()")).findings
    assert (finding.kind, finding.path, finding.line) == (FindingKind.WEAKENED, PATH, 6)


def test_a_removed_test_is_told_and_one_with_another_name_is_known_again() -> None:
    removed = changed(OLD[: OLD.index("test('plain'")])
    assert [(found.kind, found.id) for found in removed.findings] == [(FindingKind.REMOVED, f"{PATH}::plain")]
    renamed = changed(OLD.replace("'plain'", "'by another name'"))
    assert told(renamed) == []
    assert renamed.renamed == {f"{PATH}::plain": f"{PATH}::by another name"}


def test_a_renamed_test_that_asserts_less_is_a_removed_one() -> None:
    less = OLD.replace("'plain'", "'other'").replace("  assert.strictEqual(add(1, 1), 2)\n", "")
    assert [found.kind for found in changed(less).findings] == [FindingKind.REMOVED]


def test_tests_of_a_moved_file_and_those_that_went_to_another_keep_who_they_are() -> None:
    entry = Entry(OLD.encode())
    moved = inspect_tests([FileEdit("lib/sum.test.ts", entry, entry, old_path=PATH)], read_script)
    assert moved.findings == ()
    assert moved.renamed[f"{PATH}::calc::adds"] == "lib/sum.test.ts::calc::adds"
    cut = OLD.index("test('plain'")
    halves = [Entry(OLD[:cut].encode()), Entry(OLD[cut:].encode())]
    split = inspect_tests([FileEdit(PATH, entry, halves[0]), FileEdit("b.test.ts", None, halves[1])], read_script)
    assert (split.findings, split.renamed) == ((), {f"{PATH}::plain": "b.test.ts::plain"})


def test_a_deleted_file_is_as_many_removed_tests() -> None:
    found = inspect_tests([FileEdit(PATH, Entry(OLD.encode()), None)], read_script)
    names = {finding.id for finding in found.of(FindingKind.REMOVED)}
    assert names == {f"{PATH}::calc::adds", f"{PATH}::calc", f"{PATH}::calc::is near", f"{PATH}::plain"}


def test_a_helper_that_asserts_less_weakens_the_file() -> None:
    helper = "function check(x) { expect(x.status).toBe(200); expectUser(x.user) }\ntest('a', () => { check(get()) })\n"
    found = changed(helper.replace("; expectUser(x.user)", ""), helper)
    assert told(found) == [(PATH, f"{PATH}: an assertion was removed: `expectUser(x.user)`")]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("t.test('sub', (s) => { s.equal(a(), 1) })", "t.test('sub', (s) => { s.ok(a()) })", "loosened"),
        ("t.is(a(), 1); t.plan(1)", "t.is(a(), 1)", "`t.plan(1)`"),
        ("a().should.equal(1)", "a().should.exist", "removed"),
        ("expect.assertions(1); expect(a()).toBe(1)", "expect(a()).toBe(1)", "`expect.assertions(1)`"),
        ("expect(a()).to.equal(1)", "expect(a()).to.be.ok", "removed"),
    ],
)
def test_the_ways_of_other_libraries_to_assert_are_known(old: str, new: str, text: str) -> None:
    sides = [f"test('all', async (t) => {{ {body} }})\n" for body in (old, new)]
    assert text in told(changed(sides[1], sides[0], "test/all.js"))[0][1]


def test_a_table_as_a_template_is_counted_by_its_rows() -> None:
    table = "test.each`a | b\n${1} | ${2}\n${3} | ${4}\n`('$a', ({ a, b }) => { expect(a).toBe(b) })\n"
    fewer = table.replace("${3} | ${4}\n", "")
    assert "its table has 1 cases instead of 2" in told(changed(fewer, table))[0][1]


@pytest.mark.parametrize(("path", "body"), [("a.test.jsx", "<App a={1} />"), ("a.test.tsx", "<>{rows}</>")])
def test_elements_in_a_test_are_no_hindrance(path: str, body: str) -> None:
    old = f"test('shows', () => {{ render({body}); expect(shown()).toBe(1) }})\n"
    assert "removed" in told(changed(old.replace("expect(shown()).toBe(1)", ""), old, path))[0][1]


@pytest.mark.parametrize(
    ("path", "old"),
    [
        ("a.test.vue", "<script>test('x', () => { expect(1).toBe(one()) })</script>"),
        ("a.test.js", "// @flow\ntest('x', (a: {| b: 1 |}) => { expect(1).toBe(one()) }}}"),
    ],
)
def test_what_no_grammar_knows_is_counted(path: str, old: str) -> None:
    assert read_script(path, old.encode()) is None
    new = old.replace("expect(1).toBe(one())", "")
    assert told(changed(new, old, path)) == [(path, f"{path}: it has 0 assertions where it had 1")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"test(",
        b"test()",
        b"test(1)",
        b"test.each()()",
        b"it.each",
        b"(" * 50_000,
        b"expect()()()",
    ],
)
def test_odd_content_is_read_or_left_and_nothing_breaks(content: bytes) -> None:
    for path in ("a.test.js", "a.test.ts", "a.test.tsx"):
        read_script(path, content)
    deep = b"test('x', () => {" + b"{" * 5_000 + b"}" * 5_000 + b"})"
    assert read_script("a.test.js", deep) is None
    finding: Finding | None = None
    for finding in changed(content.decode("latin-1"), OLD).findings:
        assert finding.path == PATH
    assert finding is not None
