"""The one-step fix with pytest-lsp's client and its profiles: a second opinion on what editors make of the server.

Its warnings on what a client did not declare are errors here, as all warnings are.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import pytest
from cattrs import Converter
from lsprotocol import types
from pygls.protocol import default_converter
from pytest_lsp import LanguageClient, client_capabilities
from pytest_lsp.client import register_lsp_features

from tests.anthropic_server import AnthropicServer, ScriptedBrain, calls, edit, finish
from tests.judge.proxy import judged, through
from tests.scenarios.scene import CALC, PROJECT, SERVE, WAIT_S, environment, write_project
from tests.server.raw_client import Buffer, uri_for

PROFILES = {
    "visual-studio-code": types.ClientInfo(name="Visual Studio Code", version="1.65.2"),
    "neovim": types.ClientInfo(name="Neovim", version="0.11.0"),
}


@dataclass
class Stand:
    """A client with one open document, which it edits as its profile says, on a project with a scripted model."""

    client: LanguageClient
    model: AnthropicServer
    root: Path
    buffer: Buffer
    edits: list[types.WorkspaceEdit]

    async def execute(self, command: types.Command) -> Any:
        """What a command answers."""
        params = types.ExecuteCommandParams(command=command.command, arguments=command.arguments)
        return await self.client.workspace_execute_command_async(params)

    async def actions(self, line: int, *diagnostics: types.Diagnostic) -> list[types.CodeAction]:
        """Code actions at a cursor."""
        place = types.Position(line=line, character=0)
        params = types.CodeActionParams(
            text_document=types.TextDocumentIdentifier(uri=self.buffer.uri),
            range=types.Range(start=place, end=place),
            context=types.CodeActionContext(diagnostics=diagnostics),
        )
        found = await self.client.text_document_code_action_async(params)
        return [action for action in found or () if isinstance(action, types.CodeAction)]

    async def do(self, action: types.CodeAction) -> Any:
        """Executes an action, resolved first where it has to be."""
        if action.command is None:
            action = await self.client.code_action_resolve_async(action)
        assert action.command is not None
        return await self.execute(action.command)

    async def proposed(self) -> types.Diagnostic:
        """The diagnostic of the proposed hunk, once it can be accepted."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for hunk in self.client.diagnostics.get(self.buffer.uri, ()):
                    if "Accept or discard it with a code action" in hunk.message:
                        return hunk
                await asyncio.sleep(0.05)

    async def shows(self, text: str) -> None:
        """Waits for the text in the editor."""
        async with asyncio.timeout(WAIT_S):
            while self.buffer.text != text:
                await asyncio.sleep(0.05)

    def apply(self, params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        """Applies the text edits of one document, if it is at the version that they name."""
        self.edits.append(params.edit)
        if params.edit.document_changes:
            [change] = params.edit.document_changes
            assert isinstance(change, types.TextDocumentEdit)
            assert (change.text_document.uri, change.text_document.version) == (self.buffer.uri, self.buffer.version)
            edits = list(change.edits)
        else:
            [(uri, edits)] = (params.edit.changes or {}).items()  # type: ignore[assignment]
            assert uri == self.buffer.uri
        rows = [row for row in edits if isinstance(row, types.TextEdit)]
        assert len(rows) == len(edits)
        self.buffer.apply([{"range": _plain(row.range), "newText": row.new_text} for row in rows])
        self.buffer.version += 1
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=self.buffer.uri, version=self.buffer.version),
                content_changes=[types.TextDocumentContentChangeWholeDocument(text=self.buffer.text)],
            )
        )
        return types.ApplyWorkspaceEditResult(applied=True)


def _plain(place: types.Range) -> dict[str, Any]:
    return {
        "start": {"line": place.start.line, "character": place.start.character},
        "end": {"line": place.end.line, "character": place.end.character},
    }


def converter() -> Converter:
    """pygls' own, but for code actions: lsprotocol takes one that holds a command for a bare command."""
    mended: Converter = default_converter()  # type: ignore[no-untyped-call]

    def structure(value: Any, _: type) -> types.Command | types.CodeAction:
        if isinstance(value.get("command"), str):
            return mended.structure(value, types.Command)
        return mended.structure(value, types.CodeAction)

    mended.register_structure_hook(types.Command | types.CodeAction, structure)
    mended.register_structure_hook(Union[types.Command, types.CodeAction], structure)  # noqa: UP007 - as it is declared
    return mended


@pytest.fixture(params=PROFILES)
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    """A started session with `calc.py` open."""
    root, home, wrong = tmp_path / "project", tmp_path / "home", tmp_path / "wrong.json"
    root.mkdir()
    home.mkdir()
    write_project(root, PROJECT)
    brain = ScriptedBrain(execution=[calls(edit("calc.py", "return a - b", "return a + b")), calls(finish())])
    client = LanguageClient(converter_factory=converter)
    register_lsp_features(client)
    with AnthropicServer(brain) as model:
        await client.start_io(*through(wrong, SERVE), env=environment(home, model, {}), cwd=root)
        try:
            yield await began(client, model, root, request.param)
            await client.shutdown_session()
            assert await judged(wrong) == []
        finally:
            await client.stop()  # type: ignore[no-untyped-call]


async def began(client: LanguageClient, model: AnthropicServer, root: Path, profile: str) -> Stand:
    """The session under way, in the editor of the profile."""
    stand = Stand(client, model, root, Buffer(uri_for(root / "calc.py"), 1, CALC, "utf-16"), [])
    client.feature(types.WORKSPACE_APPLY_EDIT)(lambda params: stand.apply(params))  # noqa: PLW0108 - pygls marks it
    client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: None)
    client.feature(types.WORKSPACE_CODE_LENS_REFRESH)(lambda params: None)
    result = await client.initialize_session(
        types.InitializeParams(
            capabilities=client_capabilities(profile),
            client_info=PROFILES[profile],
            workspace_folders=[types.WorkspaceFolder(uri=uri_for(root), name="project")],
        )
    )
    stand.buffer.encoding = str(result.capabilities.position_encoding or "utf-16")
    document = types.TextDocumentItem(uri=stand.buffer.uri, language_id="python", version=1, text=CALC)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=document))
    return stand


async def test_a_command_is_carried_to_an_accepted_code_action(stand: Stand) -> None:
    argument = {"goal": "make add add", "uri": stand.buffer.uri}
    answer = await stand.execute(types.Command(title="Run", command="agent.run", arguments=[argument]))
    hunk = await stand.proposed()

    [accept] = [row for row in await stand.actions(1, hunk) if row.title.startswith("Accept change")]
    assert accept.title == "Accept change `return a + b` (proven: 1 fixed, 0 broken)"
    assert accept.kind == types.CodeActionKind.QuickFix
    await stand.do(accept)
    await stand.shows(CALC.replace("a - b", "a + b"))

    assert len(stand.edits) == 1
    assert stand.edits[0].document_changes, "both of these editors take versioned edits"
    status = types.Command(title="", command="agent.status", arguments=[{"runId": _get(answer, "runId")}])
    async with asyncio.timeout(WAIT_S):
        while _get(_get(await stand.execute(status), "runs")[0], "state") != "applied":
            await asyncio.sleep(0.05)
    run, *rest = stand.client.progress_reports.values()
    assert len(run) > 2, "it is told how the run goes"
    ends = []
    for reports in (run, *rest):
        kinds = [report.kind for report in reports]  # type: ignore[attr-defined]
        assert kinds == ["begin", *["report"] * (len(kinds) - 2), "end"]
        told = [str(report.message) for report in reports]  # type: ignore[attr-defined]
        assert not [text for text in told if re.match(r"(\w+): \1\b", text)], "no state is named twice"
        ends.append(told[-1])
    assert ends in (["proposed: proven"], ["proposed: proven", "applied: Agent: Done."])
    assert stand.client.error is None


async def test_a_diagnostic_is_worked_on_and_accepted_by_a_lens(stand: Stand) -> None:
    diagnostic = types.Diagnostic(
        range=types.Range(start=types.Position(line=1, character=4), end=types.Position(line=1, character=16)),
        message="add subtracts",
        source="reader",
    )
    [fix] = [row for row in await stand.actions(1, diagnostic) if row.title == "Agent: fix this"]
    assert list(fix.diagnostics or ()) == [diagnostic]
    await stand.do(fix)
    hunk = await stand.proposed()
    assert hunk.severity is types.DiagnosticSeverity.Information
    assert any("add subtracts" in request.text for request in stand.model.in_phase("execution"))

    params = types.CodeLensParams(text_document=types.TextDocumentIdentifier(uri=stand.buffer.uri))
    lenses = await stand.client.text_document_code_lens_async(params) or []
    commands = [lens.command for lens in lenses if lens.command is not None]
    accept = next(command for command in commands if command.title.startswith("Accept all (1 change)"))
    await stand.execute(accept)
    await stand.shows(CALC.replace("a - b", "a + b"))
    assert (stand.root / "calc.py").read_text() == CALC


def _get(value: Any, key: str) -> Any:
    """A key of an answer, whether the client keeps it as a mapping or makes an object of it."""
    return value[key] if isinstance(value, dict) else getattr(value, key)
