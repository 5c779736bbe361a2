"""Owns what a small program with a known slip is, and the project that it becomes."""

from dataclasses import dataclass
from textwrap import dedent
from typing import Any


@dataclass(frozen=True, slots=True)
class Slip:
    """`source` is right; with `right` exchanged for `wrong` it is what somebody wrote.

    `shown` are calls that the project's tests make, `hidden` others that only judge a repair; what each should
    give is what the right program gives. `setup` is code that tests run first.
    """

    name: str
    source: str
    right: str
    wrong: str
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    setup: str = ""

    def right_text(self) -> str:
        """The program as it was meant."""
        return dedent(self.source).strip("\n") + "\n"

    def wrong_text(self) -> str:
        """The program with the slip."""
        text = self.right_text()
        assert text.count(self.right) == 1, f"{self.name}: {self.right!r} is there {text.count(self.right)} times"
        return text.replace(self.right, self.wrong)

    def expected(self, calls: tuple[str, ...]) -> list[str]:
        """What the right program gives for the calls, as text."""
        names: dict[str, Any] = {}
        exec(compile(self.right_text() + "\n" + dedent(self.setup), self.name, "exec"), names)
        return [repr(eval(call, names)) for call in calls]

    def tests_text(self, calls: tuple[str, ...]) -> str:
        """A test for each call."""
        lines = ["from program import *  # noqa: F403", "", dedent(self.setup).strip("\n"), ""]
        for number, (call, value) in enumerate(zip(calls, self.expected(calls), strict=True), start=1):
            lines += [f"def test_{number}():", f"    assert {call} == {value}", ""]
        return "\n".join(lines)

    def files(self) -> dict[str, str]:
        """The project: the program with the slip, and its tests."""
        return {"program.py": self.wrong_text(), "test_program.py": self.tests_text(self.shown)}
