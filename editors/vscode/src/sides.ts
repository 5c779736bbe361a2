// Owns the two sides of a proposed file in a diff: the live file, and what the change makes of it.
//
// Both have the file's own path, for the editor shows where they differ; the server's text stands behind the right one.
import * as vscode from "vscode";
import type { ChangedFile, Proposal } from "./protocol";

const EMPTY = "agent-lsp-empty";
const PROPOSED = "agent-lsp-proposed";

/** A file with what stands left and right; undefined where there is no such file. */
export type Sides = [label: vscode.Uri, left: vscode.Uri | undefined, right: vscode.Uri | undefined];

export function registerSides(): vscode.Disposable {
  const changes = new vscode.EventEmitter<vscode.Uri>();
  const shown = new Map<string, vscode.Uri>();
  return vscode.Disposable.from(
    changes,
    vscode.workspace.registerTextDocumentContentProvider(EMPTY, { provideTextDocumentContent: () => "" }),
    vscode.workspace.registerTextDocumentContentProvider(PROPOSED, {
      onDidChange: changes.event,
      provideTextDocumentContent: async (uri) => {
        const behind = vscode.Uri.from({ scheme: "agent-lsp", path: uri.query });
        shown.set(behind.toString(), uri);
        return (await vscode.workspace.openTextDocument(behind)).getText();
      },
    }),
    vscode.workspace.onDidChangeTextDocument(({ document }) => {
      const uri = shown.get(document.uri.toString());
      if (uri !== undefined) {
        changes.fire(uri);
      }
    }),
  );
}

/** The live file against the text that the server would make of it. */
export function sides(proposal: Proposal, file: ChangedFile): Sides {
  const label = vscode.Uri.parse(file.uri);
  const before = file.oldUri === null ? label : vscode.Uri.parse(file.oldUri);
  const query = `/proposed/${proposal.proposalId}/${pathIn(file)}`;
  const after = label.with({ scheme: PROPOSED, query });
  return [label, file.kind === "create" ? undefined : before, file.kind === "delete" ? undefined : after];
}

/** Something to show where there is no file. */
export function emptyFor(label: vscode.Uri): vscode.Uri {
  return label.with({ scheme: EMPTY });
}

/** A file's path relative to its workspace folder. */
export function pathIn(file: ChangedFile): string {
  return vscode.workspace.asRelativePath(vscode.Uri.parse(file.uri), false);
}
