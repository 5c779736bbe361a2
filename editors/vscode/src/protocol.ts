// Owns the types of our own messages. Made from docs/protocol.schema.json by `make schema`; do not edit.

/** A test that the change adds. */
export interface AddedTest {
  id: string;
  failedWithoutChange: boolean;
}

/** `agent.answer`. */
export interface AnswerArgument {
  runId: string;
  answer: string;
}

/** `agent.apply`. */
export interface Applied {
  applied: boolean;
  verdict: Verdict;
  checkpointId?: string;
  reason?: string;
  pending?: boolean;
}

/** `agent.apply`. */
export interface ApplyArgument {
  proposalId: string;
  hunks?: Array<string>;
  workDoneToken?: string | number;
}

/** `agent.plan.approve`. */
export interface ApproveArgument {
  runId: string;
  steps?: Array<EditedStep>;
  markdown?: string;
  stepwise?: boolean;
}

/** `agent/blocked`. */
export interface BlockedMessage {
  runId: string;
  question: string;
  options: Array<string>;
}

/** The model asks for a tool. */
export interface CallBlock {
  type: "call";
  id: string;
  name: string;
  input: Record<string, unknown>;
}

/**
 * One file of a proposal. `baseVersion` is null for a file that was not open, `baseSha256` for one that is new.
 *
 * `steps` are the titles of the steps of the plan that name it.
 */
export interface ChangedFile {
  uri: string;
  kind: "modify" | "create" | "delete" | "rename";
  oldUri: string | null;
  baseVersion: number | null;
  baseSha256: string | null;
  hunks: Array<Hunk>;
  steps?: Array<string>;
}

/** What an apply, or a rollback of one, wrote. `undoes` is the checkpoint that a rollback undoes. */
export interface Checkpoint {
  checkpointId: string;
  runId: string;
  proposalId: string;
  summary: string;
  files: Array<string>;
  timeS: number;
  sizeBytes: number;
  state: "applied" | "rolled_back" | "taken_back" | "unfinished";
  undoes?: string;
}

/** `agent.checkpoints`, newest first; `preview` and `uri` where one was asked for. */
export interface CheckpointList {
  checkpoints: Array<Checkpoint>;
  preview?: RollbackPreview;
  uri?: string;
}

/** `agent.checkpoints`: of one folder, of one run, or one with its preview, which `show` opens. */
export interface CheckpointsArgument {
  root?: string;
  uri?: string;
  runId?: string;
  checkpointId?: string;
  show?: boolean;
}

/**
 * `capabilities.experimental.agentLsp` of a client that knows the notifications of section 5.
 *
 * `models` says that it answers `agent/model/list` and `agent/model/complete`, `shortLenses` that it shows elsewhere
 * what a lens is about: its lenses then say only what they do.
 */
export interface ClientCapability {
  version: "1";
  models?: boolean;
  shortLenses?: boolean;
}

/** `agent/model/complete`. With `mustCall` the model should be made to call some tool, where the editor can. */
export interface CompleteParams {
  model: string;
  phase: "planning" | "execution" | "reflection" | "chat";
  system: string;
  messages: Array<ModelMessage>;
  tools: Array<ModelTool>;
  maxTokens: number;
  mustCall: boolean;
}

/** `agent/model/complete`: one whole answer. */
export interface Completion {
  blocks: Array<TextBlock | CallBlock>;
  stop: "end" | "tool_use" | "length";
  model: string;
  usage?: ModelUsage;
}

/** `agent.control`, as command and as request. */
export interface ControlArgument {
  runId: string;
  action: "cancel" | "pause" | "resume" | "step";
}

/** What models were used today by all runs of this person; `answerS` is the time of their answers. */
export interface DayUse {
  tokens: number;
  costUsd: number;
  turns: number;
  answerS: number;
}

/** `agent.discard`. */
export interface DiscardArgument {
  proposalId: string;
  hunks?: Array<string>;
  feedback?: string;
  workDoneToken?: string | number;
}

/** `agent.edit`: the new text of a hunk, or of a whole proposed file. */
export interface EditArgument {
  proposalId: string;
  text: string;
  hunk?: string;
  uri?: string;
}

/** `agent.edit`: the hunks that the proposal now has. */
export interface Edited {
  state: "planning" | "awaiting_approval" | "executing" | "reflecting" | "validating" | "proposed" | "applying" | "applied" | "discarded" | "paused" | "blocked" | "cancelled" | "failed";
  hunks: Array<string>;
}

/** A step as a person sends it back. */
export interface EditedStep {
  title: string;
  detail?: string;
  files?: Array<string>;
  acceptance?: string;
  state?: string;
}

/**
 * An endpoint of a language model. `asked` and `failed` count its last questions, `answerS` is the median time of
 * its answers, `restS` how long it is left alone after `trouble`.
 */
export interface EndpointRow {
  endpoint: string;
  provider: string;
  model: string;
  tiers: Array<"tiny" | "mid" | "thinker">;
  state: "closed" | "open" | "half_open";
  asked: number;
  failed: number;
  address?: string;
  answerS?: number;
  restS?: number;
  trouble?: string;
  root?: string;
}

/** The result of a command that failed. */
export interface ErrorBody {
  error: Failure;
}

/** Why a command was not done, and what to do about it. */
export interface Failure {
  code: string;
  message: string;
  hint: string;
}

export interface Hunk {
  id: string;
  range: Range;
  oldText: string;
  newText: string;
  class: "source" | "test" | "config";
  tests?: Array<string>;
  testCount?: number;
  unrun?: Array<number>;
}

/** A model as the editor names it. */
export interface LentModel {
  id: string;
  name: string;
  vendor: string;
  family: string;
  version?: string;
  maxInputTokens?: number;
}

/** `agent/model/list`; the first is the one that is taken when nothing else is wished. */
export interface LentModels {
  models: Array<LentModel>;
}

/** `agent.log.tail`. */
export interface LogTail {
  text: string;
  path: string;
}

/** `agent.log.tail`. */
export interface LogTailArgument {
  lines?: number;
  errorsOnly?: boolean;
  uri?: string;
}

/** `agent/model/list`. */
export interface ModelListParams {
}

/** One whole message of the conversation. */
export interface ModelMessage {
  role: "user" | "assistant";
  blocks: Array<TextBlock | CallBlock | ResultBlock>;
}

/** A tool on offer; `inputSchema` is a JSON Schema object. */
export interface ModelTool {
  name: string;
  description: string;
  inputSchema: Record<string, unknown>;
}

/** What the editor counted. */
export interface ModelUsage {
  inputTokens?: number;
  outputTokens?: number;
}

/** `agent.models`: endpoints of tiers (null: as configured), the tier of one run, and whether all are probed now. */
export interface ModelsArgument {
  tiers?: Record<string, Array<string> | null>;
  runId?: string;
  tier?: "tiny" | "mid" | "thinker" | "auto";
  probe?: boolean;
  root?: string;
  uri?: string;
}

/** `agent/models`: how the endpoints of a folder's models are, and what was used today, whenever that changed. */
export interface ModelsMessage {
  models: Array<EndpointRow>;
  day: DayUse;
  root?: string;
}

/** `agent.models`. */
export interface ModelsNow {
  tiers: Record<string, Array<string>>;
  endpoints: Array<EndpointRow>;
  day: DayUse;
}

/** Another proposal on the same text. `places` are relative paths, with lines of the base where that is told. */
export interface Overlap {
  proposalId: string;
  runId: string;
  places: Array<string>;
}

/** `agent/plan`. */
export interface PlanMessage {
  runId: string;
  steps: Array<Step>;
}

/** LSP's. */
export interface Position {
  line: number;
  character: number;
}

/** A diagnostic that a run starts from: LSP's, or as much of it as is known. */
export interface Problem {
  message: string;
  range?: Range;
  uri?: string;
  source?: string;
  code?: string | number;
  severity?: number;
  codeDescription?: Record<string, unknown>;
  tags?: Array<number>;
  relatedInformation?: Array<Record<string, unknown>>;
  data?: unknown;
}

/** `agent/progress`. */
export interface ProgressMessage {
  runId: string;
  state: "planning" | "awaiting_approval" | "executing" | "reflecting" | "validating" | "proposed" | "applying" | "applied" | "discarded" | "paused" | "blocked" | "cancelled" | "failed";
  step: number;
  message: string;
  percentage: number | null;
}

/**
 * A change with its evidence. `state` is what its run rests in, `stalePaths` what moved since the tests ran.
 *
 * `verdictTitle` is the verdict in a line, `refused` why it cannot be accepted now.
 * `suggestion` are the hunks of the smallest part found to pass after a smaller one was refused; while the proposal is
 * in conflict with the text, those that still fit it.
 */
export interface Proposal {
  proposalId: string;
  runId: string;
  summary: string;
  stale: boolean;
  files: Array<ChangedFile>;
  diff: string;
  verdict: Verdict;
  state: "planning" | "awaiting_approval" | "executing" | "reflecting" | "validating" | "proposed" | "applying" | "applied" | "discarded" | "paused" | "blocked" | "cancelled" | "failed";
  stalePaths: Array<string>;
  acceptable: boolean;
  checkpointId?: string;
  overlaps?: Array<Overlap>;
  verdictTitle?: string;
  refused?: string;
  suggestion?: Array<string>;
}

/** `agent.proposal`. */
export interface ProposalArgument {
  proposalId: string;
}

/** LSP's. */
export interface Range {
  start: Position;
  end: Position;
}

/** `agent.plan.reject`. */
export interface RejectArgument {
  runId: string;
  feedback?: string;
}

/** What a tool answered. */
export interface ResultBlock {
  type: "result";
  callId: string;
  text: string;
  failed: boolean;
}

/** `agent.revalidate`. */
export interface RevalidateArgument {
  proposalId: string;
  workDoneToken?: string | number;
}

/** `agent.revalidate`; with `pending`, `applied` is there and false. */
export interface Revalidated {
  verdict: Verdict;
  applied?: boolean;
  pending?: boolean;
  reason?: string;
}

/** `agent.rollback`. */
export interface RollbackArgument {
  checkpointId: string;
  workDoneToken?: string | number;
}

/** What rolling a checkpoint back would do to the text as it is; where it cannot be done, why, and what it wrote. */
export interface RollbackPreview {
  diff: string;
  possible: boolean;
  reason?: string;
}

/** `agent.rollback`; `checkpointId` undoes the undoing. */
export interface RolledBack {
  applied: boolean;
  checkpointId?: string;
  reason?: string;
  pending?: boolean;
}

/** `agent.run`. */
export interface RunArgument {
  goal: string;
  uri?: string;
  range?: Range;
  diagnostics?: Array<Problem>;
  tests?: Array<string>;
  scope?: Array<string>;
  mode?: "plan" | "auto";
  tier?: "tiny" | "mid" | "thinker";
  background?: boolean;
  workDoneToken?: string | number;
  askGoal?: boolean;
}

/**
 * One run in `agent.status`. `verdict` is the decision, `model` who works on it, `checkpointId` undoes what of it
 * was applied last, `root` is its workspace folder where there are several.
 */
export interface RunRow {
  runId: string;
  goal: string;
  state: "planning" | "awaiting_approval" | "executing" | "reflecting" | "validating" | "proposed" | "applying" | "applied" | "discarded" | "paused" | "blocked" | "cancelled" | "failed";
  step: number;
  steps: number;
  usage: Usage;
  proposalId?: string;
  verdict?: "proven" | "passed" | "regressed" | "failed" | "undecided" | "not_run";
  message?: string;
  model?: string;
  checkpointId?: string;
  root?: string;
}

/** `agent.run`. */
export interface RunStarted {
  runId: string;
}

/** `agent.say`; with `pending` the reply comes as `agent/said`, or as a message. */
export interface Said {
  reply?: string;
  pending?: boolean;
}

/** `agent/said`: the reply to `agent.say` that was answered `pending`. */
export interface SaidMessage {
  runId: string;
  text: string;
  reply: string;
}

/** `agent.say`. */
export interface SayArgument {
  text: string;
  runId?: string;
}

/** `capabilities.experimental.agentLsp` in the answer to `initialize`. */
export interface ServerCapability {
  version: "1";
  features: Array<string>;
}

/**
 * `agent.show`: a proposal, whole or one file of it, a run's plan, or the log of the folder of `uri`.
 *
 * `at` goes to a hunk; `edit` opens the proposed file, or the plan, as text that counts once it is saved.
 */
export interface ShowArgument {
  proposalId?: string;
  path?: string;
  runId?: string;
  hunks?: Array<string>;
  at?: string;
  edit?: boolean;
  log?: boolean;
  uri?: string;
}

/** `agent.show`. */
export interface Shown {
  uri: string;
}

/** `agent.plan.*`, `agent.control`, `agent.discard`, `agent.answer`. */
export interface StateNow {
  state: "planning" | "awaiting_approval" | "executing" | "reflecting" | "validating" | "proposed" | "applying" | "applied" | "discarded" | "paused" | "blocked" | "cancelled" | "failed";
}

/** `agent.status`. */
export interface Status {
  runs: Array<RunRow>;
  models?: Array<EndpointRow>;
  day?: DayUse;
}

/** `agent.status`, as command and as request. */
export interface StatusArgument {
  runId?: string;
}

/** A step of a plan. */
export interface Step {
  title: string;
  detail: string;
  files: Array<string>;
  acceptance: string;
  state: string;
}

/** A small fault that was put into a changed line, zero-based, and that no test noticed. */
export interface Survivor {
  uri: string;
  line: number;
  text: string;
}

/** Prose. */
export interface TextBlock {
  type: "text";
  text: string;
}

/** `agent.trust`. */
export interface TrustArgument {
  root: string;
  trusted: boolean;
}

/** `agent.trust`. */
export interface Trusted {
  trusted: boolean;
}

/** A changed line, zero-based, that no passing test ran. */
export interface UnrunLine {
  uri: string;
  line: number;
}

/** What a run has spent; empty before its first turn. */
export interface Usage {
  inputTokens?: number;
  outputTokens?: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
  cacheHitRate?: number;
  costUsd?: number;
  turns?: number;
}

/** What the tests say of a change. `candidate` is the exact tree that was tested, empty where none was. */
export interface Verdict {
  decision: "proven" | "passed" | "regressed" | "failed" | "undecided" | "not_run";
  fixed: Array<string>;
  broken: Array<string>;
  stillFailing: Array<string>;
  flaky: Array<string>;
  added: Array<AddedTest>;
  removedOrWeakened: Array<string>;
  collected: number;
  ran: number;
  changedLines: number;
  changedLinesRun: number;
  unrunLines: Array<UnrunLine>;
  selection: "impacted" | "full";
  durationS: number;
  candidate: string;
  reasons: Array<string>;
  survivors?: Array<Survivor>;
}

/** `agent/verdict`; with `hunks` it is of these alone. */
export interface VerdictMessage {
  proposalId: string;
  verdict: Verdict;
  hunks?: Array<string>;
}

export interface Commands {
  "agent.run": { argument: RunArgument; result: RunStarted | ErrorBody };
  "agent.plan.approve": { argument: ApproveArgument; result: StateNow | ErrorBody };
  "agent.plan.reject": { argument: RejectArgument; result: StateNow | ErrorBody };
  "agent.control": { argument: ControlArgument; result: StateNow | ErrorBody };
  "agent.status": { argument: StatusArgument; result: Status | ErrorBody };
  "agent.proposal": { argument: ProposalArgument; result: Proposal | ErrorBody };
  "agent.apply": { argument: ApplyArgument; result: Applied | ErrorBody };
  "agent.discard": { argument: DiscardArgument; result: StateNow | ErrorBody };
  "agent.edit": { argument: EditArgument; result: Edited | ErrorBody };
  "agent.revalidate": { argument: RevalidateArgument; result: Revalidated | ErrorBody };
  "agent.rollback": { argument: RollbackArgument; result: RolledBack | ErrorBody };
  "agent.checkpoints": { argument: CheckpointsArgument; result: CheckpointList | ErrorBody };
  "agent.say": { argument: SayArgument; result: Said | ErrorBody };
  "agent.answer": { argument: AnswerArgument; result: StateNow | ErrorBody };
  "agent.models": { argument: ModelsArgument; result: ModelsNow | ErrorBody };
  "agent.trust": { argument: TrustArgument; result: Trusted | ErrorBody };
  "agent.log.tail": { argument: LogTailArgument; result: LogTail | ErrorBody };
  "agent.show": { argument: ShowArgument; result: Shown | ErrorBody };
}

export interface Requests {
  "agent/status": { params: StatusArgument; result: Status | ErrorBody };
  "agent/control": { params: ControlArgument; result: StateNow | ErrorBody };
}

export interface EditorRequests {
  "agent/model/list": { params: ModelListParams; result: LentModels | ErrorBody };
  "agent/model/complete": { params: CompleteParams; result: Completion | ErrorBody };
}

export interface Notifications {
  "agent/plan": PlanMessage;
  "agent/progress": ProgressMessage;
  "agent/blocked": BlockedMessage;
  "agent/proposal": Proposal;
  "agent/verdict": VerdictMessage;
  "agent/models": ModelsMessage;
  "agent/said": SaidMessage;
}

export type RunState = RunRow["state"];
