"""Owns the screen of an embedded Neovim: the grid that its `redraw` events draw, as text and with colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = tuple[str, int]
BLANK: Cell = (" ", 0)


@dataclass
class Screen:
    """What a person would see. `styles` are the attributes by their number, `colours` the default ones."""

    columns: int
    rows: int
    cells: list[list[Cell]] = field(default_factory=list)
    styles: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    colours: tuple[int, int] = (0xE0E2EA, 0x14161B)
    cursor: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not self.cells:
            self.resize(self.columns, self.rows)

    def redraw(self, events: Sequence[Sequence[Any]]) -> None:
        """Takes one `redraw` notification."""
        for name, *calls in events:
            draw = getattr(self, f"_{name}", None)
            if draw is not None:
                for call in calls:
                    draw(*call)

    def resize(self, columns: int, rows: int) -> None:
        """Makes it empty, of this size."""
        self.columns, self.rows = columns, rows
        self.cells = [[BLANK] * columns for _ in range(rows)]

    def lines(self) -> list[str]:
        """Its text, without what is blank at the ends."""
        return ["".join(text for text, _ in row).rstrip() for row in self.cells]

    @property
    def text(self) -> str:
        """Its text."""
        return "\n".join(self.lines())

    def style_at(self, line: str, part: str) -> Mapping[str, Any]:
        """How the first row that contains `line` shows the beginning of `part`."""
        row = next(index for index, text in enumerate(self.lines()) if line in text)
        return self.styles.get(self.cells[row][self.lines()[row].index(part)][1], {})

    def _grid_resize(self, _grid: int, columns: int, rows: int) -> None:
        self.resize(columns, rows)

    def _grid_clear(self, _grid: int) -> None:
        self.resize(self.columns, self.rows)

    def _grid_cursor_goto(self, _grid: int, row: int, column: int) -> None:
        self.cursor = (row, column)

    def _grid_line(self, _grid: int, row: int, column: int, cells: Sequence[Sequence[Any]], *_: Any) -> None:
        style = 0
        for text, *rest in cells:
            style = int(rest[0]) if rest else style
            for _again in range(int(rest[1]) if len(rest) > 1 else 1):
                self.cells[row][column] = (text, style)
                column += 1

    def _grid_scroll(self, _grid: int, top: int, bottom: int, left: int, right: int, by: int, *_: Any) -> None:
        for row in range(top, bottom - by) if by > 0 else range(bottom - 1, top - by - 1, -1):
            self.cells[row][left:right] = self.cells[row + by][left:right]

    def _hl_attr_define(self, number: int, attributes: Mapping[str, Any], *_: Any) -> None:
        self.styles[number] = attributes

    def _default_colors_set(self, front: int, back: int, *_: Any) -> None:
        self.colours = (front, back)
