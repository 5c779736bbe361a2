-- Owns the review: to the next change, accept, discard, try again.
local board = require('agent_lsp.board')
local hunks = require('agent_lsp.hunks')
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

---@alias agent_lsp.Extent 'hunk'|'file'|'all'|'suggested'

local OPEN = { 'proposed', 'validating', 'blocked', 'paused', 'failed' }

--- Calls back with a proposal that is open: the one under the cursor, the only one, or the chosen one.
---@param on_proposal fun(proposal: agent_lsp.Proposal)
function M.with_proposal(on_proposal)
  local place = hunks.at_cursor()
  if place then
    return on_proposal(place.proposal)
  end
  local runs = vim.tbl_filter(function(run)
    return run.proposalId ~= nil
  end, board.newest(OPEN))
  if #runs == 0 then
    tell.say('no change is on offer')
    return
  end
  local take = function(run)
    M.read(run.proposalId, run.client_id, on_proposal)
  end
  if #runs == 1 then
    return take(runs[1])
  end
  local how = {
    prompt = 'Which change?',
    kind = 'agent_lsp',
    format_item = function(run)
      return ('%s (%s)'):format(run.goal, run.verdict or run.state)
    end,
  }
  vim.ui.select(runs, how, function(run)
    if run then
      take(run)
    end
  end)
end

--- Calls back with a proposal as the server has it now.
---@param proposal_id string
---@param client_id integer
---@param on_proposal fun(proposal: agent_lsp.Proposal)
function M.read(proposal_id, client_id, on_proposal)
  server.call('agent.proposal', { proposalId = proposal_id }, function(proposal)
    board.take_proposal(proposal, client_id)
    on_proposal(proposal)
  end, client_id)
end

---@param file agent_lsp.ChangedFile
---@return string[]
local function ids_of(file)
  return vim.tbl_map(function(hunk)
    return hunk.id
  end, file.hunks)
end

--- The changes in a range of lines, as one part of their proposal.
---@param lines agent_lsp.Lines
---@param on_meant fun(proposal: agent_lsp.Proposal, ids: string[]?)
local function within(lines, on_meant)
  local ids, proposal = {}, nil ---@type string[], agent_lsp.Proposal?
  for _, place in ipairs(hunks.offered(vim.api.nvim_get_current_buf())) do
    local inside = place.start < lines.last and math.max(place.stop, place.start + 1) >= lines.first
    if inside and (not proposal or proposal == place.proposal) then
      proposal = place.proposal
      table.insert(ids, place.hunk.id)
    end
  end
  if proposal then
    on_meant(proposal, ids)
  else
    tell.say('no proposed change stands in these lines')
  end
end

--- Calls back with what is meant: a proposal, and the hunks of it, nil for all.
---@param extent agent_lsp.Extent
---@param lines agent_lsp.Lines?
---@param on_meant fun(proposal: agent_lsp.Proposal, ids: string[]?)
local function meant(extent, lines, on_meant)
  if extent == 'hunk' and lines then
    return within(lines, on_meant)
  elseif extent == 'all' then
    return M.with_proposal(on_meant)
  elseif extent == 'suggested' then
    return M.with_proposal(function(proposal)
      M.read(proposal.proposalId, proposal.client_id, function(now)
        if now.suggestion then
          on_meant(now, now.suggestion)
        else
          tell.say('nothing is suggested: that comes where a part was refused or no longer fits')
        end
      end)
    end)
  end
  local place = hunks.at_cursor()
  if extent == 'hunk' then
    if place then
      return on_meant(place.proposal, { place.hunk.id })
    end
    tell.say('no proposed change stands here; ]a goes to the next one')
    return
  end
  local uri = vim.uri_from_bufnr(0)
  M.with_proposal(function(proposal)
    for _, file in ipairs(proposal.files) do
      if file.uri == uri or file.oldUri == uri then
        return on_meant(proposal, ids_of(file))
      end
    end
    tell.say('the change does not touch this file')
  end)
end

---@param extent agent_lsp.Extent
---@param lines agent_lsp.Lines?
function M.accept(extent, lines)
  meant(extent, lines, function(proposal, ids)
    server.call('agent.apply', { proposalId = proposal.proposalId, hunks = ids }, function(answer)
      if answer.pending then
        tell.say('tests what you chose; the change comes by itself when they allow it')
      end
    end, proposal.client_id)
  end)
end

---@param extent agent_lsp.Extent
---@param lines agent_lsp.Lines?
function M.discard(extent, lines)
  meant(extent, lines, function(proposal, ids)
    server.call('agent.discard', { proposalId = proposal.proposalId, hunks = ids }, nil, proposal.client_id)
  end)
end

--- Discards the change under the cursor with words, so that it is tried again; the whole change where none is there.
---@param words string
---@param lines agent_lsp.Lines?
function M.feedback(words, lines)
  meant((lines or hunks.at_cursor()) and 'hunk' or 'all', lines, function(proposal, ids)
    local send = function(text)
      if text and vim.trim(text) ~= '' then
        local argument = { proposalId = proposal.proposalId, hunks = ids, feedback = text }
        server.call('agent.discard', argument, nil, proposal.client_id)
      end
    end
    if words ~= '' then
      send(words)
    else
      vim.ui.input({ prompt = 'What should be different? ' }, send)
    end
  end)
end

--- Tests the change again.
function M.test()
  M.with_proposal(function(proposal)
    server.call('agent.revalidate', { proposalId = proposal.proposalId }, nil, proposal.client_id)
  end)
end

---@param place agent_lsp.Place
local function go(place)
  vim.cmd("normal! m'")
  if vim.api.nvim_get_current_buf() ~= place.buffer then
    vim.bo[place.buffer].buflisted = true
    vim.api.nvim_win_set_buf(0, place.buffer)
    hunks.draw(place.buffer)
  end
  for _, now in ipairs(hunks.offered(place.buffer)) do
    place = now.hunk.id == place.hunk.id and now or place -- the buffer may just have been read
  end
  local last = vim.api.nvim_buf_line_count(place.buffer)
  vim.api.nvim_win_set_cursor(0, { math.max(1, math.min(place.start + 1, last)), 0 })
  vim.cmd('normal! zv^')
  local rows = place.stop - place.start + #hunks.lines_of(place.hunk.newText)
  if vim.fn.winline() + rows > vim.api.nvim_win_get_height(0) then
    vim.cmd('normal! zz')
  end
  if place.refused then
    tell.say(place.refused)
  end
end

--- Whether the file is there to be gone to: a new one is only seen in the diff.
---@param place agent_lsp.Place
local function is_there(place)
  return vim.api.nvim_buf_is_loaded(place.buffer) or vim.uv.fs_stat(vim.api.nvim_buf_get_name(place.buffer)) ~= nil
end

--- The change `count` further on (backwards below zero), through all files, around the end.
---@param count integer
function M.jump(count)
  local places = vim.tbl_filter(is_there, hunks.offered())
  if #places == 0 then
    tell.say('no change is proposed in a file that is there; :Agent diff shows new files')
    return
  end
  local buffer, row = vim.api.nvim_get_current_buf(), vim.api.nvim_win_get_cursor(0)[1] - 1
  local before = 0 -- how many places stand before the cursor, and whether it is on one
  local on = false
  for _, place in ipairs(places) do
    local last = math.max(0, vim.api.nvim_buf_is_loaded(place.buffer) and vim.api.nvim_buf_line_count(place.buffer) - 1 or 0)
    local start = place.buffer == buffer and math.min(place.start, last) or place.start
    if place.buffer < buffer or (place.buffer == buffer and start < row) then
      before = before + 1
    end
    on = on or (place.buffer == buffer and start == row)
  end
  local index = count > 0 and before + (on and 1 or 0) + count or before + 1 + count
  go(places[(index - 1) % #places + 1])
end

return M
