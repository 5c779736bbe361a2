// Owns the doctor's report: the server program's own, in an output channel.
import { execFile } from "node:child_process";
import * as vscode from "vscode";
import type { Connection } from "./client";

const LONGEST_MS = 120_000;

export function registerDoctor(connection: Connection): vscode.Disposable {
  const channel = vscode.window.createOutputChannel("Agent LSP Doctor");
  const command = vscode.commands.registerCommand("agentLsp.doctor", async () => {
    const program = connection.serverProgram;
    if (program === undefined) {
      void vscode.window.showWarningMessage("Agent: the server was not found, so nothing can be examined.");
      return;
    }
    channel.clear();
    channel.show(true);
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    const args = [...program.args, "doctor", ...(folder === undefined ? [] : ["--root", folder])];
    channel.appendLine(`${program.command} ${args.join(" ")}\n`);
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: "Agent: examining" },
      () => report(program.command, args, folder, channel),
    );
  });
  return vscode.Disposable.from(channel, command);
}

function report(
  command: string,
  args: string[],
  cwd: string | undefined,
  channel: vscode.OutputChannel,
): Promise<void> {
  return new Promise((resolve) => {
    const environment = { ...process.env, NO_COLOR: "1" };
    execFile(command, args, { cwd, env: environment, timeout: LONGEST_MS, windowsHide: true }, (error, out, err) => {
      channel.append(out);
      channel.append(err);
      if (error !== null && out === "") {
        channel.appendLine(String(error.message));
      }
      resolve();
    });
  });
}
