// Owns what the server told of runs, plans, proposals and where their hunks are now. It computes nothing of its own.
import * as vscode from "vscode";
import type {
  BlockedMessage,
  ChangedFile,
  Hunk,
  PlanMessage,
  ProgressMessage,
  Proposal,
  RunRow,
  VerdictMessage,
} from "./protocol";

export const SOURCE = "agent-lsp";

/** A hunk with all that is around it. */
export interface PlacedHunk {
  proposal: Proposal;
  file: ChangedFile;
  hunk: Hunk;
  uri: vscode.Uri;
  range: vscode.Range;
  /** Whether its tests were of another text than the present one. */
  stale: boolean;
}

/** The same change has the same hunk in every proposal of it. */
export function keyOf(proposalId: string, hunkId: string): string {
  return `${proposalId} ${hunkId}`;
}

type Place = Pick<PlacedHunk, "range" | "stale">;

export class Board implements vscode.Disposable {
  readonly runs = new Map<string, RunRow>();
  readonly plans = new Map<string, PlanMessage>();
  readonly proposals = new Map<string, Proposal>();
  readonly progress = new Map<string, ProgressMessage>();
  readonly questions = new Map<string, BlockedMessage>();
  private readonly places = new Map<string, Map<string, Place>>();
  private readonly changes = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changes.event;

  dispose(): void {
    this.changes.dispose();
  }

  /** A server that starts knows nothing of what was. */
  clear(): void {
    this.runs.clear();
    this.plans.clear();
    this.proposals.clear();
    this.progress.clear();
    this.questions.clear();
    this.places.clear();
    this.changes.fire();
  }

  takeRuns(rows: readonly RunRow[]): void {
    for (const row of rows) {
      this.runs.set(row.runId, row);
    }
    this.changes.fire();
  }

  takePlan(plan: PlanMessage): void {
    this.plans.set(plan.runId, plan);
    this.changes.fire();
  }

  takeProgress(message: ProgressMessage): void {
    this.progress.set(message.runId, message);
    if (message.state !== "blocked") {
      this.questions.delete(message.runId);
    }
    const row = this.runs.get(message.runId);
    if (row !== undefined) {
      this.runs.set(message.runId, { ...row, state: message.state, step: message.step });
    }
    this.changes.fire();
  }

  /** What a run asks. It comes after the news that the run is blocked, and is over with it. */
  takeQuestion(asked: BlockedMessage): void {
    this.questions.set(asked.runId, asked);
    this.changes.fire();
  }

  takeProposal(proposal: Proposal): void {
    this.proposals.set(proposal.proposalId, proposal);
    this.changes.fire();
  }

  takeVerdict({ proposalId, verdict, hunks }: VerdictMessage): void {
    const known = this.proposals.get(proposalId);
    if (known !== undefined && hunks === undefined) {
      this.proposals.set(proposalId, { ...known, verdict });
      this.changes.fire();
    }
  }

  /** The server marks each open hunk with a diagnostic of its id: that is where it is now, and that it is open. */
  takeDiagnostics(uri: vscode.Uri, diagnostics: readonly vscode.Diagnostic[]): void {
    const places = new Map<string, Place>();
    for (const diagnostic of diagnostics) {
      const { source, code, range } = diagnostic;
      const { data } = diagnostic as { data?: { proposalId?: string; stale?: boolean } };
      if (source === SOURCE && typeof code === "string" && data?.proposalId !== undefined) {
        places.set(keyOf(data.proposalId, code), { range, stale: data.stale === true });
      }
    }
    if (places.size > 0) {
      this.places.set(uri.toString(), places);
      this.changes.fire();
    } else if (this.places.delete(uri.toString())) {
      this.changes.fire();
    }
  }

  /** Every hunk that is open, by file and line. */
  hunks(): PlacedHunk[] {
    const found: PlacedHunk[] = [];
    for (const proposal of this.proposals.values()) {
      for (const file of proposal.files) {
        for (const hunk of file.hunks) {
          const placed = this.placeOf(proposal, hunk);
          if (placed !== undefined) {
            found.push({ proposal, file, hunk, ...placed });
          }
        }
      }
    }
    const at = (placed: PlacedHunk): string => placed.uri.toString();
    return found.sort((a, b) => at(a).localeCompare(at(b)) || a.range.start.compareTo(b.range.start));
  }

  /** The hunks of a proposal, those at the place given alone where there is one. */
  hunksAt(uri: vscode.Uri, line: number): PlacedHunk[] {
    const here = this.hunks().filter((placed) => placed.uri.toString() === uri.toString());
    return here.filter(({ range }) => range.start.line <= line && line <= range.end.line);
  }

  /** Whether the text is as this hunk needs it, in a proposal of which another one is in conflict with the text. */
  stillFits({ proposal, hunk }: PlacedHunk): boolean {
    return proposal.stale && proposal.suggestion?.includes(hunk.id) === true;
  }

  isOpen(proposal: Proposal): boolean {
    return proposal.files.some((file) => file.hunks.some((hunk) => this.placeOf(proposal, hunk) !== undefined));
  }

  private placeOf({ proposalId }: Proposal, { id }: Hunk): (Place & { uri: vscode.Uri }) | undefined {
    for (const [uri, places] of this.places) {
      const place = places.get(keyOf(proposalId, id));
      if (place !== undefined) {
        return { uri: vscode.Uri.parse(uri), ...place };
      }
    }
    return undefined;
  }
}
