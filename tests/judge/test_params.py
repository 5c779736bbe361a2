"""The edge's own check of params: it is made from the meta model, and does not ask for what editors leave out."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.params_schema import check
from agent_lsp.server.params_table import METHODS, STRUCTURES
from tests.judge import params_table
from tests.judge.meta_model import MISSING, Reference, load

PLACE = {"line": 0, "character": 0}
RANGE = {"start": PLACE, "end": PLACE}


@pytest.mark.skipif(load() is None, reason=MISSING)
def test_the_table_is_what_the_model_makes() -> None:
    model = load()
    assert model is not None
    assert params_table.PATH.read_text(encoding="utf-8") == params_table.text(model), (
        "run `python -m tests.judge.params_table`"
    )


@pytest.mark.skipif(load() is None, reason=MISSING)
def test_nothing_that_lsp_allows_is_refused_and_every_key_is_one_of_lsp() -> None:
    model = load()
    assert model is not None
    for name, row in STRUCTURES.items():
        known = model.properties(Reference(name))
        assert known is not None
        assert {key.rstrip("?") for key in row} <= set(known), name
        assert not [key for key in row if not key.endswith("?") and known[key].optional], name


@pytest.mark.parametrize(
    ("method", "params", "problem"),
    [
        ("textDocument/codeLens", {"textDocument": {"uri": "a"}}, None),
        ("textDocument/codeLens", [], "`params` must be an object"),
        ("textDocument/codeLens", {}, "`textDocument` is missing"),
        ("codeLens/resolve", {"range": {**RANGE, "end": {}}}, "`range.end.line` is missing"),
        (
            "codeLens/resolve",
            {"range": {**RANGE, "end": {**PLACE, "line": 2**31}}},
            "`range.end.line` must be a whole number from 0 to 2147483647",
        ),
        ("$/setTrace", {"value": "off"}, None),
        ("$/setTrace", {"value": "loud"}, "`value` must be one of off, messages, verbose"),
        ("$/setTrace", {"value": ["off"]}, "`value` must be one of off, messages, verbose"),
        ("window/workDoneProgress/cancel", {"token": 0}, None),
        ("window/workDoneProgress/cancel", {"token": True}, "`token` has a wrong type"),
        ("workspace/didChangeWatchedFiles", {"changes": [{"uri": "a"}, {"uri": 1}]}, "`changes[1].uri` must be a text"),
        ("workspace/didChangeConfiguration", {}, None),
        ("workspace/executeCommand", {"command": "x", "arguments": None}, None),
        ("agent/status", 7, None),
    ],
)
def test_a_problem_names_the_key_and_never_the_value(method: str, params: Any, problem: str | None) -> None:
    assert check(method, params) == problem


def test_every_feature_of_lsp_that_has_params_is_in_the_table(tmp_path: Path) -> None:
    from lsprotocol import types

    from agent_lsp.server.edge import Edge
    from agent_lsp.server.main import EdgeDependencies
    from agent_lsp.server.protocol import UNJUDGED
    from tests.server.serve import on_initialized, read_log, start_runtime

    class NoChannel:
        """The edge only begins here: nothing is read or written."""

    async def features() -> set[str]:
        edge: Any = Edge(EdgeDependencies(start_runtime, read_log, on_initialized, "0"), NoChannel())  # type: ignore[arg-type]
        edge._register_life_cycle()
        edge._begin({"capabilities": {}, "rootUri": tmp_path.as_uri()})
        return set(edge._server.protocol.fm.features)

    with_params = {method for method, known in types.METHOD_TO_TYPES.items() if known[2] is not None}
    unchecked = (asyncio.run(features()) & with_params) - METHODS.keys() - UNJUDGED
    assert unchecked <= {"initialize", "initialized"}
