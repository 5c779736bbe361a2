// Owns the registration of commands that may come from a row of a tree.
import * as vscode from "vscode";

/**
 * Registers one. While the tree is drawn anew the editor passes `undefined` for the row that was clicked; what is at
 * the cursor instead is not what was meant, so then nothing is done but to say so. From the palette nothing is passed.
 */
export function register<Given extends unknown[]>(
  name: string,
  run: (...given: Given) => unknown,
): vscode.Disposable {
  return vscode.commands.registerCommand(`agentLsp.${name}`, (...given: Given) => {
    if (given.length > 0 && given[0] === undefined) {
      void vscode.window.showInformationMessage("Agent: the list has just changed. Take the button again.");
      return undefined;
    }
    return run(...given);
  });
}
