"""Owns the text of the soak test: files of functions that return a number, so that every change is of one line.

A slot is one function of one file, written `alpha.py 2`. A negative number is a bug that the slot's test notices.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

SLOTS: Final = 4
FILES: Final[Mapping[str, str]] = {"alpha.py": "\n", "beta.py": "\r\n", "pkg/gamma.py": "\n"}
"""The files with their line ends."""

EVERY_SLOT: Final = tuple((path, slot) for path in FILES for slot in range(SLOTS))
TEST_FILE: Final = "tests/test_slots.py"
_LINE: Final = re.compile(r"    return (-?\d+)  # (\S+) (\d)\r?\n")

Slot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Text:
    """What one file holds: the number of each slot, and the notes that a person wrote below it."""

    path: str
    values: tuple[int, ...] = (1,) * SLOTS
    notes: tuple[tuple[str, ...], ...] = ((),) * SLOTS

    def with_value(self, slot: int, value: int) -> "Text":
        return replace(self, values=(*self.values[:slot], value, *self.values[slot + 1 :]))

    def with_note(self, slot: int, note: str) -> "Text":
        return replace(self, notes=(*self.notes[:slot], (*self.notes[slot], note), *self.notes[slot + 1 :]))

    def __str__(self) -> str:
        lines = [f'"""{self.path}"""', ""]
        for slot, (value, notes) in enumerate(zip(self.values, self.notes, strict=True)):
            lines += ["", f"def slot_{slot}():", f"    return {value}  # {self.path} {slot}", "", ""]
            lines += [f"# {slot} first", f"# {slot} second", *(f"# {note}" for note in notes)]
            lines += [f"# {slot} third", f"# {slot} fourth", ""]
        return "".join(line + FILES[self.path] for line in lines)


def changed_slot(old_text: str, new_text: str) -> tuple[Slot, int, int]:
    """Which slot a hunk changes, from which number to which."""
    old, new = _LINE.fullmatch(old_text), _LINE.fullmatch(new_text)
    assert old is not None, old_text
    assert new is not None, new_text
    assert old.groups()[1:] == new.groups()[1:], (old_text, new_text)
    return (old[2], int(old[3])), int(old[1]), int(new[1])


def line_of(slot: Slot, value: int) -> str:
    """The line of a slot."""
    path, number = slot
    return f"    return {value}  # {path} {number}{FILES[path]}"


def values_in(path: str, content: bytes) -> Iterable[tuple[Slot, int, int]]:
    """The slots of a file's bytes with their numbers and the lines (from one) on which they stand."""
    for number, line in enumerate(content.decode().splitlines(keepends=True), 1):
        if (found := _LINE.fullmatch(line)) is not None:
            yield (path, int(found[3])), int(found[1]), number


def case_of(slot: Slot) -> str:
    """The id of the test of a slot."""
    path, number = slot
    return f"{TEST_FILE}::test_slot[{path[:-3].replace('/', '.')}-{number}]"


def project() -> dict[str, str]:
    """All files as they are at the beginning."""
    names = [path[:-3].replace("/", ".") for path in FILES]
    test = (
        "import importlib\n\nimport pytest\n\n\n"
        f'@pytest.mark.parametrize("slot", range({SLOTS}))\n'
        f'@pytest.mark.parametrize("name", {names!r})\n'
        "def test_slot(name, slot):\n"
        '    assert getattr(importlib.import_module(name), f"slot_{slot}")() >= 0\n'
    )
    settings = '[tool.pytest.ini_options]\npythonpath = ["."]\ntestpaths = ["tests"]\n'
    return {
        **{path: str(Text(path)) for path in FILES},
        "pkg/__init__.py": "",
        TEST_FILE: test,
        "pyproject.toml": settings,
    }
