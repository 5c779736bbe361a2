-- Owns taking changes back: of one run, or of a chosen one; what was taken back can be brought back the same way.
local board = require('agent_lsp.board')
local server = require('agent_lsp.server')
local tell = require('agent_lsp.tell')

local M = {}

--- The checkpoints of rollbacks that took something back; what undoes one of them took nothing back.
---@type table<string, boolean>
local rollbacks = {}

---@param checkpoint agent_lsp.Checkpoint
---@return string
local function words(checkpoint)
  local forward = checkpoint.undoes and not rollbacks[checkpoint.undoes]
  local what = forward and 'bring back: ' or 'take back: '
  return ('%s%s  (%s)'):format(what, checkpoint.summary, os.date('%H:%M', checkpoint.timeS))
end

---@param id string
---@param client_id integer
local function roll_back(id, client_id)
  server.call('agent.rollback', { checkpointId = id }, function(answer)
    if answer.applied then
      tell.say('done; :Agent rollback has the way back')
    end
    board.refresh(client_id)
  end, client_id)
end

---@param run agent_lsp.Run
function M.roll_back_run(run)
  if run.checkpointId then
    roll_back(run.checkpointId, run.client_id)
  else
    tell.say('nothing of this run is applied')
  end
end

--- Rolls back the only change there is, or the chosen one; or shows what that would do.
---@param preview boolean
function M.choose(preview)
  local client = server.client()
  local act = function(checkpoint)
    if checkpoint and preview then
      server.call('agent.checkpoints', { checkpointId = checkpoint.checkpointId }, function(answer)
        local lines = vim.split(answer.preview.diff, '\n')
        if answer.preview.reason then
          table.insert(lines, 1, answer.preview.reason)
        end
        require('agent_lsp.documents').float(lines, 'diff', words(checkpoint))
      end)
    elseif checkpoint and client then
      roll_back(checkpoint.checkpointId, client.id)
    end
  end
  server.call('agent.checkpoints', {}, function(answer)
    rollbacks = {}
    for _, checkpoint in ipairs(answer.checkpoints) do
      rollbacks[checkpoint.checkpointId] = checkpoint.undoes ~= nil or nil
    end
    ---@type agent_lsp.Checkpoint[]
    local found = vim.tbl_filter(function(checkpoint)
      return checkpoint.state == 'applied'
    end, answer.checkpoints)
    if #found == 0 then
      tell.say('there is nothing to take back')
    elseif #found == 1 then
      act(found[1])
    else
      vim.ui.select(found, { prompt = 'Which change?', kind = 'agent_lsp', format_item = words }, act)
    end
  end)
end

return M
