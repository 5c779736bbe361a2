// Owns `@agent` in the editor's chat: a prompt starts a run, or is said to the one under way.
import * as vscode from "vscode";
import type { Board } from "./board";
import { isRefused, type Calls } from "./calls";
import { ChatStory, type Server } from "./chat_story";
import type { Failure, Position, RunArgument, RunRow, RunState } from "./protocol";
import type { Replies } from "./replies";
import { AT_WORK, placeOfRun } from "./tasks";

export const PARTICIPANT = "agentLsp.agent";
const UNDER_WAY: readonly RunState[] = [...AT_WORK, "awaiting_approval", "paused", "blocked"];
const NO_GOAL = "Say what should be true afterwards, such as `@agent make the failing tests pass`.";

/** What is kept with an answer, for the next prompt and for what may follow. */
interface Kept {
  runId?: string;
  goal?: string;
  state?: RunState;
}

/** Registers it where the editor has a chat. */
export function registerChat(board: Board, calls: Calls, server: Server, replies: Replies): vscode.Disposable {
  if (typeof vscode.chat?.createChatParticipant !== "function") {
    return vscode.Disposable.from();
  }
  const participant = vscode.chat.createChatParticipant(PARTICIPANT, (request, { history }, stream, token) => {
    const story = new ChatStory(board, calls, server, stream, token);
    return new Turn(calls, replies, story, stream, token).answer(request, history);
  });
  participant.iconPath = new vscode.ThemeIcon("beaker");
  participant.followupProvider = { provideFollowups: ({ metadata }) => followups((metadata ?? {}) as Kept) };
  return participant;
}

/** One prompt and its answer. */
class Turn {
  constructor(
    private readonly calls: Calls,
    private readonly replies: Replies,
    private readonly story: ChatStory,
    private readonly stream: vscode.ChatResponseStream,
    private readonly token: vscode.CancellationToken,
  ) {}

  async answer(request: vscode.ChatRequest, history: vscode.ChatContext["history"]): Promise<vscode.ChatResult> {
    if (!this.story.serverIsThere()) {
      return {};
    }
    const prompt = request.prompt.trim();
    const status = await this.calls.ask("agent.status", {});
    if (isRefused(status)) {
      return refused(status.error);
    }
    const run = runMeant(status.runs, history);
    switch (request.command) {
      case "run":
        return this.run(request, prompt);
      case "status":
        return this.status(status.runs);
      case "plan":
        return prompt === "" ? this.plan(run) : this.run(request, prompt, "plan");
      case "cancel":
        return this.cancel(run);
      default:
        return run === undefined ? this.run(request, prompt) : this.say(run, prompt);
    }
  }

  /** Starts a run and tells what it does. Who stops waiting for it cancels it. */
  private async run(request: vscode.ChatRequest, goal: string, mode?: "plan"): Promise<vscode.ChatResult> {
    if (goal === "") {
      this.stream.markdown(NO_GOAL);
      return {};
    }
    const where = attached(request.references) ?? (await placeOfRun());
    if (where === undefined) {
      this.stream.markdown("There is no folder to work in. Open one first.");
      return {};
    }
    const started = await this.calls.ask("agent.run", { ...where, goal, ...(mode === undefined ? {} : { mode }) });
    if (isRefused(started)) {
      return refused(started.error);
    }
    return this.follow(started.runId, async () => {
      await this.calls.ask("agent.control", { runId: started.runId, action: "cancel" });
    });
  }

  /** Says it to the run. One that waited for these words is told on. */
  private async say(run: RunRow, text: string): Promise<vscode.ChatResult> {
    if (text === "") {
      return this.told(await this.story.rest(run.runId));
    }
    const { runId, state } = run;
    const before = this.story.latest(runId);
    const late = this.replies.expect(runId, text);
    const said = await this.calls.ask("agent.say", { runId, text });
    if (isRefused(said) || said.pending !== true) {
      late.drop();
    }
    if (isRefused(said)) {
      return refused(said.error);
    }
    const reply = said.pending === true ? await this.story.untilStopped(late.reply) : said.reply;
    if (reply === undefined) {
      late.drop();
      return kept(run);
    }
    this.stream.markdown(reply);
    const now = await this.calls.ask("agent.status", { runId });
    const goesOn = state === "awaiting_approval" && !isRefused(now) && now.runs[0]?.state !== state;
    return state === "blocked" || goesOn ? this.follow(runId, undefined, before) : kept(run);
  }

  private async follow(
    runId: string,
    stopped?: () => Promise<void>,
    after?: ReturnType<ChatStory["latest"]>,
  ): Promise<vscode.ChatResult> {
    if (await this.story.follow(runId, after)) {
      return this.told(await this.story.rest(runId));
    }
    if (this.token.isCancellationRequested) {
      await stopped?.(); // nothing more is told: the editor has closed the stream
    }
    return { metadata: { runId } satisfies Kept };
  }

  private status(runs: readonly RunRow[]): vscode.ChatResult {
    this.story.list(runs);
    return {};
  }

  private async plan(run: RunRow | undefined): Promise<vscode.ChatResult> {
    if (run?.state === "awaiting_approval") {
      return this.told(await this.story.rest(run.runId));
    }
    if (run === undefined || !this.story.plan(run.runId)) {
      this.stream.markdown("There is no plan. `/plan` with a goal makes one and waits for your approval.");
      return {};
    }
    return kept(run);
  }

  private async cancel(run: RunRow | undefined): Promise<vscode.ChatResult> {
    if (run === undefined) {
      this.stream.markdown("No run is under way.");
      return {};
    }
    const done = await this.calls.ask("agent.control", { runId: run.runId, action: "cancel" });
    if (isRefused(done)) {
      return refused(done.error);
    }
    this.stream.markdown("Cancelled.");
    return {};
  }

  private told(run: RunRow | undefined): vscode.ChatResult {
    return run === undefined ? {} : kept(run);
  }
}

/** The run of this talk while it waits or works or has a change on offer, else the newest that is under way. */
function runMeant(rows: readonly RunRow[], history: vscode.ChatContext["history"]): RunRow | undefined {
  const ours = [...history]
    .reverse()
    .map((turn) => ("result" in turn ? (turn.result.metadata as Kept | undefined)?.runId : undefined))
    .find((runId) => runId !== undefined);
  const known = rows.find(({ runId }) => runId === ours);
  if (known !== undefined && [...UNDER_WAY, "proposed"].includes(known.state)) {
    return known;
  }
  return [...rows].reverse().find(({ state }) => UNDER_WAY.includes(state));
}

/** The file or the lines that the person attached to the prompt. */
function attached(references: readonly vscode.ChatPromptReference[]): Pick<RunArgument, "uri" | "range"> | undefined {
  for (const { value } of references) {
    if (value instanceof vscode.Location) {
      const { start, end } = value.range;
      const place = ({ line, character }: vscode.Position): Position => ({ line, character });
      return { uri: value.uri.toString(), range: { start: place(start), end: place(end) } };
    }
    if (value instanceof vscode.Uri) {
      return { uri: value.toString() };
    }
  }
  return undefined;
}

function followups({ goal, state }: Kept): vscode.ChatFollowup[] {
  switch (state) {
    case "proposed":
      return [
        { prompt: "What did you change, and why?" },
        { prompt: "Which lines did no test run?" },
      ];
    case "awaiting_approval":
      return [{ prompt: "Why these steps?" }];
    case "failed":
    case "cancelled":
      return goal === undefined ? [] : [{ command: "run", prompt: goal, label: "Try again" }];
    case "paused":
    case "blocked":
      return [{ command: "plan", prompt: "", label: "Show the plan" }];
    default:
      return [];
  }
}

function kept({ runId, goal, state }: RunRow): vscode.ChatResult {
  return { metadata: { runId, goal, state } satisfies Kept };
}

function refused({ message, hint }: Failure): vscode.ChatResult {
  return { errorDetails: { message: `${message} ${hint}`.trim() } };
}
