// Owns the extension's life: builds everything once, begins when the workspace is trusted, ends in order.
import * as vscode from "vscode";
import { Board } from "./board";
import { Calls } from "./calls";
import { registerChat } from "./chat";
import { Checkpoints } from "./checkpoints";
import { Connection } from "./client";
import { Review } from "./comments";
import { registerContexts } from "./contexts";
import { registerDecorations } from "./decorations";
import { registerDoctor } from "./doctor";
import { HunkEdits } from "./hunk_edit";
import { offerInstall } from "./install";
import { registerNotices } from "./notices";
import { PlanCommands } from "./plan";
import { Replies } from "./replies";
import { ReviewCommands } from "./review";
import { SECTION } from "./settings";
import { registerStatus } from "./status";
import { TaskCommands } from "./tasks";
import { RunTree } from "./tree";

let running: Connection | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel("Agent LSP", { log: true });
  const board = new Board();
  const replies = new Replies();
  const connection = new Connection(context, log, board, replies);
  const review = new Review(board);
  const calls: Calls = new Calls(
    () => connection.current,
    (proposalId, path) => reviewing.openById(proposalId, path),
    () => connection.comesBack,
  );
  const reviewing = new ReviewCommands(board, calls, review);
  const tree = vscode.window.createTreeView("agentLsp.runs", {
    treeDataProvider: new RunTree(board),
    showCollapseAll: true,
    canSelectMany: true,
  });
  connection.calls = calls;
  running = connection;
  context.subscriptions.push(
    log,
    board,
    review,
    reviewing.register(),
    new HunkEdits(calls, (at) => reviewing.placedHunk(at)).register(),
    new TaskCommands(board, calls, connection).register(),
    new PlanCommands(board, calls).register(),
    new Checkpoints(board, calls).register(),
    registerContexts(board),
    registerDecorations(board),
    registerStatus(connection, board),
    registerNotices(board),
    registerDoctor(connection),
    registerChat(board, calls, connection, replies),
    tree,
    tree.onDidChangeSelection(({ selection }) => reviewing.select(selection)),
    ...aroundTheServer(context, connection, calls, log),
  );
  await connection.restart();
  await offerWhenMissing(context, connection, log);
}

export async function deactivate(): Promise<void> {
  await running?.dispose();
  running = undefined;
}

function aroundTheServer(
  context: vscode.ExtensionContext,
  connection: Connection,
  calls: Calls,
  log: vscode.LogOutputChannel,
): vscode.Disposable[] {
  const on = (name: string, run: () => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(`agentLsp.${name}`, run);
  return [
    on("restart", () => connection.restart()),
    on("stop", () => connection.stop()),
    on("showOutput", () => log.show()),
    on("openLog", () => {
      const uri = vscode.window.activeTextEditor?.document.uri;
      const ours = uri !== undefined && vscode.workspace.getWorkspaceFolder(uri) !== undefined;
      const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
      const meant = ours ? uri : folder;
      return calls.send("agent.show", { log: true, ...(meant === undefined ? {} : { uri: meant.toString() }) });
    }),
    on("install", async () => {
      if (await offerInstall(context, log)) {
        await connection.restart();
      }
    }),
    on("chooseModel", chooseModel),
    on("openWalkthrough", () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#start`, false),
    ),
    vscode.workspace.onDidGrantWorkspaceTrust(() => connection.restart()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(`${SECTION}.server`)) {
        void connection.restart();
      } else if (event.affectsConfiguration(SECTION)) {
        connection.settingsChanged();
      }
    }),
  ];
}

async function offerWhenMissing(
  context: vscode.ExtensionContext,
  connection: Connection,
  log: vscode.LogOutputChannel,
): Promise<void> {
  const { health } = connection;
  if (health.state !== "missing") {
    return;
  }
  log.warn(health.message);
  if (connection.serverProgram === undefined && health.message.startsWith("The server")) {
    void offerInstall(context, log).then((done) => (done ? connection.restart() : undefined));
  } else {
    void vscode.window.showErrorMessage(`Agent LSP: ${health.message}`);
  }
}

/** One of the models that the editor has, or the server's own choice. */
async function chooseModel(): Promise<void> {
  const models = await vscode.lm.selectChatModels();
  if (models.length === 0) {
    void vscode.window.showInformationMessage(
      "Agent: this editor has no language model. Sign in to the extension that brings one, or set ANTHROPIC_API_KEY.",
    );
    return;
  }
  const rows: Array<vscode.QuickPickItem & { id?: string }> = models.map(({ id, name, vendor }) => ({
    label: name,
    description: `${vendor} · ${id}`,
    id,
  }));
  rows.push({ label: "The server's own choice", description: "model.provider = auto" });
  const chosen = await vscode.window.showQuickPick(rows, { title: "Agent: which model works?" });
  if (chosen !== undefined) {
    const configuration = vscode.workspace.getConfiguration(SECTION);
    const target = vscode.ConfigurationTarget.Global;
    await configuration.update("model.provider", chosen.id === undefined ? undefined : "editor", target);
    await configuration.update("model.name", chosen.id, target);
  }
}
