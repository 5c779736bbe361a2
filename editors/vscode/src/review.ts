// Owns the commands of a review: the diff of many files, from hunk to hunk, accept, discard.
import * as vscode from "vscode";
import type { Board, PlacedHunk } from "./board";
import type { Calls } from "./calls";
import { register } from "./commands";
import type { Review } from "./comments";
import type { Proposal } from "./protocol";
import { emptyFor, pathIn, registerSides, sides } from "./sides";
import type { Node } from "./tree";

type Meant = { proposalId: string; hunks?: string[] };
type Known = Node | undefined;

export class ReviewCommands {
  private selected: readonly Node[] = [];

  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
    private readonly review: Review,
  ) {}

  register(): vscode.Disposable {
    const on = register<[at?: unknown, selected?: Known[]]>;
    return vscode.Disposable.from(
      on("openChanges", (node) => this.openChanges(node as Node | undefined)),
      on("nextHunk", () => this.step(1)),
      on("previousHunk", () => this.step(-1)),
      on("goToHunk", (id) => this.goTo(this.board.hunks().find(({ hunk }) => hunk.id === id))),
      on("acceptHunk", (at, selected) => this.apply(this.hunksMeant(at, selected))),
      on("acceptFile", (at) => this.apply(this.fileMeant(at))),
      on("acceptAll", (at) => this.applyAll(at)),
      on("acceptSuggested", (at) => this.applySuggested(at)),
      on("discardHunk", (at, selected) => this.discard(this.hunksMeant(at, selected))),
      on("discardFile", (at) => this.discard(this.fileMeant(at))),
      on("discardAll", (at) => this.discardAll(at)),
      on("discardWithFeedback", (at) => this.discardWithFeedback(at)),
      on("revalidate", (at) => this.revalidate(at)),
      registerSides(),
    );
  }

  /** The native diff of all files of a proposal; what the right side shows comes from the server. */
  async openById(proposalId: string, path: string | undefined): Promise<void> {
    const proposal = this.board.proposals.get(proposalId);
    const files = proposal?.files.filter((file) => path === undefined || pathIn(file) === path);
    if (proposal === undefined || files === undefined || files.length === 0) {
      await this.calls.send("agent.show", { proposalId, ...(path === undefined ? {} : { path }) });
      return;
    }
    this.review.collapse();
    const title = `Agent: ${proposal.summary} (${proposal.verdictTitle ?? proposal.verdict.decision})`;
    const [only] = files;
    if (files.length === 1 && only !== undefined) {
      const [label, left = emptyFor(label), right = emptyFor(label)] = sides(proposal, only);
      await vscode.commands.executeCommand("vscode.diff", left, right, title);
    } else {
      await vscode.commands.executeCommand("vscode.changes", title, files.map((file) => sides(proposal, file)));
    }
  }

  private async openChanges(node: Node | undefined): Promise<void> {
    const proposal = await this.proposalMeant(node);
    if (proposal !== undefined) {
      const path = node?.kind === "file" || node?.kind === "hunk" ? pathIn(node.file) : undefined;
      await this.openById(proposal.proposalId, path);
    }
  }

  private async step(by: 1 | -1): Promise<void> {
    const hunks = this.board.hunks();
    if (hunks.length === 0) {
      void vscode.window.showInformationMessage("Agent: there is no proposed change.");
      return;
    }
    const editor = vscode.window.activeTextEditor;
    const uri = editor?.document.uri.toString();
    const line = editor?.selection.active.line ?? -1;
    const isAfter = ({ uri: there, range }: PlacedHunk): boolean =>
      there.toString() === uri ? range.start.line > line : uri !== undefined && there.toString() > uri;
    const isBefore = ({ uri: there, range }: PlacedHunk): boolean =>
      there.toString() === uri ? range.start.line < line : uri !== undefined && there.toString() < uri;
    const after = hunks.find(isAfter) ?? hunks[0];
    const before = hunks.filter(isBefore).pop() ?? hunks[hunks.length - 1];
    await this.goTo(by === 1 ? after : before);
  }

  private async goTo(placed: PlacedHunk | undefined): Promise<void> {
    if (placed === undefined) {
      void vscode.window.showInformationMessage("Agent: this change is no longer on offer.");
      return;
    }
    const editor = await vscode.window.showTextDocument(placed.uri, { preview: false });
    const { start } = placed.range;
    editor.selection = new vscode.Selection(start, start);
    editor.revealRange(placed.range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    this.review.expand(placed);
  }

  private async apply(meant: Meant | undefined): Promise<void> {
    if (meant !== undefined) {
      await this.calls.send("agent.apply", meant);
    }
  }

  private async applyAll(at: unknown): Promise<void> {
    const proposal = await this.proposalMeant(at as Node | undefined);
    await this.apply(proposal && { proposalId: proposal.proposalId });
  }

  /** What was found to pass together, or still fits while your edit is in the way of the rest. */
  private async applySuggested(at: unknown): Promise<void> {
    const proposal = await this.proposalMeant(at as Node | undefined);
    if (proposal?.suggestion !== undefined) {
      await this.apply({ proposalId: proposal.proposalId, hunks: proposal.suggestion });
    } else if (proposal !== undefined) {
      const when = "that comes where a part was refused or no longer fits.";
      void vscode.window.showInformationMessage(`Agent: nothing is suggested: ${when}`);
    }
  }

  private async discard(meant: Meant | undefined): Promise<void> {
    if (meant !== undefined) {
      await this.calls.send("agent.discard", meant);
    }
  }

  private async discardAll(at: unknown): Promise<void> {
    const proposal = await this.proposalMeant(at as Node | undefined);
    await this.discard(proposal && { proposalId: proposal.proposalId });
  }

  private async discardWithFeedback(at: unknown): Promise<void> {
    const reply = at as vscode.CommentReply | undefined;
    const meant = this.hunkMeant(reply?.thread ?? at, true) ?? (await this.wholeMeant(at));
    const said = reply?.text ?? (meant && (await vscode.window.showInputBox({
      title: "Agent: discard with feedback",
      prompt: "What should be different? The agent tries again with it.",
      ignoreFocusOut: true,
    })));
    if (meant !== undefined && said !== undefined && said.trim() !== "") {
      await this.calls.send("agent.discard", { ...meant, feedback: said.trim() });
    }
  }

  private async revalidate(at: unknown): Promise<void> {
    const proposal = await this.proposalMeant(at as Node | undefined);
    if (proposal !== undefined) {
      await this.calls.send("agent.revalidate", { proposalId: proposal.proposalId });
    }
  }

  /** What is selected in the tree, as it was when it was selected. */
  select(nodes: readonly Node[]): void {
    this.selected = nodes;
  }

  /** The hunks that are selected in the tree together with the one that was clicked, else one. */
  private hunksMeant(at: unknown, selected: readonly Known[] | undefined): Meant | undefined {
    const meant = this.hunkMeant(at);
    // While the tree is drawn anew the editor passes `undefined` for rows that it still shows as selected.
    const nodes = selected?.includes(undefined) === true ? this.selected : (selected ?? []);
    const more = nodes.flatMap((node) =>
      node?.kind === "hunk" && node.proposal.proposalId === meant?.proposalId ? [node.hunk.id] : [],
    );
    return meant && { ...meant, hunks: [...new Set([...(meant.hunks ?? []), ...more])] };
  }

  /** One hunk: a thread's, a tree item's, or that at the cursor. */
  private hunkMeant(at: unknown, quiet = false): Meant | undefined {
    const node = at as Node | undefined;
    if (node !== undefined && node.kind === "hunk") {
      return { proposalId: node.proposal.proposalId, hunks: [node.hunk.id] };
    }
    const found = this.placedHunk(at);
    if (found === undefined) {
      if (!quiet) {
        tellNoHunk();
      }
      return undefined;
    }
    return { proposalId: found.proposal.proposalId, hunks: [found.hunk.id] };
  }

  /** The hunk of a thread, of a tree item, or at the cursor, where it now is. */
  placedHunk(at: unknown): PlacedHunk | undefined {
    const node = at as Node | undefined;
    if (node !== undefined && node.kind === "hunk") {
      return this.board.hunks().find(({ hunk }) => hunk.id === node.hunk.id);
    }
    const thread = isThread(at) ? this.review.hunkOf(at) : undefined;
    const editor = vscode.window.activeTextEditor;
    return thread ?? (editor && this.board.hunksAt(editor.document.uri, editor.selection.active.line)[0]);
  }

  /** All hunks of one file: a tree item's, or those of the active editor. */
  private fileMeant(at: unknown): Meant | undefined {
    const node = at as Node | undefined;
    if (node !== undefined && node.kind === "file") {
      return { proposalId: node.proposal.proposalId, hunks: node.file.hunks.map(({ id }) => id) };
    }
    const uri = vscode.window.activeTextEditor?.document.uri.toString();
    const found = this.board.hunks().find((placed) => placed.uri.toString() === uri);
    if (found === undefined) {
      void vscode.window.showInformationMessage("Agent: this file has no proposed change.");
      return undefined;
    }
    return { proposalId: found.proposal.proposalId, hunks: found.file.hunks.map(({ id }) => id) };
  }

  private async wholeMeant(at: unknown): Promise<Meant | undefined> {
    const proposal = await this.proposalMeant(at as Node | undefined);
    return proposal && { proposalId: proposal.proposalId };
  }

  private async proposalMeant(node: Node | undefined): Promise<Proposal | undefined> {
    if (node?.kind === "proposal" || node?.kind === "file" || node?.kind === "hunk") {
      return this.board.proposals.get(node.proposal.proposalId) ?? node.proposal;
    }
    if (node?.kind === "run" && node.run.proposalId !== undefined) {
      return this.board.proposals.get(node.run.proposalId);
    }
    const open = [...this.board.proposals.values()].filter((proposal) => this.board.isOpen(proposal));
    if (open.length === 0) {
      void vscode.window.showInformationMessage("Agent: there is no proposed change.");
    }
    return pick(open, ({ summary }) => summary, "Which proposal?");
  }
}

/** The only one, or the one that the person picks. */
export async function pick<T>(rows: readonly T[], label: (row: T) => string, title: string): Promise<T | undefined> {
  if (rows.length < 2) {
    return rows[0];
  }
  const chosen = await vscode.window.showQuickPick(
    rows.map((row) => ({ label: label(row), row })),
    { title },
  );
  return chosen?.row;
}

/** Says how to get to a change. */
export function tellNoHunk(): void {
  void vscode.window.showInformationMessage(
    "Agent: put the cursor on a proposed change (Agent: Next Change goes there).",
  );
}

function isThread(value: unknown): value is vscode.CommentThread {
  return typeof value === "object" && value !== null && "comments" in value && "collapsibleState" in value;
}
