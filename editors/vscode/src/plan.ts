// Owns the plan's review: shown, edited as Markdown, approved or rejected. The server reads the Markdown.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { Calls } from "./calls";
import type { RunRow } from "./protocol";
import { pick } from "./review";
import type { Node } from "./tree";

const EDITING = "agentLsp.editingPlan";

export class PlanCommands {
  private readonly edited = new Map<string, string>();

  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
  ) {}

  register(): vscode.Disposable {
    const on = (name: string, run: (node: Node | undefined) => unknown): vscode.Disposable =>
      vscode.commands.registerCommand(`agentLsp.${name}`, (node: Node | undefined) => run(node));
    return vscode.Disposable.from(
      on("showPlan", (node) => this.show(node)),
      on("editPlan", (node) => this.edit(node)),
      on("approvePlan", (node) => this.approve(node)),
      on("rejectPlan", (node) => this.reject(node)),
      vscode.window.onDidChangeActiveTextEditor(() => this.tellContext()),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => this.edited.delete(uri.toString())),
    );
  }

  private async show(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, false);
    if (run !== undefined) {
      const document = await vscode.workspace.openTextDocument(planUri(run.runId));
      await vscode.window.showTextDocument(document, { preview: true });
    }
  }

  private async edit(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, true);
    if (run !== undefined) {
      const plan = await vscode.workspace.openTextDocument(planUri(run.runId));
      const document = await vscode.workspace.openTextDocument({ language: "markdown", content: plan.getText() });
      this.edited.set(document.uri.toString(), run.runId);
      await vscode.window.showTextDocument(document);
      this.tellContext();
    }
  }

  /** With the text of the plan's editor where that is the active one. */
  private async approve(node: Node | undefined): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const runId = document && this.edited.get(document.uri.toString());
    if (document !== undefined && runId !== undefined) {
      const markdown = document.getText();
      if ((await this.calls.send("agent.plan.approve", { runId, markdown })) !== undefined) {
        this.edited.delete(document.uri.toString());
        await vscode.window.showTextDocument(document);
        await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
      }
      return;
    }
    const run = await this.runMeant(node, true);
    if (run !== undefined) {
      await this.calls.send("agent.plan.approve", { runId: run.runId });
    }
  }

  private async reject(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, true);
    const feedback = run && (await vscode.window.showInputBox({
      title: "Agent: reject the plan",
      prompt: "What should be different? Leave it empty to drop the task.",
      ignoreFocusOut: true,
    }));
    if (run !== undefined && feedback !== undefined) {
      await this.calls.send("agent.plan.reject", { runId: run.runId, ...(feedback.trim() === "" ? {} : { feedback }) });
    }
  }

  private async runMeant(node: Node | undefined, waiting: boolean): Promise<RunRow | undefined> {
    if (node?.kind === "run" || node?.kind === "step") {
      return node.run;
    }
    const rows = [...this.board.runs.values()]
      .filter(({ runId, state }) => (waiting ? state === "awaiting_approval" : this.board.plans.has(runId)))
      .reverse();
    if (rows.length === 0) {
      void vscode.window.showInformationMessage(`Agent: there is no plan${waiting ? " that waits for approval" : ""}.`);
    }
    return pick(rows, ({ goal }) => goal, "Which plan?");
  }

  private tellContext(): void {
    const uri = vscode.window.activeTextEditor?.document.uri.toString() ?? "";
    void vscode.commands.executeCommand("setContext", EDITING, this.edited.has(uri));
  }
}

function planUri(runId: string): vscode.Uri {
  return vscode.Uri.from({ scheme: "agent-lsp", path: `/plan/${runId}.md` });
}
