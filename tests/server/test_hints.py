"""What is hinted at on the lines of a proposal, and where: its own lines are not in the editor yet."""

from typing import Any

import pytest

from agent_lsp.server.board import Card, Place
from agent_lsp.server.hints import hints

HUNKS: list[dict[str, Any]] = [
    {"id": "h_1", "startLine": 2, "endLine": 3, "oldText": "c\n", "newText": "C\nif {x}:\nE\n"},
    {"id": "h_2", "startLine": 6, "endLine": 8, "oldText": "g\nh\n", "newText": "G\n"},
    {"id": "h_3", "startLine": 9, "endLine": 9, "oldText": "", "newText": "new\n"},
]
FAULT = "`{x}` became `{y}`"


def card(places: dict[str, Place] | None = None, **more: Any) -> Card:
    verdict = {"unrunLines": [], "survivors": [], **more.pop("verdict", {})}
    data = {"files": [{"path": "a.py", "hunks": HUNKS}], "verdict": verdict, **more}
    return Card(data, places or {})


def rows(*lines: int, **more: Any) -> list[dict[str, Any]]:
    return [{"path": "a.py", "line": line, **more} for line in lines]


@pytest.mark.parametrize(
    ("line", "shown", "text"), [(2, 2, "C"), (3, 2, "if {x}:"), (4, 2, "E"), (8, 6, "G"), (10, 9, "new")]
)
def test_a_line_of_the_changed_file_is_hinted_at_where_its_hunk_is(line: int, shown: int, text: str) -> None:
    [hint] = hints(card(verdict={"survivors": rows(line, text=FAULT)}))
    message = f"No test notices a small fault in the proposed line `{text}`: {FAULT}."
    assert (hint.path, hint.line, hint.message) == ("a.py", shown, message)


def test_hints_move_with_their_hunks_and_unrun_lines_come_first() -> None:
    found = hints(
        card({"h_1": Place("a.py", 22, 25)}, verdict={"survivors": rows(3, text=FAULT), "unrunLines": rows(4)})
    )
    assert [(hint.line, hint.message.partition(" the proposed")[0]) for hint in found] == [
        (24, "No passing test runs"),
        (23, "No test notices a small fault in"),
    ]


@pytest.mark.parametrize(
    "verdict",
    [
        {"survivors": rows(5, text=FAULT)},
        {"survivors": rows(999)},
        {"survivors": [{"path": "b.py", "line": 2}, "odd", None]},
        {"survivors": None, "unrunLines": 3},
    ],
)
def test_what_is_in_no_hunk_or_in_another_shape_is_passed_over(verdict: dict[str, Any]) -> None:
    assert list(hints(card(verdict=verdict))) == []


def test_a_stale_proposal_is_not_hinted_at() -> None:
    assert list(hints(card(stale=True, verdict={"survivors": rows(2, text=FAULT)}))) == []
