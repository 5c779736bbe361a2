// Owns the few messages that come by themselves: a plan waits, a proposal is there, a run failed, a change was applied.
import * as vscode from "vscode";
import type { Board } from "./board";
import type { Proposal, RunRow, RunState } from "./protocol";

type Choice = [title: string, command: string];

/** What was told of a run last: the state that it was in, and what its tests said. */
interface Told {
  state: RunState;
  title: string;
}

export function registerNotices(board: Board): vscode.Disposable {
  const told = new Map<string, Told>();
  const suggested = new Map<string, string>();
  return board.onDidChange(() => {
    for (const proposal of board.proposals.values()) {
      const together = proposal.stale || !board.isOpen(proposal) ? [] : (proposal.suggestion ?? []);
      if (together.join() !== (suggested.get(proposal.proposalId) ?? "")) {
        suggested.set(proposal.proposalId, together.join());
        passTogether(proposal, together.length);
      }
    }
    for (const run of board.runs.values()) {
      const before = told.get(run.runId);
      if (before?.state !== run.state) {
        const proposal = run.proposalId === undefined ? undefined : board.proposals.get(run.proposalId);
        if (run.state === "proposed" && (proposal === undefined || !board.isOpen(proposal))) {
          continue; // its hunks are on their way
        }
        const title = run.state === "proposed" ? (proposal?.verdictTitle ?? "") : (before?.title ?? "");
        told.set(run.runId, { state: run.state, title });
        tell(board, run, before, proposal);
      }
    }
  });
}

function tell(board: Board, run: RunRow, before: Told | undefined, proposal: Proposal | undefined): void {
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
    case "proposed":
      if (before?.state !== "applying" && (before?.state !== "validating" || said !== "")) {
        proposed(run, before, proposal);
      }
      break;
    case "failed":
      offer(`Agent: “${run.goal}” failed. ${said}`.trim(), node, [["Open Log", "agentLsp.openLog"]], true);
      break;
    case "applied":
      offer(`Agent: applied “${run.goal}”.`, node, [["Roll Back", "agentLsp.rollback"]]);
      break;
    default:
  }
}

/** What a part that was refused needs beside it has been found. */
function passTogether(proposal: Proposal, count: number): void {
  if (count > 0) {
    const why = `Agent: that part of “${proposal.summary}” does not pass alone; ${count} changes pass together.`;
    const accept: Choice = [`Accept the ${count} that pass together`, "agentLsp.acceptSuggested"];
    offer(why, { kind: "proposal", proposal }, [accept]);
  }
}

/** A change is on offer. That it was tested again, with the same end, is no news to somebody who types. */
function proposed(run: RunRow, before: Told | undefined, proposal: Proposal | undefined): void {
  const node = { kind: "run", run };
  const title = proposal?.verdictTitle ?? "";
  if (before?.state === "validating" && before.title === title) {
    return;
  }
  if (proposal?.stale === true) {
    const count = proposal.suggestion?.length ?? 0;
    if (count > 0) {
      const what = count === 1 ? "1 change still does" : `${count} changes still do`;
      offer(`Agent: a part of “${run.goal}” no longer fits the text; ${what}.`, node, [
        ["Accept What Fits", "agentLsp.acceptSuggested"],
      ]);
    }
    return;
  }
  offer(`Agent: “${run.goal}” is proposed. ${title}`.trim(), node, [
    ["Review", "agentLsp.nextHunk"],
    ["Open Changes", "agentLsp.openChanges"],
    ...(proposal?.refused === undefined ? [["Accept All", "agentLsp.acceptAll"] as Choice] : []),
  ]);
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
