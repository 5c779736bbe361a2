// Owns what the menus know of the state: whether a change is on offer, and in which files changes and problems are.
//
// By file and not by the line of the cursor: a right click moves the cursor and opens the menu at once, before anybody
// can be told where it went.
import * as vscode from "vscode";
import { SOURCE, type Board } from "./board";

export function registerContexts(board: Board): vscode.Disposable {
  const last = new Map<string, string>();
  const set = (name: string, value: boolean | string[]): void => {
    const text = JSON.stringify(value);
    if (last.get(name) !== text) {
      last.set(name, text);
      void vscode.commands.executeCommand("setContext", `agentLsp.${name}`, value);
    }
  };
  const changes = (): void => {
    const files = [...new Set(board.hunks().map(({ uri }) => uri.toString()))];
    set("hasProposal", files.length > 0);
    set("changedFiles", files);
  };
  const problems = (): void => {
    const uri = vscode.window.activeTextEditor?.document.uri;
    const there = uri !== undefined && vscode.languages.getDiagnostics(uri).some(({ source }) => source !== SOURCE);
    set("problemFiles", there ? [uri.toString()] : []);
  };
  changes();
  problems();
  return vscode.Disposable.from(
    board.onDidChange(changes),
    vscode.languages.onDidChangeDiagnostics(problems),
    vscode.window.onDidChangeActiveTextEditor(problems),
  );
}
