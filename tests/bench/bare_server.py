"""Owns the baseline: the least pygls server that answers code actions."""

from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("bare", "1")


@server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
    return [types.CodeAction(title="nothing", kind=types.CodeActionKind.QuickFix)]


if __name__ == "__main__":
    server.start_io()
