-- Owns how proposed changes look in their buffers, and where they are now.
--
-- The server's diagnostics say which hunks are on offer and where they were; from then on an extmark follows each.
local board = require('agent_lsp.board')
local highlights = require('agent_lsp.highlights')
local settings = require('agent_lsp.settings')

local M = {}

local PLACES = vim.api.nvim_create_namespace('agent_lsp.places')
local LOOKS = vim.api.nvim_create_namespace('agent_lsp.hunks')

---@class agent_lsp.Place
---@field buffer integer
---@field proposal agent_lsp.Proposal
---@field file agent_lsp.ChangedFile
---@field hunk agent_lsp.Hunk
---@field verdict string in a few words
---@field refused string? why it cannot be accepted now
---@field start integer first line, from 0
---@field stop integer behind its last line; equal to `start` where lines are only added
---@field touched boolean whether the lines are no longer those that the change was made for

---@type table<integer, table<string, integer>> extmarks by buffer and hunk
local marks = {}
---@type table<string, true> proposals that were asked for
local asked = {}

highlights.define()

---@param text string
---@return string[]
function M.lines_of(text)
  local lines = vim.split(text:gsub('\r\n', '\n'), '\n', { plain = true })
  if lines[#lines] == '' then
    table.remove(lines)
  end
  return lines
end

---@param buffer integer
---@param start integer
---@param old string[]
local function stands_at(buffer, start, old)
  return vim.deep_equal(vim.api.nvim_buf_get_lines(buffer, start, start + #old, false), old)
end

--- Where the hunk is: where its mark is, unless its text is where the diagnostic says and not at the mark.
---@param buffer integer
---@param id string
---@param hunk agent_lsp.Hunk
---@param told integer
---@return integer start, integer stop, boolean touched
local function locate(buffer, id, hunk, told)
  local old = M.lines_of(hunk.oldText)
  local count = vim.api.nvim_buf_line_count(buffer)
  if #old == 0 and told == count - 1 and hunk.range.start.line >= count then
    told = count -- behind the last line, which no diagnostic can name
  end
  local mark = marks[buffer] and marks[buffer][id]
  if mark then
    local row, _, details = unpack(vim.api.nvim_buf_get_extmark_by_id(buffer, PLACES, mark, { details = true }))
    if row and (stands_at(buffer, row, old) or not stands_at(buffer, told, old)) then
      local stop = math.max(row, details.end_row or row)
      return row, stop, stop - row ~= #old or not stands_at(buffer, row, old)
    end
  end
  return math.min(told, count), math.min(told + #old, count), not stands_at(buffer, told, old)
end

---@param client_id integer
---@param proposal_id string
local function fetch(client_id, proposal_id)
  if not asked[proposal_id] then
    asked[proposal_id] = true
    require('agent_lsp.server').call('agent.proposal', { proposalId = proposal_id }, function(proposal)
      board.take_proposal(proposal, client_id)
    end, client_id)
  end
end

---@param proposal agent_lsp.Proposal
---@param hunk_id string
---@return agent_lsp.ChangedFile?, agent_lsp.Hunk?
local function find(proposal, hunk_id)
  for _, file in ipairs(proposal.files) do
    for _, hunk in ipairs(file.hunks) do
      if hunk.id == hunk_id then
        return file, hunk
      end
    end
  end
end

--- The hunks that the server's diagnostics offer in a buffer, loaded or not; in all buffers without one.
---@param buffer integer?
---@return agent_lsp.Place[]
function M.offered(buffer)
  local places = {} ---@type agent_lsp.Place[]
  for _, client in ipairs(vim.lsp.get_clients({ name = 'agent_lsp' })) do
    local namespace = vim.lsp.diagnostic.get_namespace(client.id)
    for _, diagnostic in ipairs(vim.diagnostic.get(buffer, { namespace = namespace })) do
      local data = vim.tbl_get(diagnostic, 'user_data', 'lsp', 'data')
      local proposal = data and data.hunkId and board.proposals[data.proposalId]
      local file, hunk = nil, nil
      if proposal then
        file, hunk = find(proposal, data.hunkId)
      elseif data and data.hunkId then
        fetch(client.id, data.proposalId)
      end
      if proposal and file and hunk then
        local at, stop, touched = diagnostic.lnum, diagnostic.lnum, false
        if vim.api.nvim_buf_is_loaded(diagnostic.bufnr) then
          at, stop, touched = locate(diagnostic.bufnr, hunk.id, hunk, diagnostic.lnum)
        end
        table.insert(places, {
          buffer = diagnostic.bufnr,
          proposal = proposal,
          file = file,
          hunk = hunk,
          verdict = data.verdictTitle or proposal.verdict.decision,
          refused = data.refused,
          start = at,
          stop = stop,
          touched = touched,
        })
      end
    end
  end
  table.sort(places, function(left, right)
    if left.buffer ~= right.buffer then
      return left.buffer < right.buffer
    end
    return left.start < right.start
  end)
  return places
end

--- What the tests left open about the proposed lines, by their number in the hunk.
---@param place agent_lsp.Place
---@return table<integer, string>
local function notes(place)
  local first = place.hunk.range.start.line
  for _, hunk in ipairs(place.file.hunks) do
    if hunk.range.start.line < place.hunk.range.start.line then
      first = first + #M.lines_of(hunk.newText) - #M.lines_of(hunk.oldText)
    end
  end
  local found = {} ---@type table<integer, string>
  for _, row in ipairs(place.proposal.verdict.unrunLines) do
    if row.uri == place.file.uri then
      found[row.line - first + 1] = 'no test runs this line'
    end
  end
  for _, row in ipairs(place.proposal.verdict.survivors or {}) do
    if row.uri == place.file.uri then
      found[row.line - first + 1] = 'no test notices: ' .. row.text
    end
  end
  return found
end

---@param place agent_lsp.Place
---@return string[][][] virtual lines
local function virtual_lines(place)
  local group = place.touched and 'AgentLspStale' or 'AgentLspAdd'
  local tab, noted = (' '):rep(vim.bo[place.buffer].tabstop), notes(place)
  local lines = {} ---@type string[][][]
  for index, line in ipairs(M.lines_of(place.hunk.newText)) do
    line = line:gsub('\t', tab)
    local note = noted[index] and '   ' .. noted[index] or ''
    local rest = math.max(0, vim.o.columns - vim.fn.strdisplaywidth(line .. note))
    table.insert(lines, { { line, group }, { note, { group, 'AgentLspUndecided' } }, { (' '):rep(rest), group } })
  end
  return lines
end

--- Lines above the first one are only seen when the window is scrolled to them.
---@param buffer integer
---@param count integer
local function show_above_first(buffer, count)
  for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
    if vim.fn.line('w0', window) == 1 then
      vim.api.nvim_win_call(window, function()
        vim.fn.winrestview({ topline = 1, topfill = count })
      end)
    end
  end
end

--- Whether a diff beside the buffer shows the proposed text already.
---@param buffer integer
local function in_diff(buffer)
  return vim.iter(vim.fn.win_findbuf(buffer)):any(function(window)
    return vim.wo[window].diff and vim.api.nvim_win_get_tabpage(window) == vim.api.nvim_get_current_tabpage()
  end)
end

---@param place agent_lsp.Place
local function draw_new_lines(place)
  local added = virtual_lines(place)
  if #added == 0 or in_diff(place.buffer) then
    return
  end
  local count = vim.api.nvim_buf_line_count(place.buffer)
  local row, above = place.stop - 1, false
  if place.start == place.stop and place.start < count then
    row, above = place.start, count > 1 or vim.api.nvim_buf_get_lines(place.buffer, 0, 1, false)[1] ~= ''
  end
  row = math.max(0, math.min(row, count - 1))
  vim.api.nvim_buf_set_extmark(place.buffer, LOOKS, row, 0, { virt_lines = added, virt_lines_above = above })
  if above and row == 0 then
    show_above_first(place.buffer, #added)
  end
end

---@param place agent_lsp.Place
---@param shown agent_lsp.Settings
local function draw_place(place, shown)
  local buffer, last = place.buffer, vim.api.nvim_buf_line_count(place.buffer) - 1
  local first = math.min(place.start, last)
  if not place.touched then
    for row = place.start, math.min(place.stop, last + 1) - 1 do
      vim.api.nvim_buf_set_extmark(buffer, LOOKS, row, 0, { line_hl_group = 'AgentLspDelete' })
    end
  end
  if shown.signs then
    local sign = place.stop == place.start and '+' or place.hunk.newText == '' and '-' or '~'
    for row = first, math.max(first, math.min(place.stop, last + 1) - 1) do
      local sign_hl = place.touched and 'AgentLspStale' or 'AgentLspSign'
      vim.api.nvim_buf_set_extmark(buffer, LOOKS, row, 0, { sign_text = sign, sign_hl_group = sign_hl, priority = 20 })
    end
  end
  if shown.verdict then
    local stale = place.proposal.stale or place.touched
    local group = stale and 'AgentLspStale' or highlights.of(place.proposal.verdict.decision)
    local text = { { '  ' .. place.verdict, group } }
    vim.api.nvim_buf_set_extmark(buffer, LOOKS, first, 0, { virt_text = text, hl_mode = 'combine' })
  end
  if shown.lines then
    draw_new_lines(place)
  end
end

--- Shows what is on offer in one buffer, and nothing else.
---@param buffer integer
function M.draw(buffer)
  if not vim.api.nvim_buf_is_loaded(buffer) then
    return
  end
  local places = M.offered(buffer)
  local known, now = marks[buffer] or {}, {} ---@type table<string, integer>
  if #places == 0 and next(known) == nil then
    return
  end
  vim.api.nvim_buf_clear_namespace(buffer, LOOKS, 0, -1)
  for _, place in ipairs(places) do
    now[place.hunk.id] = vim.api.nvim_buf_set_extmark(buffer, PLACES, place.start, 0, {
      id = known[place.hunk.id],
      end_row = place.stop,
      end_col = 0,
      end_right_gravity = false,
      strict = false,
    })
    draw_place(place, settings.get())
  end
  for id, mark in pairs(known) do
    if not now[id] then
      vim.api.nvim_buf_del_extmark(buffer, PLACES, mark)
    end
  end
  marks[buffer] = next(now) and now or nil
end

--- The same for every buffer.
function M.draw_all()
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    M.draw(buffer)
  end
end

---@param shown any an entry of vim.diagnostic.config()
---@return any
local function without_information(shown)
  if not shown then
    return shown
  end
  local severity = { severity = { min = vim.diagnostic.severity.WARN } }
  return vim.tbl_extend('force', type(shown) == 'table' and shown or {}, severity)
end

--- The server tells of hunks by diagnostics too. They stay in the list, and are not drawn a second time.
---@param client_id integer
function M.quieten_diagnostics(client_id)
  local all = vim.diagnostic.config() or {}
  vim.diagnostic.config({
    signs = without_information(all.signs),
    underline = without_information(all.underline),
    virtual_text = without_information(all.virtual_text),
    virtual_lines = without_information(all.virtual_lines),
  }, vim.lsp.diagnostic.get_namespace(client_id))
end

--- The proposed change that the cursor is on.
---@return agent_lsp.Place?
function M.at_cursor()
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local last = vim.api.nvim_buf_line_count(0) - 1
  for _, place in ipairs(M.offered(vim.api.nvim_get_current_buf())) do
    local first = math.min(place.start, last)
    if row >= first and row <= math.max(first, place.stop - 1) then
      return place
    end
  end
end

return M
