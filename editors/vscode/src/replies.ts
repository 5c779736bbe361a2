// Owns the replies that come later than their command: to whoever waits for one, else shown as a message.
import * as vscode from "vscode";
import type { SaidMessage } from "./protocol";

/** Somebody who waits. `drop` gives it up: the reply is then shown. */
export interface Awaited {
  reply: Promise<string>;
  drop: () => void;
}

export class Replies {
  private readonly waiting: Array<{ runId: string; text: string; give: (reply: string) => void }> = [];

  /** Waits for what will be replied to these words. Call it before they are sent. */
  expect(runId: string, text: string): Awaited {
    let give: (reply: string) => void = () => undefined;
    const reply = new Promise<string>((resolve) => {
      give = resolve;
    });
    const row = { runId, text, give };
    this.waiting.push(row);
    return { reply, drop: () => this.remove(row) };
  }

  take({ runId, text, reply }: SaidMessage): void {
    const row = this.waiting.find((one) => one.runId === runId && one.text === text);
    if (row === undefined) {
      void vscode.window.showInformationMessage(`Agent: ${reply}`);
    } else {
      this.remove(row);
      row.give(reply);
    }
  }

  private remove(row: (typeof this.waiting)[number]): void {
    const at = this.waiting.indexOf(row);
    if (at >= 0) {
      this.waiting.splice(at, 1);
    }
  }
}
