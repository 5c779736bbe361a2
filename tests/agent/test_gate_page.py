"""The examples in docs/gate.md, run from the page's text: each gets the verdict that stands there, to the word."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_lsp.agent.mutant_runs import MutantOptions, MutantRuns
from agent_lsp.domain.mutation_trial import told_of
from agent_lsp.domain.patching import apply_patch
from agent_lsp.domain.verdict import NOT_RUN, Decision
from tests.agent.suite_project import Project

PAGE = (Path(__file__).parent.parent.parent / "docs" / "gate.md").read_text()
FILE = re.compile(r"^`([\w./]+)`:\n```(?:python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(
    r"^### (?P<name>.+)\n(?P<prose>(?:(?!#|```).*\n)*)"
    r"```diff\n(?P<diff>(?:(?!```).*\n)*)```\n\n"
    r"```text\n(?P<verdict>(?:(?!```).*\n)*)```$",
    re.MULTILINE,
)
GOAL = re.compile(r"Goal test: `([^`]+)`")
PATIENT = MutantOptions(budget_s=600.0, at_once_s=600.0, whole_s=600.0, least_s=60.0)
"""As by default, however busy the machine is."""

WITH_FAULTS = "`tests.mutations` at its default"


@dataclass(frozen=True, slots=True)
class Example:
    """One section of the page: what was asked, the change, and the verdict as the page has it."""

    name: str
    goals: tuple[str, ...]
    diff: str
    verdict: str
    faults: bool = False

    @property
    def change(self) -> dict[str, str | None]:
        return apply_patch(self.diff, FILES.get)


FILES = dict(FILE.findall(PAGE))
EXAMPLES = [
    Example(m["name"], tuple(GOAL.findall(m["prose"])), m["diff"], m["verdict"], WITH_FAULTS in m["prose"])
    for m in EXAMPLE.finditer(PAGE)
]


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugins of this project's own environment take longer to load than the examples to run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


async def said(example: Example, root: Path) -> str:
    project = Project(root, FILES)
    evidence = await project.evidence(example.change, goal_tests=example.goals)
    verdict = evidence.verdict
    if example.faults:
        runs = MutantRuns(project.pool, project.finder, lambda: PATIENT)
        verdict = told_of(verdict, await runs.examine(await project.edits(example.change), evidence))
    return "\n".join([verdict.title(), *verdict.reasons, ""])


@pytest.mark.parametrize("example", [pytest.param(example, id=example.name) for example in EXAMPLES])
async def test_an_example_of_the_page_gets_the_verdict_that_stands_there(example: Example, tmp_path: Path) -> None:
    assert await said(example, tmp_path) == example.verdict


def test_every_section_with_a_change_is_run_and_every_decision_is_told() -> None:
    shown = {example.verdict.partition(":")[0] for example in EXAMPLES}

    assert len(EXAMPLES) == PAGE.count("```diff")
    assert shown == {decision.value for decision in Decision} - {"not_run"}
    assert all(f"\n| `{decision.value}` |" in PAGE for decision in Decision)
    assert NOT_RUN.reasons[0] in PAGE
