// Owns what the menus know of the state: whether a change is on offer, and what the active file has.
//
// Of the file and not of the line of the cursor: a right click moves the cursor and opens the menu at once, before
// anybody can be told where it went.
import * as vscode from "vscode";
import { SOURCE, type Board } from "./board";

export function registerContexts(board: Board): vscode.Disposable {
  const last = new Map<string, boolean>();
  const set = (name: string, value: boolean): void => {
    if (last.get(name) !== value) {
      last.set(name, value);
      void vscode.commands.executeCommand("setContext", `agentLsp.${name}`, value);
    }
  };
  const tell = (): void => {
    const active = vscode.window.activeTextEditor?.document.uri;
    const hunks = board.hunks();
    set("hasProposal", hunks.length > 0);
    set("changesHere", hunks.some(({ uri }) => uri.toString() === active?.toString()));
    const problems = active === undefined ? [] : vscode.languages.getDiagnostics(active);
    set("problemsHere", problems.some(({ source }) => source !== SOURCE));
  };
  tell();
  return vscode.Disposable.from(
    board.onDidChange(tell),
    vscode.languages.onDidChangeDiagnostics(tell),
    vscode.window.onDidChangeActiveTextEditor(tell),
  );
}
