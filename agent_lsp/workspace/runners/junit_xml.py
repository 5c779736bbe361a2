"""Owns reading JUnit XML."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent_lsp.domain.verdict import CaseResult, Outcome


def read_junit(place: Path) -> list[CaseResult] | None:
    """The tests of a file, or of all `.xml` files of a folder; None where there is none.

    Raises ValueError for what cannot be read.
    """
    files = sorted(place.rglob("*.xml")) if place.is_dir() else [place] if place.is_file() else []
    try:
        return [case for file in files for case in _cases(file)] if files else None
    except SyntaxError as error:
        raise ValueError(str(error)) from error


def _cases(file: Path) -> Iterable[CaseResult]:
    from junitparser import JUnitXml  # type: ignore[import-untyped, unused-ignore]
    from junitparser.junitparser import JUnitXmlError  # type: ignore[import-untyped, unused-ignore]

    try:
        tree: Any = JUnitXml.fromfile(str(file))
    except JUnitXmlError as error:
        raise ValueError(str(error)) from error
    yield from _walk(tree)


def _walk(node: Any) -> Iterable[CaseResult]:
    from junitparser import TestCase, TestSuite

    for child in node:
        if isinstance(child, TestSuite):
            yield from _walk(child)
        elif isinstance(child, TestCase):
            yield _case(child)
    nested: Any = getattr(node, "testsuites", tuple)
    for suite in nested():
        yield from _walk(suite)


def _case(row: Any) -> CaseResult:
    file = row._elem.attrib.get("file", "")
    line = row._elem.attrib.get("line", "")
    name = "::".join(part for part in (file, row.classname or "", row.name or "") if part)
    outcome, message = Outcome.PASSED, ""
    kinds = {"Failure": Outcome.FAILED, "Error": Outcome.ERROR, "Skipped": Outcome.SKIPPED}
    for entry in row.result:
        found = kinds.get(type(entry).__name__)
        if found is not None and not outcome.bad:
            outcome = found
            message = "\n".join(part for part in (entry.message or "", entry.text or "") if part)[-4000:]
    place = int(line) - 1 if line.isdigit() and line != "0" else None
    return CaseResult(name, outcome, message, file, place, float(row.time or 0.0))
