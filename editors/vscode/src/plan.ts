// Owns the plan's review: shown, edited as Markdown, approved or rejected. The server reads the Markdown.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { Calls } from "./calls";
import { register } from "./commands";
import type { RunRow } from "./protocol";
import { pick } from "./review";
import type { Node } from "./tree";

const NAME_CHARS = 40;
const EDITING = "agentLsp.editingPlan";

export class PlanCommands {
  private readonly edited = new Map<string, string>();
  private told = false;

  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
  ) {}

  register(): vscode.Disposable {
    const on = register<[node?: Node]>;
    return vscode.Disposable.from(
      on("showPlan", (node) => this.show(node)),
      on("editPlan", (node) => this.edit(node)),
      on("approvePlan", (node) => this.approve(node)),
      on("approvePlanStepwise", (node) => this.approve(node, { stepwise: true })),
      on("rejectPlan", (node) => this.reject(node)),
      vscode.window.onDidChangeActiveTextEditor(() => this.tellContext()),
      this.board.onDidChange(() => this.tellContext()),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => this.edited.delete(uri.toString())),
    );
  }

  private async show(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, false);
    if (run !== undefined) {
      const document = await vscode.workspace.openTextDocument(planUri(run));
      await vscode.window.showTextDocument(document, { preview: true });
    }
  }

  private async edit(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, true);
    if (run !== undefined) {
      const plan = await vscode.workspace.openTextDocument(planUri(run));
      const document = await vscode.workspace.openTextDocument({ language: "markdown", content: plan.getText() });
      this.edited.set(document.uri.toString(), run.runId);
      await vscode.window.showTextDocument(document);
      this.tellContext();
    }
  }

  /** With the text of the plan's editor where that is the active one. */
  private async approve(node: Node | undefined, way: { stepwise?: true } = {}): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const runId = document && this.edited.get(document.uri.toString());
    const other = node?.kind === "run" && node.run.runId !== runId;
    if (document !== undefined && runId !== undefined && !other) {
      const markdown = document.getText();
      if ((await this.calls.send("agent.plan.approve", { runId, markdown, ...way })) !== undefined) {
        this.edited.delete(document.uri.toString());
        await vscode.window.showTextDocument(document);
        await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
      }
      return;
    }
    const run = await this.runMeant(node, true);
    if (run !== undefined) {
      await this.calls.send("agent.plan.approve", { runId: run.runId, ...way });
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
    const shown = waiting ? this.shown() : undefined;
    if (shown !== undefined) {
      return shown;
    }
    const rows = [...this.board.runs.values()]
      .filter(({ runId, state }) => (waiting ? state === "awaiting_approval" : this.board.plans.has(runId)))
      .reverse();
    if (rows.length === 0) {
      void vscode.window.showInformationMessage(`Agent: there is no plan${waiting ? " that waits for approval" : ""}.`);
    }
    return pick(rows, ({ goal }) => goal, "Which plan?");
  }

  /** The run whose plan is in the active editor and waits. */
  private shown(): RunRow | undefined {
    const uri = vscode.window.activeTextEditor?.document.uri.toString();
    const waiting = [...this.board.runs.values()].filter(({ state }) => state === "awaiting_approval");
    return waiting.find((run) => planUri(run).toString() === uri || this.edited.get(uri ?? "") === run.runId);
  }

  private tellContext(): void {
    const waits = this.shown() !== undefined;
    if (waits !== this.told) {
      this.told = waits;
      void vscode.commands.executeCommand("setContext", EDITING, waits);
    }
  }
}

/** Named by its goal, which is what the editor's tab shows. */
function planUri({ runId, goal }: RunRow): vscode.Uri {
  const name = goal.replace(/[^\p{L}\p{N} _-]+/gu, " ").trim().slice(0, NAME_CHARS);
  return vscode.Uri.from({ scheme: "agent-lsp", path: `/plan/${runId}/Plan: ${name}.md` });
}
