"""Owns the vocabulary of the pipe: names and shapes of every call and event between edge and runtime.

Frames are one JSON object a line (UTF-8, no raw newlines inside):
    {"id": 7, "call": "run", "args": {...}}          a call, either way
    {"id": 7, "result": {...}}                       its answer
    {"id": 7, "error": {"code", "message", "hint"}}  its answer, when an AgentLspError was raised
    {"event": "run", "data": {...}}                  an event, runtime to edge
    {"cancel": 7}                                    nobody waits for that answer any more; either way

A cancel stops the work behind a call of `STOPPABLE`, as far as nothing was written yet, and nothing is answered then.
Any other call is finished: it is quick, and half of it would be worse than all of it. A call whose time-out passed is
not cancelled by that.

Nothing here is an LSP type: paths are POSIX and relative to the workspace root, lines are zero-based, and the
edge turns them into URIs and ranges.

Calls, edge to runtime. Each mirrors a command of PROTOCOL.md section 3 with `path` for `uri` and
`lines: {"start", "end"}` (end exclusive) for `range`; all answer within a second:
    run            {runId, goal, path?, lines?, problems?: [{path, line, message, source, code}], tests?, scope?,
                    mode?, tier?, background?, nearby?: as problems} -> {runId}
                   `problems` are what the goal is about; `nearby` is what the editor shows in open files besides
    plan_approve   {runId, steps?} -> {state}
    plan_reject    {runId, feedback?} -> {state}
    control        {runId, action} -> {state}
    status         {runId?} -> {runs}
    proposal       {proposalId} -> the `proposal` event's data
    apply          {proposalId, hunks?} -> {applied, checkpointId?, reason?, pending?, verdict}
    discard        {proposalId, hunks?, feedback?} -> {state}
    amend          {proposalId, hunk, text} or {proposalId, path, text, from?} -> {state, hunks}
                   the person's own text for a hunk, or for a whole proposed file; tested like any other. `from` is the
                   text that they began with
    revalidate     {proposalId} -> {verdict, pending?}
    abandon        {proposalId} or {checkpointId} -> {state}
                   ends the apply, the revalidation or the rollback that is at work, and leaves the proposal on offer;
                   refused once files are being written
    rollback       {checkpointId} -> {applied, reason?, checkpointId?}
    checkpoints    {runId?} -> {checkpoints: [{checkpointId, runId, proposalId, summary, files, timeS, sizeBytes, state,
                    undoes?}]}
                   newest first; `state` is applied, rolled_back, taken_back or unfinished
    checkpoint     {checkpointId} -> {checkpointId, summary, diff, possible, reason?}    what rolling it back would do
    say            {runId?, text} -> {reply?, pending?}    with `pending` the reply comes as the event `said`
    answer         {runId, answer} -> {state}
    models         {tiers?: {tier: [names] or null}, runId?, tier?, probe?} -> {tiers, endpoints, day}
                   changes which endpoints a tier asks, or the tier of a run (`auto`: by the rules), until the process
                   ends; with `probe` each endpoint is asked whether it is there, which the event tells later
    trust          {trusted} -> {trusted}
    stale          {proposalId, paths} -> {}    the edge saw a witnessed file's text move; tells the runtime
    configure      {settings} -> {}             a new effective configuration for runs that start from now on
    stop           {} -> {}                     ends all runs, closes all candidates, then the process ends

Calls, runtime to edge:
    buffers        {known: {path: revision}} -> {buffers: [{path, version, revision, text?}]}
                   every open document under the root; `text` is left out where `known` has this revision
    edit           {path, version, oldText, newText, label} -> {applied, version, text, reason}
    edit_together  {edits: [args of edit]} -> {outcomes: [answers of edit] or null}
                   one request to an editor that makes one undo of it; null where the editor is not transactional
    model_list     {} -> {models: [{id, name, vendor, family, version, maxInputTokens?}]}
                   the language models that the editor lends; none where it did not say that it lends any
    model_complete {params of agent/model/complete} -> {blocks, stop, model, usage?} or {error: {code, message, hint}}
                   one whole answer of such a model; docs/protocol.md, section 5

Events, runtime to edge:
    ready          {pid}
    run            RunView.to_json(): the row of agent.status, whenever it changes
    plan           {runId, goal, steps, markdown}
    progress       {runId, state, step, message, percentage}
    blocked        {runId, question, options}
    proposal       {proposalId, runId, summary, stale, files: [{path, oldPath, kind, baseVersion, baseSha256,
                    hunks: [{id, startLine, endLine, oldText, newText, class, tests?, testCount?, unrun?}]}], diff,
                    verdict, witness: {path: sha256 of the base's bytes}, checkpointId?, trouble,
                    suggestion?: [hunk ids], overlaps?: [{proposalId, runId, places}]}
                   sent when a proposal is made or changes in any way (stale, rebased, a hunk discarded)
    verdict        {proposalId, verdict}
    checkpoints    {checkpoints: [rows of the call]}    the newest ones, after each change of them
    proposal_closed {proposalId, runId, state, checkpointId?}
    said           {runId, text, reply}         an answer that took longer than the call
    problems       {runId, problems: [{path, line, message, severity, related: [{path, line, message}]}]}
                   the whole list for that run; an empty one clears it
    message        {runId?, level: "error"|"warning"|"info", text}       for window/showMessage; rare
    models         {models: [{endpoint, provider, model, address?, tiers, state, asked, failed, answerS?, restS?,
                    trouble?}], day: {tokens, costUsd, turns, answerS}}
                   how the endpoints are and what was used today, whenever that changed
    trust_wanted   {keys: [..], text}           a workspace setting waits for trust
    work_over      {runId, proposalId, work: "apply"|"revalidate", outcome, cancelled}
                   an apply or a revalidation ended, whoever wished it; `outcome` is a sentence
"""

from typing import Final

CALLS: Final = (
    "run",
    "plan_approve",
    "plan_reject",
    "control",
    "status",
    "proposal",
    "apply",
    "discard",
    "amend",
    "revalidate",
    "abandon",
    "rollback",
    "checkpoints",
    "checkpoint",
    "say",
    "answer",
    "models",
    "trust",
    "stale",
    "configure",
    "stop",
)
"""What the edge may ask of the runtime."""

EDGE_CALLS: Final = ("buffers", "edit", "edit_together", "model_list", "model_complete")
"""What the runtime may ask of the edge."""

STOPPABLE: Final = frozenset(
    {"run", "proposal", "apply", "revalidate", "rollback", "say", "buffers", "model_list", "model_complete"}
)
"""Calls of either side whose work ends when the caller gives up."""

EVENTS: Final = (
    "ready",
    "run",
    "plan",
    "progress",
    "blocked",
    "proposal",
    "verdict",
    "proposal_closed",
    "problems",
    "message",
    "models",
    "said",
    "trust_wanted",
    "work_over",
    "checkpoints",
)
"""What the runtime tells."""
