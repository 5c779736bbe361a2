"""A real VS Code that asks whether a workspace is trusted: nothing runs before the person said so."""

from pathlib import Path

import pytest

from tests.editors.code_server import code_server, missing, servers_of
from tests.scenarios.scene import PROJECT, write_project

pytestmark = [pytest.mark.editor, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


async def test_the_server_starts_only_once_the_workspace_is_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(folder, PROJECT)
    async with code_server(tmp_path / "home", {}, trust=True) as server:
        window = await server.open(folder, trusts=False)
        await window.page("await page.getByText('Restricted Mode').first().waitFor()")
        active = "return vscode.extensions.getExtension('agent-lsp.agent-lsp').isActive"
        await window.until(active, what="the extension, limited")
        before = servers_of(folder)
        said = await window.host("return vscode.workspace.isTrusted")
        await window.palette("Workspaces: Manage Workspace Trust")
        await window.click(".workspace-trust-editor .monaco-button", "Trust")
        await window.until("return (await vscode.commands.getCommands(true)).includes('agent.run')", what="the server")
        after = servers_of(folder)

        assert (before, said) == ([], False)
        assert len(after) == 1
        assert await window.wrong() == []
