"""The walk over LSP's meta model: what it lets through and what it does not."""

from typing import Any

import pytest

from tests.judge.meta_model import MISSING, MetaModel, Reference, load

MODEL = load()
pytestmark = pytest.mark.skipif(MODEL is None, reason=MISSING)

PLACE = {"line": 0, "character": 0}
RANGE = {"start": PLACE, "end": PLACE}


@pytest.fixture
def model() -> MetaModel:
    assert MODEL is not None
    return MODEL


def test_everything_that_is_named_is_there(model: MetaModel) -> None:
    assert len(model.requests) > 60
    assert len(model.structures) > 380
    for name in model.structures:
        assert model.properties(Reference(name)) is not None
    for method in [*model.requests.values(), *model.notifications.values()]:
        for kind in (method.params, method.result, method.registration_options):
            if kind is not None:
                model.problems(kind, {"no": "such"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Position", PLACE),
        ("Position", {"line": 2**31 - 1, "character": 0}),
        ("Location", {"uri": "file:///a%20b", "range": RANGE}),
        ("CodeAction", {"title": "x", "kind": "our.own", "diagnostics": [], "data": {"any": [1, None, {"x": 2.5}]}}),
        ("TextDocumentContentChangeEvent", {"text": "whole"}),
        ("TextDocumentContentChangeEvent", {"range": RANGE, "text": "part"}),
        ("ProgressToken", -1),
        ("DocumentFilter", {"language": "python"}),
        ("InitializeParams", {"processId": None, "rootUri": None, "capabilities": {}, "workDoneToken": 3}),
        ("WorkspaceEdit", {"changes": {"file:///a": [{"range": RANGE, "newText": ""}]}}),
        ("ParameterInformation", {"label": [0, 1]}),
        ("LSPAny", [1, {"a": None}]),
    ],
)
def test_what_lsp_allows_passes(model: MetaModel, name: str, value: Any) -> None:
    assert model.problems(Reference(name), value) == []


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("Position", {"line": "7", "character": 0}, "line"),
        ("Position", {"line": -1, "character": 0}, "line"),
        ("Position", {"line": 2**31, "character": 0}, "line"),
        ("Position", {"line": True, "character": 0}, "line"),
        ("Position", {"line": 1.0, "character": 0}, "line"),
        ("Position", {"line": 0}, "character"),
        ("Position", {**PLACE, "colum": 1}, "colum"),
        ("Position", None, "value"),
        ("Location", {"uri": "no scheme", "range": RANGE}, "uri"),
        ("CodeAction", {"title": "x", "tags": [9]}, "tags[0]"),
        ("CodeAction", {"title": "x", "isPreferred": None}, "isPreferred"),
        ("CodeAction", {"title": "x", "disabled": {}}, "disabled.reason"),
        ("VersionedTextDocumentIdentifier", {"uri": "file:///a"}, "version"),
        ("ApplyWorkspaceEditResult", {"applied": "no"}, "applied"),
        ("TextDocumentContentChangeEvent", {"range": {"start": PLACE}, "text": ""}, "range.end"),
        ("WorkDoneProgressBegin", {"kind": "start", "title": "x"}, "kind"),
        ("ParameterInformation", {"label": [0]}, "label"),
        ("WorkspaceEdit", {"changes": {"relative": []}}, "changes.(key)"),
        ("Diagnostic", {"range": RANGE, "message": "m", "severity": 5}, "severity"),
        ("LSPAny", {"deep": [float("nan")]}, "deep[0]"),
    ],
)
def test_what_lsp_forbids_is_told_with_its_place(model: MetaModel, name: str, value: Any, place: str) -> None:
    problems = model.problems(Reference(name), value)
    assert [problem.partition(":")[0] for problem in problems] == [place]


def test_unknown_keys_are_tolerated_where_lsp_says_so(model: MetaModel) -> None:
    assert model.problems(Reference("Position"), {**PLACE, "more": 1}, strict=False) == []
