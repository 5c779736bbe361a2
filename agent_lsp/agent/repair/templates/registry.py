"""Owns the table of templates. A new family is a file beside this one and its rows here."""

from collections.abc import Mapping
from typing import Final

from agent_lsp.agent.repair.edits import Template
from agent_lsp.agent.repair.templates import conditions, names, numbers, operators, statements

TEMPLATES: Final[Mapping[str, Template]] = {
    "comparison operator": operators.comparison,
    "arithmetic operator": operators.arithmetic,
    "in-place operator": operators.in_place,
    "and/or": operators.connective,
    "missing not": conditions.missing_not,
    "needless not": conditions.needless_not,
    "None check": conditions.none_check,
    "truth value": conditions.truth_value,
    "off by one": numbers.off_by_one,
    "needless one": numbers.needless_one,
    "start of a range": numbers.range_start,
    "bound of a slice": numbers.slice_bound,
    "constant": numbers.constant,
    "swapped arguments": names.swapped_arguments,
    "wrong variable": names.variable,
    "wrong attribute": names.attribute,
    "sibling function": names.sibling,
    "forgotten return": statements.forgotten_return,
    "break or continue": statements.jump,
    "yield from": statements.yielded,
}
"""Templates by the name that proposals and the journal give them. Order does not matter: the score decides."""
