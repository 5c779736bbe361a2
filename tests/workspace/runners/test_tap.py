"""TAP in its versions, and commands that are known by it."""

import pytest

from agent_lsp.domain.ports import SuiteRequest
from agent_lsp.domain.verdict import Outcome
from agent_lsp.workspace.runners.command_runner import CommandRunner
from agent_lsp.workspace.runners.tap import is_tap, read_tap
from tests.workspace.runners.conftest import MakeCandidate

TAP = """TAP version 14
# Subtest: parent
    ok 1 - child
    not ok 2 - bad
      ---
      message: "why"
      ...
    1..2
not ok 1 - parent
some noise
ok 2 - later # SKIP no network
not ok 3 - hoped # TODO one day
ok 4
ok - a \\# in a name
1..5
"""


def test_tap_is_read_with_subtests_directives_and_details() -> None:
    tap = read_tap(TAP)
    assert [(case.id, case.outcome.value) for case in tap.cases] == [
        ("parent::child", "passed"),
        ("parent::bad", "failed"),
        ("parent", "failed"),
        ("later", "skipped"),
        ("hoped", "xfailed"),
        ("test 4", "passed"),
        ("a # in a name", "passed"),
    ]
    assert tap.cases[1].message == 'message: "why"'
    assert tap.trouble == ""
    assert is_tap(TAP)
    assert not is_tap("ok, all is well\n")


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("1..3\nok 1\n", "only 1 of 3 tests"),
        ("TAP version 13\nok 1\n", "no plan"),
        ("1..2\nok 1\nBail out! no database\n", "no database"),
    ],
)
def test_tap_that_is_not_whole_says_why(text: str, trouble: str) -> None:
    assert trouble in read_tap(text).trouble


async def test_a_command_is_known_by_the_tap_it_prints_or_writes(candidate_of: MakeCandidate) -> None:
    candidate = candidate_of({"tap.txt": TAP, "src/a.go": "x", "src/b.go": "x"})
    for command in ("cat tap.txt src/a.go; false", "cat src/a.go; cp tap.txt {tap}; false"):
        report = await CommandRunner(command).run(candidate, SuiteRequest(changed=("src/a.go", "src/b.go", "c.txt")))
        assert report.failing() == {"parent::bad", "parent"}, report
        assert report.finished
        assert [file.path for file in report.loaded] == ["src/a.go"]
        assert report.unmeasured == {"src/a.go", "src/b.go"}
    quiet = await CommandRunner("echo 1..0").run(candidate, SuiteRequest())
    assert (quiet.collected, quiet.finished) == (0, True)
    chosen = SuiteRequest(tests=("a.t::x y", "b.t"))
    asked = await CommandRunner("sh -c 'echo 1..$#; for t; do echo \"ok - $t\"; done' sh '{tests}'").run(
        candidate, chosen
    )
    assert set(asked.cases) == {"a.t::x y", "b.t"}
    lost = await CommandRunner("true {tap}").run(candidate, SuiteRequest())
    assert (lost.finished, "wrote no TAP" in lost.trouble) == (False, True)
    assert [case.outcome for case in (await CommandRunner("true").run(candidate, SuiteRequest())).cases.values()] == [
        Outcome.PASSED
    ]
