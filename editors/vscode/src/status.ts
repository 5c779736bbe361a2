// Owns the language-status item: how the server is, and who answers.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { Connection } from "./client";

export function registerStatus(connection: Connection, board: Board): vscode.Disposable {
  const selector = [{ scheme: "file" }, { scheme: "untitled" }];
  const item = vscode.languages.createLanguageStatusItem("agentLsp.status", selector);
  item.name = "Agent LSP";
  const show = (): void => {
    const { health } = connection;
    item.busy = health.state === "starting" || health.state === "waiting";
    item.severity = vscode.LanguageStatusSeverity.Information;
    item.command = { title: "Restart", command: "agentLsp.restart" };
    switch (health.state) {
      case "running": {
        item.text = "Agent LSP";
        item.detail = running(board) ?? `from ${health.program.origin}`;
        item.command = { title: "Open log", command: "agentLsp.openLog" };
        break;
      }
      case "untrusted":
        item.text = "Agent LSP: no run until this workspace is trusted";
        item.detail = undefined;
        item.severity = vscode.LanguageStatusSeverity.Warning;
        item.command = { title: "Manage trust", command: "workbench.trust.manage" };
        break;
      case "missing":
        item.text = "Agent LSP: no server";
        item.detail = health.message;
        item.severity = vscode.LanguageStatusSeverity.Error;
        item.command = { title: "Install", command: "agentLsp.install" };
        break;
      case "failed":
        item.text = "Agent LSP: the server failed";
        item.detail = health.message;
        item.severity = vscode.LanguageStatusSeverity.Error;
        break;
      case "waiting":
        item.text = "Agent LSP: the server ended";
        item.detail = `it starts again in ${health.seconds} s`;
        item.severity = vscode.LanguageStatusSeverity.Warning;
        break;
      default:
        item.text = `Agent LSP: ${health.state}`;
        item.detail = undefined;
    }
  };
  show();
  return vscode.Disposable.from(item, connection.onDidChange(show), board.onDidChange(show));
}

/** What goes on now, and who works on it. */
function running(board: Board): string | undefined {
  const rows = [...board.runs.values()];
  const row = rows[rows.length - 1];
  if (row === undefined) {
    return undefined;
  }
  const by = row.model === undefined ? "" : `, by ${row.model}`;
  return `${row.state.replace("_", " ")}: ${row.goal}${by}`;
}
