-- Owns the diff of a proposal: beside the file in Neovim's diff mode, or as text in a float.
local documents = require('agent_lsp.documents')
local hunks = require('agent_lsp.hunks')
local review = require('agent_lsp.review')
local server = require('agent_lsp.server')
local settings = require('agent_lsp.settings')
local tell = require('agent_lsp.tell')

local M = {}

---@param proposal agent_lsp.Proposal
local function float(proposal)
  documents.fetch('proposal/' .. proposal.proposalId .. '/all.diff', proposal.client_id, function(text)
    local name = ('%s: %s'):format(proposal.verdict.decision, proposal.summary)
    documents.float(vim.split(text, '\n'), 'diff', name)
  end)
end

--- Puts the proposed text into its buffer; written, it replaces what is proposed, and is tested.
---@param proposal agent_lsp.Proposal
---@param file agent_lsp.ChangedFile
---@param path string
---@param text string
---@return integer buffer
local function proposed_buffer(proposal, file, path, text)
  local buffer = documents.scratch(('agent-lsp://%s/%s'):format(proposal.proposalId, path))
  local crlf, ends = text:find('\r\n', 1, true) ~= nil, text:sub(-1) == '\n'
  documents.fill(buffer, vim.split((text:gsub('\r\n', '\n'):gsub('\n$', '')), '\n'))
  vim.bo[buffer].buftype = 'acwrite'
  vim.bo[buffer].modifiable = true
  vim.bo[buffer].filetype = vim.filetype.match({ filename = path, buf = buffer }) or ''
  vim.api.nvim_create_autocmd('BufWriteCmd', {
    buffer = buffer,
    callback = function()
      local lines = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
      local now = table.concat(lines, crlf and '\r\n' or '\n') .. (ends and (crlf and '\r\n' or '\n') or '')
      vim.bo[buffer].modified = false
      local argument = { proposalId = proposal.proposalId, uri = file.uri, text = now }
      server.call('agent.edit', argument, function()
        tell.say('your text is what is proposed now; it is being tested')
      end, proposal.client_id)
    end,
  })
  return buffer
end

---@param right integer
---@param in_tab boolean
local function close(right, in_tab)
  if in_tab and #vim.api.nvim_list_tabpages() > 1 then
    vim.cmd('tabclose')
  elseif vim.api.nvim_win_is_valid(right) then
    vim.api.nvim_win_close(right, true)
  end
end

--- Opens the file on the left and what it would be on the right, both in diff mode. `q` on the right closes it.
---@param proposal agent_lsp.Proposal
---@param file agent_lsp.ChangedFile
---@param in_tab boolean
---@param to_right boolean
local function beside(proposal, file, in_tab, to_right)
  local path = documents.relative(file.uri, proposal.client_id)
  local wanted = ('proposed/%s/%s'):format(proposal.proposalId, vim.uri_encode(path, 'rfc2396'))
  documents.fetch(wanted, proposal.client_id, function(text)
    local old = vim.uri_to_bufnr(file.oldUri ~= vim.NIL and file.oldUri or file.uri)
    local buffer = proposed_buffer(proposal, file, path, text)
    if in_tab then
      vim.cmd('tab split')
    end
    local left = vim.api.nvim_get_current_win()
    if vim.api.nvim_win_get_buf(left) ~= old then
      vim.api.nvim_win_set_buf(left, old)
    end
    local row = vim.api.nvim_win_get_cursor(left)
    local right = vim.api.nvim_open_win(buffer, to_right, { split = 'right', win = left })
    vim.wo[left].winbar = ' as it is'
    vim.wo[right].winbar = (' proposed (%s)   :w proposes your text  q closes'):format(proposal.verdict.decision)
    for _, window in ipairs({ left, right }) do
      vim.api.nvim_win_call(window, vim.cmd.diffthis)
    end
    hunks.draw(old)
    vim.api.nvim_create_autocmd('WinClosed', {
      pattern = tostring(right),
      once = true,
      callback = vim.schedule_wrap(function()
        if vim.api.nvim_win_is_valid(left) then
          vim.wo[left].winbar = ''
          vim.api.nvim_win_call(left, vim.cmd.diffoff)
        end
        hunks.draw_all()
      end),
    })
    vim.keymap.set('n', 'q', function()
      close(right, in_tab)
    end, { buffer = buffer, nowait = true, desc = 'close the diff' })
    local window = to_right and right or left
    vim.api.nvim_win_call(window, function()
      vim.cmd(row[1] > 1 and 'normal! zz' or 'silent! normal! gg]c')
    end)
  end)
end

--- Shows the proposal under the cursor, or the chosen one.
---@param way string 'tab', 'split' or 'float'; empty: as the settings say
---@param to_edit boolean? go to the proposed text
function M.open(way, to_edit)
  way = way ~= '' and way or settings.get().diff
  if to_edit and way == 'float' then
    way = 'tab'
  end
  review.with_proposal(function(proposal)
    M.show(proposal, way, to_edit)
  end)
end

---@param proposal agent_lsp.Proposal
---@param way string
---@param to_edit boolean?
function M.show(proposal, way, to_edit)
  local here = vim.uri_from_bufnr(0)
  if way == 'float' or #proposal.files == 0 then
    return float(proposal)
  end
  for _, file in ipairs(proposal.files) do
    if file.uri == here or file.oldUri == here then
      return beside(proposal, file, way == 'tab', to_edit or false)
    end
  end
  if #proposal.files == 1 then
    return beside(proposal, proposal.files[1], way == 'tab', to_edit or false)
  end
  local how = {
    prompt = 'Which file?',
    kind = 'agent_lsp',
    format_item = function(file)
      return ('%s (%s, %d)'):format(documents.relative(file.uri, proposal.client_id), file.kind, #file.hunks)
    end,
  }
  vim.ui.select(proposal.files, how, function(file)
    if file then
      beside(proposal, file, way == 'tab', to_edit or false)
    end
  end)
end

return M
