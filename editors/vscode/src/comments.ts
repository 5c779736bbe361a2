// Owns the inline review: a thread at each proposed hunk with its diff, its verdict, the tests and the reasons.
import * as vscode from "vscode";
import { keyOf, type Board, type PlacedHunk } from "./board";
import type { ChangedFile, Hunk, Proposal, Verdict } from "./protocol";

const MOST_TESTS = 8;
const FITS = "still fits, tested first";

export class Review implements vscode.Disposable {
  private readonly controller = vscode.comments.createCommentController("agentLsp.review", "Agent proposals");
  private readonly threads = new Map<string, { thread: vscode.CommentThread; shown: string }>();
  private readonly listening: vscode.Disposable;

  constructor(private readonly board: Board) {
    this.controller.options = {
      prompt: "Say what should be different",
      placeHolder: "Say what should be different; the agent tries again",
    };
    this.listening = board.onDidChange(() => this.refresh());
  }

  dispose(): void {
    this.listening.dispose();
    this.controller.dispose();
  }

  /** The hunk that a thread is about. */
  hunkOf(thread: vscode.CommentThread): PlacedHunk | undefined {
    for (const [id, row] of this.threads) {
      if (row.thread === thread) {
        return this.board.hunks().find(({ proposal, hunk }) => keyOf(proposal.proposalId, hunk.id) === id);
      }
    }
    return undefined;
  }

  /** Opens one thread and folds the others. */
  expand(placed?: PlacedHunk): void {
    const meant = placed && keyOf(placed.proposal.proposalId, placed.hunk.id);
    for (const [id, { thread }] of this.threads) {
      thread.collapsibleState =
        id === meant ? vscode.CommentThreadCollapsibleState.Expanded : vscode.CommentThreadCollapsibleState.Collapsed;
    }
  }

  /** Folds all, so that a diff has room. */
  collapse(): void {
    this.expand();
  }

  private refresh(): void {
    const open = new Map(
      this.board.hunks().map((placed) => [keyOf(placed.proposal.proposalId, placed.hunk.id), placed]),
    );
    for (const [id, { thread }] of this.threads) {
      if (!open.has(id)) {
        thread.dispose();
        this.threads.delete(id);
      }
    }
    for (const [id, placed] of open) {
      this.show(id, placed);
    }
  }

  private show(id: string, placed: PlacedHunk): void {
    const { uri, range, proposal } = placed;
    const fits = this.board.stillFits(placed);
    const text = described(placed, fits);
    const place = new vscode.Range(range.end.line, 0, range.end.line, 0);
    const title = fits ? FITS : (proposal.verdictTitle ?? proposal.verdict.decision);
    const acceptable = fits || proposal.refused === undefined;
    const shown = JSON.stringify([uri.toString(), place, title, text, acceptable]);
    const known = this.threads.get(id);
    if (known?.shown === shown) {
      return;
    }
    const comment: vscode.Comment = {
      author: { name: "Agent" },
      body: markdown(text),
      mode: vscode.CommentMode.Preview,
      contextValue: "hunk",
    };
    const thread = known?.thread ?? this.controller.createCommentThread(uri, place, []);
    if (known === undefined) {
      thread.collapsibleState = vscode.CommentThreadCollapsibleState.Collapsed;
      thread.canReply = true;
    }
    thread.range = place;
    thread.label = title;
    thread.contextValue = acceptable ? "hunk.acceptable" : "hunk.refused";
    thread.comments = [comment];
    this.threads.set(id, { thread, shown });
  }
}

function described({ hunk, file, proposal }: PlacedHunk, fits: boolean): string {
  const lines = [
    ...marked(hunk.oldText, "-"),
    ...marked(hunk.newText, "+"),
  ];
  const fence = "`".repeat(Math.max(3, longestTicks(lines.join("\n")) + 1));
  const parts = [[`${fence}diff`, ...lines, fence].join("\n")];
  parts.push(escaped(proposal.summary));
  if (proposal.refused !== undefined && !fits) {
    parts.push(`**${escaped(proposal.refused)}**`);
  }
  parts.push(ofHunk(file, hunk), evidence(proposal));
  return parts.filter((part) => part !== "").join("\n\n");
}

/** What is known of this change alone: the steps that made it, the tests that ran its lines, lines that none ran. */
function ofHunk({ steps = [] }: ChangedFile, { tests: ran = [], testCount = ran.length, unrun = [] }: Hunk): string {
  const rows = [];
  if (steps.length > 0) {
    rows.push(`- Step${steps.length > 1 ? "s" : ""}: ${steps.map(escaped).join("; ")}`);
  }
  rows.push(...tests("Its lines were run by", ran, testCount));
  if (unrun.length > 0) {
    const named = unrun.slice(0, MOST_TESTS).map((line) => line + 1).join(", ");
    const more = unrun.length > MOST_TESTS ? " …" : "";
    rows.push(`- No passing test ran line${unrun.length > 1 ? "s" : ""} ${named}${more} of the changed file`);
  }
  return rows.join("\n");
}

function evidence({ verdict }: Proposal): string {
  const rows = verdict.reasons.map((reason) => `- ${escaped(reason)}`);
  rows.push(...tests("Fixed", verdict.fixed), ...tests("Broken", verdict.broken));
  rows.push(...tests("Still failing", verdict.stillFailing), ...tests("Weakened", verdict.removedOrWeakened));
  const ran = ranWords(verdict);
  return [...(ran === "" ? [] : [`- ${ran}`]), ...rows].join("\n");
}

function ranWords({ ran, collected, changedLines, changedLinesRun, durationS }: Verdict): string {
  if (ran === 0) {
    return "";
  }
  const lines = `${changedLinesRun} of ${changedLines} changed lines were run`;
  return `${ran} of ${collected} tests ran in ${durationS.toFixed(1)} s; ${lines}`;
}

function tests(title: string, ids: readonly string[], count = ids.length): string[] {
  if (ids.length === 0) {
    return [];
  }
  const more = count > MOST_TESTS ? ` and ${count - MOST_TESTS} more` : "";
  return [`- ${title}: ${ids.slice(0, MOST_TESTS).map((id) => `\`${id.replace(/`/g, "'")}\``).join(", ")}${more}`];
}

function marked(text: string, mark: string): string[] {
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  return text === "" ? [] : lines.map((line) => `${mark}${line}`);
}

function longestTicks(text: string): number {
  return Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
}

/** What a model wrote is text and nothing else. */
function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>&~]/g, "\\$&");
}

function markdown(text: string): vscode.MarkdownString {
  const body = new vscode.MarkdownString(text);
  body.isTrusted = false;
  body.supportHtml = false;
  return body;
}
