// Owns what was applied before, in earlier sessions too: listed, previewed, rolled back, brought forward again.
import * as vscode from "vscode";
import type { Board } from "./board";
import { isRefused, type Calls } from "./calls";
import { register } from "./commands";
import type { Checkpoint } from "./protocol";
import type { Node } from "./tree";

type Row = vscode.QuickPickItem & { checkpoint: Checkpoint };
type Direction = "back" | "forward";

const PREVIEW: vscode.QuickInputButton = {
  iconPath: new vscode.ThemeIcon("diff"),
  tooltip: "Show what it would change",
};
const MOST_FILES = 4;

export class Checkpoints {
  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
  ) {}

  register(): vscode.Disposable {
    const on = register<[node?: Node]>;
    return vscode.Disposable.from(
      on("rollback", (node) => this.rollback(node)),
      on("rollForward", () => this.choose("forward")),
    );
  }

  /** What a run applied last, or what the person picks. */
  private async rollback(node: Node | undefined): Promise<void> {
    const run = node?.kind === "run" ? (this.board.runs.get(node.run.runId) ?? node.run) : undefined;
    if (run?.checkpointId === undefined) {
      await this.choose("back");
    } else {
      await this.calls.send("agent.rollback", { checkpointId: run.checkpointId });
    }
  }

  private async choose(direction: Direction): Promise<void> {
    const known = await this.calls.send("agent.checkpoints", {});
    if (known === undefined || isRefused(known)) {
      return;
    }
    const rows = meant(known.checkpoints, direction).map((checkpoint) => this.row(checkpoint));
    if (rows.length === 0) {
      const what = direction === "back" ? "nothing that was applied can be rolled back" : "nothing was rolled back";
      void vscode.window.showInformationMessage(`Agent: ${what}.`);
      return;
    }
    const chosen = await this.pick(rows, direction);
    if (chosen !== undefined) {
      await this.calls.send("agent.rollback", { checkpointId: chosen.checkpoint.checkpointId });
    }
  }

  /** It stays open while a preview is looked at. */
  private pick(rows: readonly Row[], direction: Direction): Promise<Row | undefined> {
    const box = vscode.window.createQuickPick<Row>();
    box.title = `Agent: roll ${direction} which change?`;
    box.placeholder = `Only what the agent wrote goes ${direction}; what you typed since stays`;
    box.items = rows;
    box.ignoreFocusOut = true;
    box.matchOnDescription = box.matchOnDetail = true;
    return new Promise((resolve) => {
      box.onDidTriggerItemButton(({ item }) => {
        const { checkpointId } = item.checkpoint;
        void this.calls.send("agent.checkpoints", { checkpointId, show: true });
      });
      box.onDidAccept(() => {
        resolve(box.selectedItems[0]);
        box.hide();
      });
      box.onDidHide(() => {
        resolve(undefined);
        box.dispose();
      });
      box.show();
    });
  }

  private row(checkpoint: Checkpoint): Row {
    const goal = this.board.runs.get(checkpoint.runId)?.goal;
    const label = goal ?? checkpoint.summary.replace(/^(Undo |Redo |Agent: )+/, "");
    const names = checkpoint.files.map((uri) => vscode.workspace.asRelativePath(vscode.Uri.parse(uri)));
    const more = names.length > MOST_FILES ? ` and ${names.length - MOST_FILES} more` : "";
    return {
      checkpoint,
      label,
      description: new Date(checkpoint.timeS * 1000).toLocaleString(),
      detail: `${names.slice(0, MOST_FILES).join(", ")}${more}`,
      buttons: [PREVIEW],
    };
  }
}

/** What stands applied, or rollbacks of such; a rollback of a rollback stands for the change that it brought again. */
function meant(all: readonly Checkpoint[], direction: Direction): Checkpoint[] {
  const rollbacks = new Set(all.filter(({ undoes }) => undoes !== undefined).map(({ checkpointId }) => checkpointId));
  return all.filter(({ state, undoes }) => {
    const wanted = direction === "back" ? undoes === undefined : undoes !== undefined && !rollbacks.has(undoes);
    return state === "applied" && wanted;
  });
}
