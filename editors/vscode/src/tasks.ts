// Owns the commands that start and steer runs: new task, cancel, pause, resume, answer, say.
import * as vscode from "vscode";
import { SOURCE, type Board } from "./board";
import { askGoal, type Calls } from "./calls";
import type { Connection } from "./client";
import { register } from "./commands";
import type { AnswerArgument, BlockedMessage, ControlArgument, RunArgument, RunRow, RunState } from "./protocol";
import { pick } from "./review";
import type { Node } from "./tree";

export const AT_WORK: RunState[] = ["planning", "executing", "reflecting", "validating", "applying"];
const STEERED: Record<ControlArgument["action"], RunState[]> = {
  cancel: [...AT_WORK, "awaiting_approval", "paused", "blocked", "proposed"],
  pause: ["planning", "executing", "reflecting", "validating"],
  resume: ["paused"],
  step: ["paused", "awaiting_approval"],
};

export class TaskCommands {
  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
    private readonly connection: Connection,
  ) {}

  register(): vscode.Disposable {
    const on = register<[argument?: unknown]>;
    const steer = (action: ControlArgument["action"]): vscode.Disposable =>
      on(action, (node) => this.control(action, node as Node | undefined));
    return vscode.Disposable.from(
      on("newTask", () => this.newTask()),
      on("newTaskWithPlan", () => this.newTask({ mode: "plan" })),
      on("newTaskOnSelection", () => this.onSelection()),
      on("newTaskOnFile", (uri) => this.onFile(uri as vscode.Uri | undefined)),
      on("fixProblem", () => this.fixProblem()),
      on("answer", (asked) => this.answer(asked as BlockedMessage | AnswerArgument | undefined)),
      on("say", (node) => this.say(node as Node | undefined)),
      steer("cancel"),
      steer("pause"),
      steer("resume"),
      steer("step"),
    );
  }

  private async newTask(more: Partial<RunArgument> = {}): Promise<void> {
    const where = await placeOfRun();
    const goal = where && (await askGoal("What should be true afterwards?"));
    if (goal !== undefined) {
      await this.run({ ...where, ...more, goal });
    }
  }

  private async onSelection(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined) {
      return;
    }
    const goal = await askGoal("What should be true of the selected lines afterwards?");
    const client = this.connection.current;
    if (goal !== undefined && client !== undefined) {
      const range = client.code2ProtocolConverter.asRange(editor.selection);
      await this.run({ goal, uri: editor.document.uri.toString(), range });
    }
  }

  private async onFile(uri: vscode.Uri | undefined): Promise<void> {
    const meant = uri ?? vscode.window.activeTextEditor?.document.uri;
    if (meant !== undefined) {
      const name = vscode.workspace.asRelativePath(meant);
      const goal = await askGoal(`What should be true of ${name} afterwards?`);
      if (goal !== undefined) {
        await this.run({ goal, uri: meant.toString() });
      }
    }
  }

  private async fixProblem(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const client = this.connection.current;
    if (editor === undefined || client === undefined) {
      return;
    }
    const { uri } = editor.document;
    const at = editor.selection.active;
    const here = vscode.languages
      .getDiagnostics(uri)
      .filter(({ source }) => source !== SOURCE)
      .filter(({ range }) => range.start.line <= at.line && at.line <= range.end.line);
    if (here.length === 0) {
      void vscode.window.showInformationMessage("Agent: there is no problem on this line.");
      return;
    }
    const problem = await pick(here, ({ message }) => message, "Fix which problem?");
    if (problem === undefined) {
      return; // thought better of
    }
    const row = client.code2ProtocolConverter.asDiagnostic(problem);
    const message = typeof row.message === "string" ? row.message : problem.message;
    const diagnostics = [{ message, range: row.range, ...(row.source === undefined ? {} : { source: row.source }) }];
    await this.run({ goal: `Fix: ${message}`, uri: uri.toString(), range: row.range, diagnostics });
  }

  private async run(argument: RunArgument): Promise<void> {
    if ((await this.calls.send("agent.run", argument)) !== undefined) {
      await vscode.commands.executeCommand("agentLsp.runs.focus", { preserveFocus: true });
    }
  }

  private async control(action: ControlArgument["action"], node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, STEERED[action], `Which run to ${action}?`);
    if (run !== undefined) {
      await this.calls.send("agent.control", { runId: run.runId, action });
    }
  }

  /** Sends an answer that was chosen, or asks for one. */
  private async answer(asked: BlockedMessage | AnswerArgument | undefined): Promise<void> {
    if (asked !== undefined && "answer" in asked) {
      await this.calls.send("agent.answer", asked);
      return;
    }
    const known = asked?.runId === undefined ? await this.runMeant(undefined, ["blocked"], "Answer which run?") : asked;
    if (known === undefined || (asked?.options.length ?? 0) > 0) {
      return; // the server asks with buttons
    }
    const question = asked?.question ?? this.board.progress.get(known.runId)?.message ?? "";
    const answer = await vscode.window.showInputBox({ title: "Agent asks", prompt: question, ignoreFocusOut: true });
    if (answer !== undefined && answer.trim() !== "") {
      await this.calls.send("agent.answer", { runId: known.runId, answer: answer.trim() });
    }
  }

  private async say(node: Node | undefined): Promise<void> {
    const run = await this.runMeant(node, [...AT_WORK, "paused", "proposed"], "Say something to which run?");
    const asked = { title: `Agent: ${run?.goal ?? ""}`, prompt: "Say something to the run", ignoreFocusOut: true };
    const text = run && (await vscode.window.showInputBox(asked));
    const said = run && text ? await this.calls.send("agent.say", { runId: run.runId, text }) : undefined;
    if (said?.reply !== undefined) {
      void vscode.window.showInformationMessage(`Agent: ${said.reply}`);
    }
  }

  private async runMeant(node: Node | undefined, states: RunState[], title: string): Promise<RunRow | undefined> {
    if (node?.kind === "run") {
      return node.run;
    }
    const rows = [...this.board.runs.values()].filter(({ state }) => states.includes(state)).reverse();
    if (rows.length === 0) {
      void vscode.window.showInformationMessage("Agent: there is no such run now.");
    }
    return pick(rows, ({ goal }) => goal, title);
  }
}

/** Where a run works: the active file's folder, else the one that is open, else the one that the person picks. */
export async function placeOfRun(): Promise<{ uri?: string } | undefined> {
  const active = vscode.window.activeTextEditor?.document.uri;
  if (active !== undefined && vscode.workspace.getWorkspaceFolder(active) !== undefined) {
    return { uri: active.toString() };
  }
  const folders = vscode.workspace.workspaceFolders ?? [];
  if (folders.length === 0) {
    void vscode.window.showWarningMessage("Agent: open a folder first.");
    return undefined;
  }
  const folder = await pick(folders, ({ name }) => name, "In which folder?");
  return folder && { uri: folder.uri.toString() };
}
