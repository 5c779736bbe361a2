// The least Node server that keeps documents and answers code actions, as the guides of vscode-languageserver write it.
"use strict";

const { createConnection, ProposedFeatures, TextDocuments, TextDocumentSyncKind } = require("vscode-languageserver/node");
const { TextDocument } = require("vscode-languageserver-textdocument");

const connection = createConnection(ProposedFeatures.all);
const documents = new TextDocuments(TextDocument);

connection.onInitialize(() => ({
  capabilities: { textDocumentSync: TextDocumentSyncKind.Incremental, codeActionProvider: true },
}));
connection.onCodeAction(() => [{ title: "nothing", kind: "quickfix" }]);
documents.listen(connection);
connection.listen();
