// Owns the few messages that come by themselves: a plan waits, a proposal is there, a run failed, a change was applied.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { RunRow, RunState } from "./protocol";

type Choice = [title: string, command: string];

export function registerNotices(board: Board): vscode.Disposable {
  const told = new Map<string, RunState>();
  return board.onDidChange(() => {
    for (const run of board.runs.values()) {
      if (told.get(run.runId) !== run.state) {
        const proposal = run.proposalId === undefined ? undefined : board.proposals.get(run.proposalId);
        if (run.state === "proposed" && (proposal === undefined || !board.isOpen(proposal))) {
          continue; // its hunks are on their way
        }
        const before = told.get(run.runId);
        told.set(run.runId, run.state);
        tell(board, run, before);
      }
    }
  });
}

function tell(board: Board, run: RunRow, before: RunState | undefined): void {
  const said = board.progress.get(run.runId)?.message ?? run.message ?? "";
  const node = { kind: "run", run };
  switch (run.state) {
    case "awaiting_approval":
      offer(`Agent: the plan of “${run.goal}” waits for you.`, node, [
        ["Approve", "agentLsp.approvePlan"],
        ["Edit", "agentLsp.editPlan"],
        ["Reject", "agentLsp.rejectPlan"],
      ]);
      break;
    case "proposed": {
      if (before === "applying" || before === "validating" && said === "") {
        break;
      }
      const proposal = board.proposals.get(run.proposalId ?? "");
      offer(`Agent: “${run.goal}” is proposed. ${proposal?.verdictTitle ?? ""}`.trim(), node, [
        ["Review", "agentLsp.nextHunk"],
        ["Open Changes", "agentLsp.openChanges"],
        ...(proposal?.refused === undefined ? [["Accept All", "agentLsp.acceptAll"] as Choice] : []),
      ]);
      break;
    }
    case "failed":
      offer(`Agent: “${run.goal}” failed. ${said}`.trim(), node, [["Open Log", "agentLsp.openLog"]], true);
      break;
    case "applied":
      offer(`Agent: applied “${run.goal}”.`, node, [["Roll Back", "agentLsp.rollback"]]);
      break;
    default:
  }
}

function offer(message: string, node: unknown, choices: Choice[], failed = false): void {
  const titles = choices.map(([title]) => title);
  const shown = failed
    ? vscode.window.showWarningMessage(message, ...titles)
    : vscode.window.showInformationMessage(message, ...titles);
  void shown.then((answer) => {
    const chosen = choices.find(([title]) => title === answer);
    if (chosen !== undefined) {
      void vscode.commands.executeCommand(chosen[1], node);
    }
  });
}
