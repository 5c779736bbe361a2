// Owns the connection to the server: begun once the workspace is trusted, begun again with growing pauses, ended.
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  type ErrorHandler,
  type LanguageClientOptions,
  type StaticFeature,
} from "vscode-languageclient/node";
import type { Board } from "./board";
import type { Calls } from "./calls";
import { takeMessages } from "./messages";
import { lendModels } from "./models";
import { ProgressBars } from "./progress";
import type { Status } from "./protocol";
import type { Replies } from "./replies";
import { findServer, serving, type ServerProgram } from "./server";
import { SECTION, explicitSettings, serverKeys } from "./settings";

export type Health =
  | { state: "untrusted" | "starting" | "stopped" }
  | { state: "missing" | "failed"; message: string }
  | { state: "waiting"; seconds: number }
  | { state: "running"; program: ServerProgram };

const SELECTOR = [{ scheme: "file" }, { scheme: "untitled" }];
const FIRST_PAUSE_S = 0.5;
const LONGEST_PAUSE_S = 30;
const MOST_STARTS = 8;
const CALM_MS = 3 * 60_000;
const TOGETHER_MS = 100;

export class Connection implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private program: ServerProgram | undefined;
  private readonly changes = new vscode.EventEmitter<Health>();
  private deaths: number[] = [];
  private reading: NodeJS.Timeout | undefined;
  private work: Promise<void> = Promise.resolve();
  private readonly bars = new ProgressBars((token) => {
    void this.client?.sendNotification("window/workDoneProgress/cancel", { token });
  });
  readonly onDidChange = this.changes.event;
  health: Health = { state: "stopped" };
  calls!: Calls;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly board: Board,
    private readonly replies: Replies,
  ) {}

  /** The client while it can be talked to. */
  get current(): LanguageClient | undefined {
    return this.health.state === "running" && this.client?.isRunning() === true ? this.client : undefined;
  }

  /** Whether a server that ended is begun again without being asked for. */
  get comesBack(): boolean {
    return this.health.state === "waiting" || this.health.state === "starting";
  }

  /** The program that is used, for the commands beside the language server. */
  get serverProgram(): ServerProgram | undefined {
    return this.program;
  }

  /** Begins, or begins again; what was asked for at once is done one after the other. */
  restart(): Promise<void> {
    this.deaths = [];
    this.work = this.work.then(() => this.startAnew()).catch((error: unknown) => this.log.error(String(error)));
    return this.work;
  }

  stop(): Promise<void> {
    this.work = this.work.then(() => this.end());
    return this.work;
  }

  /** Tells the server that settings changed; it asks for them. */
  settingsChanged(): void {
    if (this.client?.isRunning() === true) {
      void this.client.sendNotification("workspace/didChangeConfiguration", { settings: null });
    }
  }

  dispose(): Promise<void> {
    return this.stop().finally(() => this.changes.dispose());
  }

  private async startAnew(): Promise<void> {
    await this.end();
    if (!vscode.workspace.isTrusted) {
      this.tell({ state: "untrusted" });
      return;
    }
    this.tell({ state: "starting" });
    let program: ServerProgram | undefined;
    try {
      program = await findServer(this.context);
    } catch (error) {
      this.tell({ state: "missing", message: error instanceof Error ? error.message : String(error) });
      return;
    }
    this.program = program;
    if (program === undefined) {
      this.tell({ state: "missing", message: "The server agent-lsp was not found." });
      return;
    }
    await this.begin(program);
  }

  private async begin(program: ServerProgram): Promise<void> {
    const args = serving(program);
    this.log.info(`starting ${[program.command, ...args].join(" ")} (${program.origin})`);
    const run = { command: program.command, args };
    const client = new LanguageClient(SECTION, "Agent LSP", { run, debug: run }, this.options());
    this.client = client;
    client.registerFeature(capability());
    this.listen(client);
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) {
        this.board.clear();
        this.tell({ state: "running", program });
      }
    });
    try {
      await client.start();
    } catch (error) {
      this.tell({ state: "failed", message: error instanceof Error ? error.message : String(error) });
    }
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    clearTimeout(this.reading);
    this.bars.endAll();
    if (client !== undefined) {
      try {
        await client.dispose();
      } catch (error) {
        this.log.info(`the server did not end in order: ${String(error)}`);
      }
      this.board.clear();
    }
    this.tell({ state: "stopped" });
  }

  private tell(health: Health): void {
    this.health = health;
    this.changes.fire(health);
  }

  private listen(client: LanguageClient): void {
    const { board } = this;
    client.onNotification("agent/plan", (plan) => board.takePlan(plan));
    client.onNotification("agent/progress", (message) => {
      board.takeProgress(message);
      this.readRuns(client);
    });
    client.onNotification("agent/proposal", (proposal) => {
      board.takeProposal(proposal);
      if (!board.runs.has(proposal.runId)) {
        this.readRuns(client); // it comes from before this server
      }
    });
    client.onNotification("agent/verdict", (verdict) => board.takeVerdict(verdict));
    client.onNotification("agent/said", (said) => this.replies.take(said));
    client.onNotification("agent/blocked", (asked) => {
      board.takeQuestion(asked);
      void vscode.commands.executeCommand("agentLsp.answer", asked);
    });
    takeMessages(client);
    lendModels(client);
  }

  /** Asks for the rows of all runs, once for whatever happened at once. */
  private readRuns(client: LanguageClient): void {
    clearTimeout(this.reading);
    this.reading = setTimeout(() => {
      if (client.isRunning()) {
        client.sendRequest<Status>("agent/status", {}).then(
          ({ runs }) => this.board.takeRuns(runs),
          (error: unknown) => this.log.info(`no status: ${String(error)}`),
        );
      }
    }, TOGETHER_MS);
  }

  private options(): LanguageClientOptions {
    const keys = serverKeys(this.context.extension);
    return {
      documentSelector: SELECTOR,
      diagnosticCollectionName: SECTION,
      outputChannel: this.log,
      // Else every request that a dying server leaves is a message with a stack trace; what matters is told by us.
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      errorHandler: this.errorHandler(),
      initializationFailedHandler: () => false,
      markdown: { isTrusted: false },
      middleware: {
        executeCommand: (command, args) => this.calls.fromServer(command, args),
        handleDiagnostics: (uri, diagnostics, next) => {
          next(uri, diagnostics);
          this.board.takeDiagnostics(uri, diagnostics);
        },
        handleWorkDoneProgress: (token, value) => this.bars.take(token, value),
        workspace: {
          configuration: ({ items }) =>
            items.map(({ section, scopeUri }) =>
              section === SECTION
                ? explicitSettings(keys, scopeUri === undefined ? undefined : vscode.Uri.parse(scopeUri))
                : null,
            ),
        },
      },
    };
  }

  /** A server that dies is begun again, each time after a longer pause; one that keeps dying is left alone. */
  private errorHandler(): ErrorHandler {
    return {
      error: () => ({ action: ErrorAction.Continue }),
      closed: async () => {
        const now = Date.now();
        this.deaths = [...this.deaths.filter((at) => now - at < CALM_MS), now];
        this.board.clear();
        this.bars.endAll();
        if (this.deaths.length >= MOST_STARTS) {
          const message = `The server ended ${this.deaths.length} times within three minutes.`;
          this.tell({ state: "failed", message });
          return { action: CloseAction.DoNotRestart, message: `Agent: ${message}` };
        }
        const seconds = Math.min(FIRST_PAUSE_S * 2 ** (this.deaths.length - 1), LONGEST_PAUSE_S);
        this.tell({ state: "waiting", seconds });
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        return { action: CloseAction.Restart, handled: true };
      },
    };
  }
}

/** Says that this client knows our notifications and lends language models. */
function capability(): StaticFeature {
  return {
    fillClientCapabilities(capabilities) {
      const experimental = (capabilities.experimental ?? {}) as Record<string, unknown>;
      capabilities.experimental = { ...experimental, agentLsp: { version: "1", models: true, shortLenses: true } };
    },
    initialize() {
      // nothing to do: the server offers the same to every client
    },
    getState: () => ({ kind: "static" }),
    clear() {
      // nothing is kept
    },
  };
}
