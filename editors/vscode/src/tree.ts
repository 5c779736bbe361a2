// Owns the tree of runs and proposals with their live states.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { ChangedFile, Hunk, Proposal, RunRow, RunState } from "./protocol";

export type Node =
  | { kind: "run"; run: RunRow }
  | { kind: "step"; run: RunRow; title: string; state: string; detail: string }
  | { kind: "proposal"; proposal: Proposal }
  | { kind: "file"; proposal: Proposal; file: ChangedFile }
  | { kind: "hunk"; proposal: Proposal; file: ChangedFile; hunk: Hunk };

const ICONS: Record<RunState, [icon: string, color?: string]> = {
  planning: ["sync~spin"],
  awaiting_approval: ["question", "charts.yellow"],
  executing: ["sync~spin"],
  reflecting: ["sync~spin"],
  validating: ["beaker", "charts.blue"],
  proposed: ["git-pull-request", "charts.green"],
  applying: ["sync~spin"],
  applied: ["check", "testing.iconPassed"],
  discarded: ["circle-slash"],
  paused: ["debug-pause", "charts.yellow"],
  blocked: ["comment-unresolved", "charts.yellow"],
  cancelled: ["circle-slash"],
  failed: ["error", "testing.iconFailed"],
};
const AT_WORK: ReadonlySet<RunState> = new Set(["planning", "executing", "reflecting", "validating", "applying"]);
const STEP_ICONS: Record<string, string> = {
  pending: "circle-large-outline",
  running: "sync~spin",
  done: "check",
  failed: "error",
};

export class RunTree implements vscode.TreeDataProvider<Node> {
  private readonly changes = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changes.event;

  /** Drawn anew only where it would be another: while it is, the editor does not know its rows. */
  constructor(private readonly board: Board) {
    let last = "";
    board.onDidChange(() => {
      const now = this.shown();
      if (now !== last) {
        last = now;
        this.changes.fire(undefined);
      }
    });
  }

  /** All that the rows are made of. */
  private shown(): string {
    const { runs, progress, plans, proposals } = this.board;
    const said = [...progress.values()].map(({ runId, message }) => [runId, message]);
    const offered = [...proposals.values()].map((proposal) => [
      { ...proposal, diff: "" },
      this.board.isOpen(proposal),
    ]);
    return JSON.stringify([[...runs.values()], said, [...plans.values()], offered]);
  }

  getChildren(node?: Node): Node[] {
    if (node === undefined) {
      return [...this.board.runs.values()].reverse().map((run) => ({ kind: "run", run }));
    }
    switch (node.kind) {
      case "run":
        return this.ofRun(node.run);
      case "proposal":
        return node.proposal.files.map((file) => ({ kind: "file", proposal: node.proposal, file }));
      case "file":
        return node.file.hunks.map((hunk) => ({ kind: "hunk", proposal: node.proposal, file: node.file, hunk }));
      default:
        return [];
    }
  }

  getTreeItem(node: Node): vscode.TreeItem {
    switch (node.kind) {
      case "run":
        return this.run(node.run);
      case "step":
        return step(node);
      case "proposal":
        return this.proposal(node.proposal);
      case "file":
        return fileItem(node.proposal, node.file);
      case "hunk":
        return hunkItem(node.proposal, node.hunk);
    }
  }

  private ofRun(run: RunRow): Node[] {
    const steps = this.board.plans.get(run.runId)?.steps ?? [];
    const nodes: Node[] = steps.length > 1 || run.state === "awaiting_approval"
      ? steps.map(({ title, state, detail }) => ({ kind: "step", run, title, state, detail }))
      : [];
    const proposal = run.proposalId === undefined ? undefined : this.board.proposals.get(run.proposalId);
    return proposal === undefined ? nodes : [...nodes, { kind: "proposal", proposal }];
  }

  private run(run: RunRow): vscode.TreeItem {
    const item = new vscode.TreeItem(run.goal, vscode.TreeItemCollapsibleState.Expanded);
    const said = this.board.progress.get(run.runId)?.message ?? "";
    const state = run.state.replace("_", " ");
    item.id = run.runId;
    const where = run.root === undefined ? undefined : vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(run.root));
    const described = said === "" || said.startsWith(state) ? said || state : `${state} · ${said}`;
    item.description = where === undefined ? described : `${where.name} · ${described}`;
    item.iconPath = themed(...ICONS[run.state]);
    const undoable = run.checkpointId === undefined ? "" : ".undoable";
    item.contextValue = `run.${AT_WORK.has(run.state) ? "working" : run.state}${undoable}`;
    item.tooltip = new vscode.MarkdownString(tooltip(run, item.description));
    return item;
  }

  private proposal(proposal: Proposal): vscode.TreeItem {
    const open = this.board.isOpen(proposal);
    const item = new vscode.TreeItem(
      proposal.verdictTitle ?? proposal.verdict.decision,
      open ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed,
    );
    item.id = proposal.proposalId;
    item.description = proposal.summary;
    item.iconPath = themed(...verdictIcon(proposal));
    const suggested = proposal.suggestion === undefined ? "" : ".suggested";
    const acceptable = proposal.acceptable && proposal.refused === undefined ? ".acceptable" : "";
    item.contextValue = open ? `proposal.open${acceptable}${suggested}` : "proposal.closed";
    item.tooltip = proposal.verdict.reasons.join("\n");
    const node: Node = { kind: "proposal", proposal };
    item.command = { title: "Open the changes", command: "agentLsp.openChanges", arguments: [node] };
    return item;
  }
}

function verdictIcon(proposal: Proposal): [string, string?] {
  if (proposal.stale) {
    return ["history", "charts.yellow"];
  }
  switch (proposal.verdict.decision) {
    case "proven":
      return ["verified-filled", "testing.iconPassed"];
    case "passed":
      return ["pass", "testing.iconPassed"];
    case "undecided":
    case "not_run":
      return ["question", "testing.iconUnset"];
    default:
      return ["error", "testing.iconFailed"];
  }
}

function tooltip(run: RunRow, described: string): string {
  const { inputTokens = 0, outputTokens = 0, costUsd = 0 } = run.usage;
  const rows = [`**${run.goal}**`, described];
  if (run.model !== undefined) {
    rows.push(`by ${run.model}`);
  }
  if (inputTokens + outputTokens > 0) {
    rows.push(`${inputTokens + outputTokens} tokens, ${costUsd.toFixed(3)} US$`);
  }
  return rows.join("\n\n");
}

function step(node: Extract<Node, { kind: "step" }>): vscode.TreeItem {
  const item = new vscode.TreeItem(node.title, vscode.TreeItemCollapsibleState.None);
  item.iconPath = themed(STEP_ICONS[node.state] ?? "circle-large-outline");
  item.tooltip = node.detail;
  item.contextValue = "step";
  item.command = { title: "Show the plan", command: "agentLsp.showPlan", arguments: [{ kind: "run", run: node.run }] };
  return item;
}

function fileItem(proposal: Proposal, file: ChangedFile): vscode.TreeItem {
  const item = new vscode.TreeItem(vscode.Uri.parse(file.uri), vscode.TreeItemCollapsibleState.Collapsed);
  item.id = `${proposal.proposalId} ${file.uri}`;
  const count = `${file.hunks.length} change${file.hunks.length === 1 ? "" : "s"}`;
  item.description = file.kind === "modify" ? count : `${file.kind} · ${count}`;
  item.contextValue = "file";
  return item;
}

function hunkItem(proposal: Proposal, hunk: Hunk): vscode.TreeItem {
  const words = firstLine(hunk.newText) ?? `− ${firstLine(hunk.oldText) ?? "this file"}`;
  const item = new vscode.TreeItem(words, vscode.TreeItemCollapsibleState.None);
  item.id = `${proposal.proposalId} ${hunk.id}`;
  item.description = `line ${hunk.range.start.line + 1}${hunk.class === "source" ? "" : ` · ${hunk.class}`}`;
  item.iconPath = themed("diff-modified");
  item.contextValue = "hunk";
  item.command = { title: "Go to the change", command: "agentLsp.goToHunk", arguments: [hunk.id] };
  return item;
}

function firstLine(text: string): string | undefined {
  return text.split("\n").find((line) => line.trim() !== "")?.trim();
}

function themed(icon: string, color?: string): vscode.ThemeIcon {
  return new vscode.ThemeIcon(icon, color === undefined ? undefined : new vscode.ThemeColor(color));
}
