// Owns the editing of a proposed change before it is accepted: its new text in an editor of its own, then sent back.
import * as vscode from "vscode";
import type { PlacedHunk } from "./board";
import type { Calls } from "./calls";
import { register } from "./commands";
import { tellNoHunk } from "./review";

const EDITING = "agentLsp.editingHunk";

export class HunkEdits {
  private readonly edited = new Map<string, { proposalId: string; hunk: string }>();

  constructor(
    private readonly calls: Calls,
    private readonly meant: (at: unknown) => PlacedHunk | undefined,
  ) {}

  register(): vscode.Disposable {
    const on = register<[at?: unknown]>;
    return vscode.Disposable.from(
      on("editHunk", (at) => this.open(at)),
      on("useEdit", () => this.send()),
      vscode.window.onDidChangeActiveTextEditor(() => this.tellContext()),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => this.edited.delete(uri.toString())),
    );
  }

  private async open(at: unknown): Promise<void> {
    const placed = this.meant(at);
    if (placed === undefined) {
      tellNoHunk();
      return;
    }
    const source = await vscode.workspace.openTextDocument(placed.uri);
    const draft = { language: source.languageId, content: placed.hunk.newText };
    const document = await vscode.workspace.openTextDocument(draft);
    const { proposalId } = placed.proposal;
    this.edited.set(document.uri.toString(), { proposalId, hunk: placed.hunk.id });
    await vscode.window.showTextDocument(document);
    this.tellContext();
  }

  private async send(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const meant = document && this.edited.get(document.uri.toString());
    if (document === undefined || meant === undefined) {
      void vscode.window.showInformationMessage("Agent: take “Edit This Change…” first.");
      return;
    }
    if ((await this.calls.send("agent.edit", { ...meant, text: document.getText() })) !== undefined) {
      this.edited.delete(document.uri.toString());
      await vscode.window.showTextDocument(document);
      await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
    }
  }

  private tellContext(): void {
    const uri = vscode.window.activeTextEditor?.document.uri.toString() ?? "";
    void vscode.commands.executeCommand("setContext", EDITING, this.edited.has(uri));
  }
}
