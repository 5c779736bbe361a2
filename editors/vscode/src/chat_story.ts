// Owns how a run is told in the chat: its progress, and what waits for the person, with the buttons for it.
import * as vscode from "vscode";
import type { Board } from "./board";
import { isRefused, type Calls } from "./calls";
import type { Connection } from "./client";
import type { ProgressMessage, Proposal, RunRow, RunState } from "./protocol";

/** What of the connection is looked at. */
export type Server = Pick<Connection, "health" | "onDidChange">;

type Button = [title: string, command: string, argument?: unknown];

const RESTS: readonly RunState[] = [
  "awaiting_approval",
  "proposed",
  "applied",
  "discarded",
  "paused",
  "blocked",
  "cancelled",
  "failed",
];
const MOST_REASONS = 3;
const MESSAGE_EVERY_MS = 5000;

export class ChatStory {
  constructor(
    private readonly board: Board,
    private readonly calls: Calls,
    private readonly server: Server,
    private readonly stream: vscode.ChatResponseStream,
    private readonly token: vscode.CancellationToken,
  ) {}

  /** Whether there is a server to talk to; why not is told. */
  serverIsThere(): boolean {
    const { health } = this.server;
    switch (health.state) {
      case "running":
        return true;
      case "untrusted":
        this.tell("This workspace is not trusted, so no run starts in it.");
        this.buttons(["Manage Trust", "workbench.trust.manage"]);
        return false;
      case "missing":
        this.tell(health.message);
        this.buttons(["Install Server…", "agentLsp.install"]);
        return false;
      default:
        this.tell(health.state === "failed" ? health.message : "The server is not running.");
        this.buttons(["Restart Server", "agentLsp.restart"]);
        return false;
    }
  }

  /** What the server told of a run last. */
  latest(runId: string): ProgressMessage | undefined {
    return this.board.progress.get(runId);
  }

  /** Tells the progress until the run waits for somebody or is over; false where the person or the server left. */
  follow(runId: string, after: ProgressMessage | undefined): Promise<boolean> {
    const tell = this.teller();
    return this.until<boolean>(
      () => {
        const now = this.latest(runId);
        if (now === undefined || now === after) {
          return undefined;
        }
        if (!RESTS.includes(now.state)) {
          tell(now);
          return undefined;
        }
        const itsQuestionComes = now.state === "blocked" && !this.board.questions.has(runId);
        return itsQuestionComes ? undefined : true;
      },
      () => false,
    );
  }

  /** A promise's value, or undefined when the person stops waiting or the server ends. */
  untilStopped<T>(promise: Promise<T>): Promise<T | undefined> {
    return this.until<T | undefined>(() => undefined, () => undefined, promise);
  }

  /** How a run stands, with what can be done about it. */
  async rest(runId: string): Promise<RunRow | undefined> {
    const status = await this.calls.ask("agent.status", { runId });
    const run = isRefused(status) ? undefined : status.runs[0];
    if (run === undefined) {
      this.tell("The server no longer knows this run.");
      return undefined;
    }
    await this.waiting(run);
    return run;
  }

  list(runs: readonly RunRow[]): void {
    if (runs.length === 0) {
      this.tell("There was no run yet.");
    }
    for (const run of [...runs].reverse()) {
      const step = run.steps > 1 ? `, step ${run.step} of ${run.steps}` : "";
      const verdict = run.verdict === undefined ? "" : `, ${run.verdict}`;
      this.stream.markdown("- ");
      this.stream.markdown(plain(`${run.goal}: ${words(run.state)}${step}${verdict}`));
      this.stream.markdown("\n");
    }
  }

  /** The steps of a plan; false where there is none. */
  plan(runId: string): boolean {
    const plan = this.board.plans.get(runId);
    plan?.steps.forEach(({ title, state }, at) => {
      this.stream.markdown(`${at + 1}. `);
      this.stream.markdown(plain(state === "pending" ? title : `${title} (${state})`));
      this.stream.markdown("\n");
    });
    return plan !== undefined;
  }

  private async waiting(run: RunRow): Promise<void> {
    const node = { kind: "run", run };
    const said = run.message === undefined || run.message === "" ? "" : ` ${run.message}`;
    switch (run.state) {
      case "proposed":
        await this.proposed(run);
        break;
      case "awaiting_approval":
        this.plan(run.runId);
        this.tell("The plan waits for you. Approve it, or say here what should be different.");
        this.buttons(
          ["Approve", "agentLsp.approvePlan", node],
          ["Edit", "agentLsp.editPlan", node],
          ["Reject", "agentLsp.rejectPlan", node],
        );
        break;
      case "blocked":
        this.question(run, said);
        break;
      case "paused":
        this.tell("The run is paused.");
        this.buttons(["Resume", "agentLsp.resume", node], ["Cancel", "agentLsp.cancel", node]);
        break;
      case "applied":
        this.tell("Applied.");
        this.buttons(["Roll Back", "agentLsp.rollback", node]);
        break;
      case "failed":
        this.tell(`The run failed.${said}`);
        if (run.proposalId !== undefined) {
          this.buttons(["Show the Changes", "agentLsp.openChanges", node]);
        }
        this.buttons(["Open Log", "agentLsp.openLog"]);
        break;
      default:
        this.tell(`The run: ${words(run.state)}.${said}`);
    }
  }

  private question(run: RunRow, said: string): void {
    const asked = this.board.questions.get(run.runId);
    this.tell(asked?.question ?? `The run asks something.${said}`);
    this.tell("Take one of the buttons, or answer here.");
    this.buttons(
      ...(asked?.options ?? []).map((answer): Button => [answer, "agentLsp.answer", { runId: run.runId, answer }]),
      ["Cancel", "agentLsp.cancel", { kind: "run", run }],
    );
  }

  private async proposed(run: RunRow): Promise<void> {
    const proposal = await this.proposal(run);
    if (proposal === undefined) {
      this.tell("A change is on offer.");
      return;
    }
    const node = { kind: "run", run };
    this.tell(proposal.summary);
    for (const { uri } of proposal.files) {
      this.stream.reference(vscode.Uri.parse(uri));
    }
    const reasons = proposal.verdict.reasons.slice(0, MOST_REASONS).join(" ");
    this.tell(`${proposal.verdictTitle ?? proposal.verdict.decision}. ${proposal.refused ?? reasons}`.trim());
    const accept: Button[] = proposal.refused === undefined ? [["Accept All", "agentLsp.acceptAll", node]] : [];
    const discard: Button[] = [
      ["Discard", "agentLsp.discardAll", node],
      ["Discard and Try Again…", "agentLsp.discardWithFeedback", node],
    ];
    this.buttons(["Review", "agentLsp.openChanges", node], ...accept, ...discard);
  }

  /** With the board's copy, for the buttons work on that. */
  private async proposal({ proposalId }: RunRow): Promise<Proposal | undefined> {
    if (proposalId === undefined) {
      return undefined;
    }
    const found = await this.calls.ask("agent.proposal", { proposalId });
    return isRefused(found) ? this.board.proposals.get(proposalId) : found;
  }

  /** Tells each state and each step at once, and what is said in between now and then. */
  private teller(): (now: ProgressMessage) => void {
    let at = "";
    let line = "";
    let toldMs = 0;
    return (now) => {
      const place = `${now.state} ${now.step}`;
      const said = this.progressLine(now);
      if (place !== at || (said !== line && Date.now() - toldMs >= MESSAGE_EVERY_MS)) {
        [at, line, toldMs] = [place, said, Date.now()];
        this.stream.progress(said);
      }
    };
  }

  private progressLine({ runId, state, step, message }: ProgressMessage): string {
    const steps = this.board.plans.get(runId)?.steps ?? [];
    const title = steps.length > 1 ? steps[step - 1]?.title : undefined;
    const where = title === undefined ? "" : `step ${step} of ${steps.length}, ${title}`;
    return [words(state), where, message].filter((part) => part !== "").join(": ");
  }

  /** What `look` finds in the board, or what comes; `stopped` where the person or the server leaves first. */
  private until<T>(look: () => T | undefined, stopped: () => T, coming?: Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      const watching: vscode.Disposable[] = [];
      const end = (value: T): void => {
        watching.forEach((one) => one.dispose());
        resolve(value);
      };
      const check = (): void => {
        const found = look();
        if (found !== undefined) {
          end(found);
        }
      };
      watching.push(
        this.board.onDidChange(check),
        this.token.onCancellationRequested(() => end(stopped())),
        this.server.onDidChange(({ state }) => {
          if (state !== "running") {
            this.tell("The server ended. What was at work goes on when it is back.");
            end(stopped());
          }
        }),
      );
      void coming?.then(end);
      if (this.token.isCancellationRequested) {
        end(stopped());
      } else {
        check();
      }
    });
  }

  private tell(text: string): void {
    this.stream.markdown(plain(text));
    this.stream.markdown("\n\n");
  }

  /** At the end of what is told: the editor folds what stands before a later text, buttons too. */
  private buttons(...rows: Button[]): void {
    for (const [title, command, argument] of rows) {
      this.stream.button({ title, command, ...(argument === undefined ? {} : { arguments: [argument] }) });
    }
  }
}

/** Text that is shown as it stands: names of tests and goals are no Markdown. */
function plain(text: string): vscode.MarkdownString {
  return new vscode.MarkdownString().appendText(text);
}

function words(state: RunState): string {
  return state.replace("_", " ");
}
