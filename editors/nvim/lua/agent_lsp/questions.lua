-- Owns what is asked of the person: what a run wants to know, trust, and every other question with buttons.
--
-- Nothing pops up while somebody types: a question waits for normal mode.
local board = require('agent_lsp.board')
local server = require('agent_lsp.server')
local settings = require('agent_lsp.settings')
local tell = require('agent_lsp.tell')

local M = {}

---@type (fun(): boolean?)[]
local waiting = {}
local group = vim.api.nvim_create_augroup('agent_lsp.questions', {})

local function at_rest()
  return vim.api.nvim_get_mode().mode == 'n' and vim.fn.getcmdwintype() == ''
end

local function ask_next()
  local moot
  repeat
    local ask = at_rest() and table.remove(waiting, 1)
    moot = ask and ask() == false
  until not moot
  if #waiting == 0 then
    vim.api.nvim_clear_autocmds({ group = group })
  end
end

--- Calls `ask` as soon as nothing is being typed.
---@param ask fun(): boolean? false where it need not be asked any more
---@param what string said meanwhile
local function at_leisure(ask, what)
  if at_rest() and #waiting == 0 then
    ask()
    return
  end
  table.insert(waiting, ask)
  tell.say(what .. '  (asked when you are back in normal mode)')
  vim.api.nvim_clear_autocmds({ group = group })
  vim.api.nvim_create_autocmd({ 'ModeChanged', 'CmdwinLeave' }, { group = group, callback = vim.schedule_wrap(ask_next) })
end

---@param run_id string
---@param answer string?
local function give(run_id, answer)
  local run = board.runs[run_id]
  if answer and vim.trim(answer) ~= '' then
    server.call('agent.answer', { runId = run_id, answer = answer }, nil, run and run.client_id)
  end
end

---@param question agent_lsp.BlockedMessage
local function ask(question)
  local ask_freely = function()
    vim.ui.input({ prompt = question.question .. ' ' }, function(answer)
      give(question.runId, answer)
    end)
  end
  if #question.options == 0 then
    return ask_freely()
  end
  local other = 'Something else…'
  local choices = vim.list_extend(vim.list_slice(question.options), { other })
  vim.ui.select(choices, { prompt = question.question, kind = 'agent_lsp' }, function(answer)
    if answer == other then
      ask_freely()
    else
      give(question.runId, answer)
    end
  end)
end

--- `agent/blocked`
---@param question agent_lsp.BlockedMessage
function M.on_blocked(_, question, context)
  board.questions[question.runId] = question
  board.refresh(context.client_id)
  if not settings.get().ask then
    tell.say(question.question .. '  (:Agent answer)')
    return
  end
  at_leisure(function()
    if board.questions[question.runId] ~= question then
      return false
    end
    ask(question)
  end, question.question)
end

--- Asks again what a run wants to know; with words, answers it.
---@param words string
function M.answer(words)
  for _, run in ipairs(board.newest({ 'blocked' })) do
    local question = board.questions[run.runId]
    if question then
      if words ~= '' then
        give(run.runId, words)
      else
        ask(question)
      end
      return
    end
  end
  tell.say('nothing is asked')
end

---@param params lsp.ShowMessageRequestParams
---@return boolean
local function is_of_a_run(params)
  for _, asked in pairs(board.questions) do
    if vim.startswith(params.message, asked.question .. ' (') then
      return true
    end
  end
  return false
end

--- `window/showMessageRequest`: the question of a run has its own notification, everything else is chosen here.
---@param params lsp.ShowMessageRequestParams
function M.on_show_message_request(_, params)
  local thread = coroutine.running()
  if not params.actions or #params.actions == 0 or is_of_a_run(params) then
    return vim.NIL
  end
  at_leisure(function()
    local how = {
      prompt = params.message,
      kind = 'agent_lsp',
      format_item = function(action)
        return action.title
      end,
    }
    vim.ui.select(params.actions, how, function(choice)
      vim.schedule(function()
        coroutine.resume(thread, choice or vim.NIL)
      end)
    end)
  end, params.message)
  return coroutine.yield()
end

return M
