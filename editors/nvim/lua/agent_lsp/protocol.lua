---@meta
-- The shapes of docs/protocol.md as annotations, made from docs/protocol.schema.json by `make schema`. Never loaded.

--- A test that the change adds.
---@class agent_lsp.AddedTest
---@field id string
---@field failedWithoutChange boolean

--- `agent.answer`.
---@class agent_lsp.AnswerArgument
---@field runId string
---@field answer string

--- `agent.apply`.
---@class agent_lsp.Applied
---@field applied boolean
---@field verdict agent_lsp.Verdict
---@field checkpointId? string
---@field reason? string
---@field pending? boolean

--- `agent.apply`.
---@class agent_lsp.ApplyArgument
---@field proposalId string
---@field hunks? string[]
---@field workDoneToken? string|integer

--- `agent.plan.approve`.
---@class agent_lsp.ApproveArgument
---@field runId string
---@field steps? agent_lsp.EditedStep[]
---@field markdown? string
---@field stepwise? boolean

--- `agent/blocked`.
---@class agent_lsp.BlockedMessage
---@field runId string
---@field question string
---@field options string[]

--- The model asks for a tool.
---@class agent_lsp.CallBlock
---@field type "call"
---@field id string
---@field name string
---@field input table<string, any>

--- One file of a proposal. `baseVersion` is null for a file that was not open, `baseSha256` for one that is new.
---
--- `steps` are the titles of the steps of the plan that name it.
---@class agent_lsp.ChangedFile
---@field uri string
---@field kind "modify"|"create"|"delete"|"rename"
---@field oldUri string|vim.NIL
---@field baseVersion integer|vim.NIL
---@field baseSha256 string|vim.NIL
---@field hunks agent_lsp.Hunk[]
---@field steps? string[]

--- What an apply, or a rollback of one, wrote. `undoes` is the checkpoint that a rollback undoes.
---@class agent_lsp.Checkpoint
---@field checkpointId string
---@field runId string
---@field proposalId string
---@field summary string
---@field files string[]
---@field timeS number
---@field sizeBytes integer
---@field state "applied"|"rolled_back"|"taken_back"|"unfinished"
---@field undoes? string

--- `agent.checkpoints`, newest first; `preview` and `uri` where one was asked for.
---@class agent_lsp.CheckpointList
---@field checkpoints agent_lsp.Checkpoint[]
---@field preview? agent_lsp.RollbackPreview
---@field uri? string

--- `agent.checkpoints`: of one folder, of one run, or one with its preview, which `show` opens.
---@class agent_lsp.CheckpointsArgument
---@field root? string
---@field uri? string
---@field runId? string
---@field checkpointId? string
---@field show? boolean

--- `capabilities.experimental.agentLsp` of a client that knows the notifications of section 5.
---
--- `models` says that it answers `agent/model/list` and `agent/model/complete`, `shortLenses` that it shows elsewhere
--- what a lens is about: its lenses then say only what they do.
---@class agent_lsp.ClientCapability
---@field version "1"
---@field models? boolean
---@field shortLenses? boolean

--- `agent/model/complete`. With `mustCall` the model should be made to call some tool, where the editor can.
---@class agent_lsp.CompleteParams
---@field model string
---@field phase "planning"|"execution"|"reflection"|"chat"
---@field system string
---@field messages agent_lsp.ModelMessage[]
---@field tools agent_lsp.ModelTool[]
---@field maxTokens integer
---@field mustCall boolean

--- `agent/model/complete`: one whole answer.
---@class agent_lsp.Completion
---@field blocks (agent_lsp.TextBlock|agent_lsp.CallBlock)[]
---@field stop "end"|"tool_use"|"length"
---@field model string
---@field usage? agent_lsp.ModelUsage

--- `agent.control`, as command and as request.
---@class agent_lsp.ControlArgument
---@field runId string
---@field action "cancel"|"pause"|"resume"|"step"

--- What models were used today by all runs of this person; `answerS` is the time of their answers.
---@class agent_lsp.DayUse
---@field tokens integer
---@field costUsd number
---@field turns integer
---@field answerS number

--- `agent.discard`.
---@class agent_lsp.DiscardArgument
---@field proposalId string
---@field hunks? string[]
---@field feedback? string
---@field workDoneToken? string|integer

--- `agent.edit`: the new text of a hunk, or of a whole proposed file.
---@class agent_lsp.EditArgument
---@field proposalId string
---@field text string
---@field hunk? string
---@field uri? string

--- `agent.edit`: the hunks that the proposal now has.
---@class agent_lsp.Edited
---@field state "planning"|"awaiting_approval"|"executing"|"reflecting"|"validating"|"proposed"|"applying"|"applied"|"discarded"|"paused"|"blocked"|"cancelled"|"failed"
---@field hunks string[]

--- A step as a person sends it back.
---@class agent_lsp.EditedStep
---@field title string
---@field detail? string
---@field files? string[]
---@field acceptance? string
---@field state? string

--- An endpoint of a language model. `asked` and `failed` count its last questions, `answerS` is the median time of
--- its answers, `restS` how long it is left alone after `trouble`.
---@class agent_lsp.EndpointRow
---@field endpoint string
---@field provider string
---@field model string
---@field tiers ("tiny"|"mid"|"thinker")[]
---@field state "closed"|"open"|"half_open"
---@field asked integer
---@field failed integer
---@field address? string
---@field answerS? number
---@field restS? number
---@field trouble? string
---@field root? string

--- The result of a command that failed.
---@class agent_lsp.ErrorBody
---@field error agent_lsp.Failure

--- Why a command was not done, and what to do about it.
---@class agent_lsp.Failure
---@field code string
---@field message string
---@field hint string

---@class agent_lsp.Hunk
---@field id string
---@field range agent_lsp.Range
---@field oldText string
---@field newText string
---@field class "source"|"test"|"config"
---@field tests? string[]
---@field testCount? integer
---@field unrun? integer[]

--- A model as the editor names it.
---@class agent_lsp.LentModel
---@field id string
---@field name string
---@field vendor string
---@field family string
---@field version? string
---@field maxInputTokens? integer

--- `agent/model/list`; the first is the one that is taken when nothing else is wished.
---@class agent_lsp.LentModels
---@field models agent_lsp.LentModel[]

--- `agent.log.tail`.
---@class agent_lsp.LogTail
---@field text string
---@field path string

--- `agent.log.tail`.
---@class agent_lsp.LogTailArgument
---@field lines? integer
---@field errorsOnly? boolean
---@field uri? string

--- `agent/model/list`.
---@class agent_lsp.ModelListParams

--- One whole message of the conversation.
---@class agent_lsp.ModelMessage
---@field role "user"|"assistant"
---@field blocks (agent_lsp.TextBlock|agent_lsp.CallBlock|agent_lsp.ResultBlock)[]

--- A tool on offer; `inputSchema` is a JSON Schema object.
---@class agent_lsp.ModelTool
---@field name string
---@field description string
---@field inputSchema table<string, any>

--- What the editor counted.
---@class agent_lsp.ModelUsage
---@field inputTokens? integer
---@field outputTokens? integer

--- `agent.models`: endpoints of tiers (null: as configured), the tier of one run, and whether all are probed now.
---@class agent_lsp.ModelsArgument
---@field tiers? table<string, string[]|vim.NIL>
---@field runId? string
---@field tier? "tiny"|"mid"|"thinker"|"auto"
---@field probe? boolean
---@field root? string
---@field uri? string

--- `agent/models`: how the endpoints of a folder's models are, and what was used today, whenever that changed.
---@class agent_lsp.ModelsMessage
---@field models agent_lsp.EndpointRow[]
---@field day agent_lsp.DayUse
---@field root? string

--- `agent.models`.
---@class agent_lsp.ModelsNow
---@field tiers table<string, string[]>
---@field endpoints agent_lsp.EndpointRow[]
---@field day agent_lsp.DayUse

--- Another proposal on the same text. `places` are relative paths, with lines of the base where that is told.
---@class agent_lsp.Overlap
---@field proposalId string
---@field runId string
---@field places string[]

--- `agent/plan`.
---@class agent_lsp.PlanMessage
---@field runId string
---@field steps agent_lsp.Step[]

--- LSP's.
---@class agent_lsp.Position
---@field line integer
---@field character integer

--- A diagnostic that a run starts from: LSP's, or as much of it as is known.
---@class agent_lsp.Problem
---@field message string
---@field range? agent_lsp.Range
---@field uri? string
---@field source? string
---@field code? string|integer
---@field severity? integer
---@field codeDescription? table<string, any>
---@field tags? integer[]
---@field relatedInformation? table<string, any>[]
---@field data? any

--- `agent/progress`.
---@class agent_lsp.ProgressMessage
---@field runId string
---@field state "planning"|"awaiting_approval"|"executing"|"reflecting"|"validating"|"proposed"|"applying"|"applied"|"discarded"|"paused"|"blocked"|"cancelled"|"failed"
---@field step integer
---@field message string
---@field percentage integer|vim.NIL

--- A change with its evidence. `state` is what its run rests in, `stalePaths` what moved since the tests ran.
---
--- `verdictTitle` is the verdict in a line, `refused` why it cannot be accepted now.
--- `suggestion` are the hunks of the smallest part found to pass after a smaller one was refused; while the proposal is
--- in conflict with the text, those that still fit it.
---@class agent_lsp.Proposal
---@field proposalId string
---@field runId string
---@field summary string
---@field stale boolean
---@field files agent_lsp.ChangedFile[]
---@field diff string
---@field verdict agent_lsp.Verdict
---@field state "planning"|"awaiting_approval"|"executing"|"reflecting"|"validating"|"proposed"|"applying"|"applied"|"discarded"|"paused"|"blocked"|"cancelled"|"failed"
---@field stalePaths string[]
---@field acceptable boolean
---@field checkpointId? string
---@field overlaps? agent_lsp.Overlap[]
---@field verdictTitle? string
---@field refused? string
---@field suggestion? string[]

--- `agent.proposal`.
---@class agent_lsp.ProposalArgument
---@field proposalId string

--- LSP's.
---@class agent_lsp.Range
---@field start agent_lsp.Position
---@field end agent_lsp.Position

--- `agent.plan.reject`.
---@class agent_lsp.RejectArgument
---@field runId string
---@field feedback? string

--- What a tool answered.
---@class agent_lsp.ResultBlock
---@field type "result"
---@field callId string
---@field text string
---@field failed boolean

--- `agent.revalidate`.
---@class agent_lsp.RevalidateArgument
---@field proposalId string
---@field workDoneToken? string|integer

--- `agent.revalidate`; with `pending`, `applied` is there and false.
---@class agent_lsp.Revalidated
---@field verdict agent_lsp.Verdict
---@field applied? boolean
---@field pending? boolean
---@field reason? string

--- `agent.rollback`.
---@class agent_lsp.RollbackArgument
---@field checkpointId string
---@field workDoneToken? string|integer

--- What rolling a checkpoint back would do to the text as it is; where it cannot be done, why, and what it wrote.
---@class agent_lsp.RollbackPreview
---@field diff string
---@field possible boolean
---@field reason? string

--- `agent.rollback`; `checkpointId` undoes the undoing.
---@class agent_lsp.RolledBack
---@field applied boolean
---@field checkpointId? string
---@field reason? string
---@field pending? boolean

--- `agent.run`.
---@class agent_lsp.RunArgument
---@field goal string
---@field uri? string
---@field range? agent_lsp.Range
---@field diagnostics? agent_lsp.Problem[]
---@field tests? string[]
---@field scope? string[]
---@field mode? "plan"|"auto"
---@field tier? "tiny"|"mid"|"thinker"
---@field background? boolean
---@field workDoneToken? string|integer
---@field askGoal? boolean

--- One run in `agent.status`. `verdict` is the decision, `model` who works on it, `checkpointId` undoes what of it
--- was applied last, `root` is its workspace folder where there are several.
---@class agent_lsp.RunRow
---@field runId string
---@field goal string
---@field state "planning"|"awaiting_approval"|"executing"|"reflecting"|"validating"|"proposed"|"applying"|"applied"|"discarded"|"paused"|"blocked"|"cancelled"|"failed"
---@field step integer
---@field steps integer
---@field usage agent_lsp.Usage
---@field proposalId? string
---@field verdict? "proven"|"passed"|"regressed"|"failed"|"undecided"|"not_run"
---@field message? string
---@field model? string
---@field checkpointId? string
---@field root? string

--- `agent.run`.
---@class agent_lsp.RunStarted
---@field runId string

--- `agent.say`; with `pending` the reply comes as `agent/said`, or as a message.
---@class agent_lsp.Said
---@field reply? string
---@field pending? boolean

--- `agent/said`: the reply to `agent.say` that was answered `pending`.
---@class agent_lsp.SaidMessage
---@field runId string
---@field text string
---@field reply string

--- `agent.say`.
---@class agent_lsp.SayArgument
---@field text string
---@field runId? string

--- `capabilities.experimental.agentLsp` in the answer to `initialize`.
---@class agent_lsp.ServerCapability
---@field version "1"
---@field features string[]

--- `agent.show`: a proposal, whole or one file of it, a run's plan, or the log of the folder of `uri`.
---
--- `at` goes to a hunk; `edit` opens the proposed file, or the plan, as text that counts once it is saved.
---@class agent_lsp.ShowArgument
---@field proposalId? string
---@field path? string
---@field runId? string
---@field hunks? string[]
---@field at? string
---@field edit? boolean
---@field log? boolean
---@field uri? string

--- `agent.show`.
---@class agent_lsp.Shown
---@field uri string

--- `agent.plan.*`, `agent.control`, `agent.discard`, `agent.answer`.
---@class agent_lsp.StateNow
---@field state "planning"|"awaiting_approval"|"executing"|"reflecting"|"validating"|"proposed"|"applying"|"applied"|"discarded"|"paused"|"blocked"|"cancelled"|"failed"

--- `agent.status`.
---@class agent_lsp.Status
---@field runs agent_lsp.RunRow[]
---@field models? agent_lsp.EndpointRow[]
---@field day? agent_lsp.DayUse

--- `agent.status`, as command and as request.
---@class agent_lsp.StatusArgument
---@field runId? string

--- A step of a plan.
---@class agent_lsp.Step
---@field title string
---@field detail string
---@field files string[]
---@field acceptance string
---@field state string

--- A small fault that was put into a changed line, zero-based, and that no test noticed.
---@class agent_lsp.Survivor
---@field uri string
---@field line integer
---@field text string

--- Prose.
---@class agent_lsp.TextBlock
---@field type "text"
---@field text string

--- `agent.trust`.
---@class agent_lsp.TrustArgument
---@field root string
---@field trusted boolean

--- `agent.trust`.
---@class agent_lsp.Trusted
---@field trusted boolean

--- A changed line, zero-based, that no passing test ran.
---@class agent_lsp.UnrunLine
---@field uri string
---@field line integer

--- What a run has spent; empty before its first turn.
---@class agent_lsp.Usage
---@field inputTokens? integer
---@field outputTokens? integer
---@field cacheReadTokens? integer
---@field cacheWriteTokens? integer
---@field cacheHitRate? number
---@field costUsd? number
---@field turns? integer

--- What the tests say of a change. `candidate` is the exact tree that was tested, empty where none was.
---@class agent_lsp.Verdict
---@field decision "proven"|"passed"|"regressed"|"failed"|"undecided"|"not_run"
---@field fixed string[]
---@field broken string[]
---@field stillFailing string[]
---@field flaky string[]
---@field added agent_lsp.AddedTest[]
---@field removedOrWeakened string[]
---@field collected integer
---@field ran integer
---@field changedLines integer
---@field changedLinesRun integer
---@field unrunLines agent_lsp.UnrunLine[]
---@field selection "impacted"|"full"
---@field durationS number
---@field candidate string
---@field reasons string[]
---@field survivors? agent_lsp.Survivor[]

--- `agent/verdict`; with `hunks` it is of these alone.
---@class agent_lsp.VerdictMessage
---@field proposalId string
---@field verdict agent_lsp.Verdict
---@field hunks? string[]

--- What each command takes and answers.
--- `agent.run`: agent_lsp.RunArgument -> agent_lsp.RunStarted|agent_lsp.ErrorBody
--- `agent.plan.approve`: agent_lsp.ApproveArgument -> agent_lsp.StateNow|agent_lsp.ErrorBody
--- `agent.plan.reject`: agent_lsp.RejectArgument -> agent_lsp.StateNow|agent_lsp.ErrorBody
--- `agent.control`: agent_lsp.ControlArgument -> agent_lsp.StateNow|agent_lsp.ErrorBody
--- `agent.status`: agent_lsp.StatusArgument -> agent_lsp.Status|agent_lsp.ErrorBody
--- `agent.proposal`: agent_lsp.ProposalArgument -> agent_lsp.Proposal|agent_lsp.ErrorBody
--- `agent.apply`: agent_lsp.ApplyArgument -> agent_lsp.Applied|agent_lsp.ErrorBody
--- `agent.discard`: agent_lsp.DiscardArgument -> agent_lsp.StateNow|agent_lsp.ErrorBody
--- `agent.edit`: agent_lsp.EditArgument -> agent_lsp.Edited|agent_lsp.ErrorBody
--- `agent.revalidate`: agent_lsp.RevalidateArgument -> agent_lsp.Revalidated|agent_lsp.ErrorBody
--- `agent.rollback`: agent_lsp.RollbackArgument -> agent_lsp.RolledBack|agent_lsp.ErrorBody
--- `agent.checkpoints`: agent_lsp.CheckpointsArgument -> agent_lsp.CheckpointList|agent_lsp.ErrorBody
--- `agent.say`: agent_lsp.SayArgument -> agent_lsp.Said|agent_lsp.ErrorBody
--- `agent.answer`: agent_lsp.AnswerArgument -> agent_lsp.StateNow|agent_lsp.ErrorBody
--- `agent.models`: agent_lsp.ModelsArgument -> agent_lsp.ModelsNow|agent_lsp.ErrorBody
--- `agent.trust`: agent_lsp.TrustArgument -> agent_lsp.Trusted|agent_lsp.ErrorBody
--- `agent.log.tail`: agent_lsp.LogTailArgument -> agent_lsp.LogTail|agent_lsp.ErrorBody
--- `agent.show`: agent_lsp.ShowArgument -> agent_lsp.Shown|agent_lsp.ErrorBody
