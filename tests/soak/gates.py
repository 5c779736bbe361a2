"""Owns a gate that reads the numbers instead of running the tests: the same verdicts as the real one, in no time.

test_gate_contract.py holds both to that.
"""

from collections.abc import Callable

from agent_lsp.domain.changes import FileEdit
from agent_lsp.domain.ports import Trees
from agent_lsp.domain.verdict import Decision, Evidence, SuiteReport, Verdict
from tests.soak.slots import FILES, Slot, case_of, values_in


class SlotGate:
    """Each slot has a test, which passes where its number is not negative."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self.meanwhile: Callable[[], None] | None = None
        """Done once, while the next change is being tested."""

    async def validate(
        self,
        base_tree: str,
        edits: tuple[FileEdit, ...],
        *,
        goal_tests: tuple[str, ...] = (),
        scope: tuple[str, ...] = (),
        on_progress: Callable[[str, float | None], None] | None = None,
    ) -> Evidence:
        del scope
        if on_progress is not None:
            on_progress("reading the numbers", None)
        before = await self._numbers(base_tree)
        after = await self._numbers(await self._trees.write(base_tree, edits))
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        was = {case_of(slot) for slot, (value, _) in before.items() if value >= 0}
        now = {case_of(slot) for slot, (value, _) in after.items() if value >= 0}
        every = {case_of(slot) for slot in before}
        fixed, broken, failing = now - was, was - now, every - now - was
        unseen = {case_of(slot) for slot in after if before[slot] != after[slot]} & failing
        verdict = Verdict(
            _decision(fixed, broken, set(goal_tests) - now, unseen),
            ("judged by the numbers",),
            tuple(sorted(fixed)),
            tuple(sorted(broken)),
            tuple(sorted(failing)),
            collected=len(every),
            ran=len(every),
        )
        executed: dict[str, dict[int, frozenset[str]]] = {}
        for slot, (_, line) in after.items():
            if case_of(slot) in now:
                executed.setdefault(slot[0], {})[line] = frozenset({case_of(slot)})
        witness = await self._trees.hashes(base_tree, list(FILES))
        return Evidence(verdict, None, SuiteReport("numbers", executed=executed), witness)

    async def _numbers(self, tree: str) -> dict[Slot, tuple[int, int]]:
        found = {}
        for path in FILES:
            entry = await self._trees.read(tree, path)
            if entry is not None:
                found.update({slot: (value, line) for slot, value, line in values_in(path, entry.content)})
        return found


def _decision(fixed: set[str], broken: set[str], goals_failing: set[str], unseen: set[str]) -> Decision:
    """`unseen` are tests that run changed lines and fail as before: they tell nothing of the change."""
    if broken:
        return Decision.REGRESSED
    if goals_failing:
        return Decision.FAILED
    if fixed:
        return Decision.PASSED if unseen else Decision.PROVEN
    return Decision.UNDECIDED if unseen else Decision.PASSED
