// Owns the bars of work in progress: notifications with a button that cancels, which the status bar has not.
import * as vscode from "vscode";
import type {
  ProgressToken,
  WorkDoneProgressBegin,
  WorkDoneProgressEnd,
  WorkDoneProgressReport,
} from "vscode-languageclient/node";

type Value = WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd;

interface Bar {
  report: (message: string | undefined, percentage: number | undefined) => void;
  end: () => void;
}

export class ProgressBars {
  private readonly bars = new Map<ProgressToken, Bar>();

  /** `cancel` tells the server that the person pressed the button. */
  constructor(private readonly cancel: (token: ProgressToken) => void) {}

  take(token: ProgressToken, value: Value): void {
    if (value.kind === "begin") {
      this.bars.get(token)?.end();
      this.bars.set(token, this.begin(token, value));
    } else if (value.kind === "report") {
      this.bars.get(token)?.report(value.message, value.percentage);
    } else {
      this.bars.get(token)?.end();
      this.bars.delete(token);
      if (value.message !== undefined) {
        vscode.window.setStatusBarMessage(`$(check) Agent: ${value.message}`, 6000);
      }
    }
  }

  /** The server is gone, and with it what it was doing. */
  endAll(): void {
    for (const bar of this.bars.values()) {
      bar.end();
    }
    this.bars.clear();
  }

  private begin(token: ProgressToken, value: WorkDoneProgressBegin): Bar {
    let finish: () => void = () => undefined;
    let shown: vscode.Progress<{ message?: string; increment?: number }> | undefined;
    let percentage = 0;
    const ended = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const options = {
      location: vscode.ProgressLocation.Notification,
      title: value.title,
      cancellable: value.cancellable === true,
    };
    void vscode.window.withProgress(options, async (progress, cancelled) => {
      shown = progress;
      cancelled.onCancellationRequested(() => this.cancel(token));
      progress.report({ message: value.message });
      await ended;
    });
    return {
      end: finish,
      report: (message, now) => {
        const increment = now === undefined ? undefined : Math.max(now - percentage, 0);
        percentage += increment ?? 0;
        shown?.report({ message, increment });
      },
    };
  }
}
