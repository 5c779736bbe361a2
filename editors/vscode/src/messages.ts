// Owns how messages are shown: VS Code folds one without a button to its first line, and the reason is at the end.
import * as vscode from "vscode";
import { MessageType, ShowMessageNotification, type LanguageClient } from "vscode-languageclient/node";

type Show = (message: string, ...buttons: string[]) => Thenable<string | undefined>;

const LINE_CHARS = 60;
const OPEN_LOG = "Open Log";

/** Shows all of a message, whatever its length. */
export function showWhole(show: Show, message: string): void {
  const buttons = message.length > LINE_CHARS ? [OPEN_LOG] : [];
  void show(message, ...buttons).then((answer) => {
    if (answer === OPEN_LOG) {
      void vscode.commands.executeCommand("agentLsp.openLog");
    }
  });
}

/** Takes the messages of the server over from the client's library. */
export function takeMessages(client: LanguageClient): void {
  client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
    if (type === MessageType.Error) {
      showWhole(vscode.window.showErrorMessage, message);
    } else if (type === MessageType.Warning) {
      showWhole(vscode.window.showWarningMessage, message);
    } else {
      showWhole(vscode.window.showInformationMessage, message);
    }
  });
}
