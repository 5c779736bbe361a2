"""The main job as pytest-lsp's clients see it, with the capabilities of real editors."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Union

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities, make_test_lsp_client

from tests.judge.proxy import judged, through
from tests.server.raw_client import uri_for

JUDGED = Path(tempfile.gettempdir()) / f"agent-lsp-judged-{os.getpid()}.json"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def client_factory() -> LanguageClient:
    """pytest-lsp's client with what it lacks: three handlers, and a hook that tells an action from a command.

    lsprotocol 2025.0.0 reads every code action that carries its command as a bare command.
    """
    client = make_test_lsp_client()
    converter = client.protocol._converter

    def action_or_command(value: Any, _: Any) -> Any:
        bare = isinstance(value.get("command"), str)
        return converter.structure(value, types.Command if bare else types.CodeAction)

    converter.register_structure_hook(types.Command | types.CodeAction, action_or_command)
    converter.register_structure_hook(Union[types.Command, types.CodeAction], action_or_command)  # noqa: UP007

    @client.feature(types.CLIENT_REGISTER_CAPABILITY)  # type: ignore[untyped-decorator]
    def register(params: types.RegistrationParams) -> None: ...

    @client.feature(types.WORKSPACE_CODE_LENS_REFRESH)  # type: ignore[untyped-decorator]
    def refresh(params: None) -> None: ...

    @client.feature(types.WORKSPACE_APPLY_EDIT)  # type: ignore[untyped-decorator]
    def apply_edit(params: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        (change,) = params.edit.document_changes or ()
        assert isinstance(change, types.TextDocumentEdit)
        (edit,) = change.edits
        assert isinstance(edit, types.TextEdit)
        document = types.VersionedTextDocumentIdentifier(uri=change.text_document.uri, version=2)
        content = types.TextDocumentContentChangePartial(range=edit.range, text=edit.new_text)
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(text_document=document, content_changes=[content])
        )
        return types.ApplyWorkspaceEditResult(applied=True)

    return client


@pytest_lsp.fixture(  # type: ignore[untyped-decorator]
    config=ClientServerConfig(
        server_command=through(JUDGED, [sys.executable, str(Path(__file__).with_name("serve.py"))]),
        client_factory=client_factory,
    ),
    params=["visual-studio-code", "neovim"],
)
async def editor(request: pytest.FixtureRequest, lsp_client: LanguageClient, root: Path) -> AsyncIterator[None]:
    await lsp_client.initialize_session(
        types.InitializeParams(
            capabilities=client_capabilities(request.param),
            client_info=types.ClientInfo(name="Neovim" if request.param == "neovim" else "Visual Studio Code"),
            workspace_folders=[types.WorkspaceFolder(uri=uri_for(root), name="root")],
        )
    )
    yield
    await lsp_client.shutdown_session()
    wrong = await judged(JUDGED)
    JUDGED.unlink()
    assert not wrong, wrong


async def test_a_goal_in_a_comment_becomes_an_applied_change(editor: LanguageClient, root: Path) -> None:
    uri = uri_for(root / "calc.py")
    text = "def add(a, b):\n    return a - b\n# agent: fix add\n"
    editor.text_document_did_open(
        types.DidOpenTextDocumentParams(types.TextDocumentItem(uri=uri, language_id="python", version=1, text=text))
    )
    await execute(editor, await action(editor, uri, 2, 'Agent: run "fix add"'))
    while not editor.diagnostics.get(uri):
        await editor.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    lenses = await editor.text_document_code_lens_async(
        types.CodeLensParams(text_document=types.TextDocumentIdentifier(uri=uri))
    )
    assert lenses
    result = await execute(editor, await action(editor, uri, 1, "Accept change "))
    assert result["applied"] is True


async def action(editor: LanguageClient, uri: str, line: int, title: str) -> types.CodeAction:
    place = types.Position(line=line, character=0)
    found = await editor.text_document_code_action_async(
        types.CodeActionParams(
            text_document=types.TextDocumentIdentifier(uri=uri),
            range=types.Range(start=place, end=place),
            context=types.CodeActionContext(diagnostics=[]),
        )
    )
    actions = [row for row in found or () if isinstance(row, types.CodeAction)]
    chosen = next((row for row in actions if row.title.startswith(title)), None)
    assert chosen is not None, found
    return chosen if chosen.command else await editor.code_action_resolve_async(chosen)


async def execute(editor: LanguageClient, chosen: types.CodeAction) -> Any:
    assert chosen.command is not None
    result: Any = await editor.workspace_execute_command_async(
        types.ExecuteCommandParams(command=chosen.command.command, arguments=chosen.command.arguments)
    )
    return result if isinstance(result, dict) else result._asdict()
