-- Drives the main job in a stock Neovim: vim.lsp alone, no plugin. Writes what it saw as JSON and quits.
-- Reads its task from the environment: AGENT_LSP_COMMAND (JSON list), AGENT_LSP_CONFIGURATION (the folder editors/nvim),
-- AGENT_LSP_FILE, AGENT_LSP_GOAL, AGENT_LSP_REPORT.

local report = { progress = {}, titles = {}, messages = {} }

local function finish(problem)
  report.problem = problem
  local file = assert(io.open(vim.env.AGENT_LSP_REPORT, 'w'))
  file:write(vim.json.encode(report))
  file:close()
  for _, client in ipairs(vim.lsp.get_clients()) do
    client:stop()
  end
  vim.wait(3000, function() return #vim.lsp.get_clients() == 0 end, 20)
  vim.cmd('qall!')
end

local function await(what, seconds, condition)
  if not vim.wait(seconds * 1000, condition, 50) then
    error('waited ' .. seconds .. ' s for ' .. what, 0)
  end
end

local function text() return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n') end

local function ours()
  return vim.tbl_filter(function(d)
    return d.source == 'agent-lsp' and d.severity == vim.diagnostic.severity.INFO
  end, vim.diagnostic.get(0))
end

local function main_job()
  vim.api.nvim_create_autocmd('LspProgress', {
    callback = function(event)
      local value = event.data.params.value
      table.insert(report.progress, { kind = value.kind, title = value.title, message = value.message })
    end,
  })
  vim.lsp.handlers['window/showMessage'] = function(_, result) table.insert(report.messages, result.message) end

  vim.opt.runtimepath:append(vim.env.AGENT_LSP_CONFIGURATION)
  vim.lsp.config('agent_lsp', { cmd = vim.json.decode(vim.env.AGENT_LSP_COMMAND) })
  vim.lsp.enable('agent_lsp')
  vim.cmd.edit(vim.env.AGENT_LSP_FILE)
  await('the server', 60, function()
    local client = vim.lsp.get_clients({ name = 'agent_lsp' })[1]
    return client ~= nil and client.initialized
  end)
  local client = vim.lsp.get_clients({ name = 'agent_lsp' })[1]
  report.encoding = client.offset_encoding
  report.root = client.root_dir
  -- an edit that is not saved: the run must see it, and it must survive
  vim.api.nvim_buf_set_lines(0, 0, 0, false, { '# typed and not saved' })
  vim.cmd('let &undolevels = &undolevels') -- ends the undo block, as the next key of a person would
  report.before = text()

  local answer
  client:exec_cmd({
    title = 'run',
    command = 'agent.run',
    arguments = { { goal = vim.env.AGENT_LSP_GOAL, uri = vim.uri_from_bufnr(0) } },
  }, { bufnr = 0 }, function(err, result) answer = { err = err, result = result } end)
  await('the answer to agent.run', 60, function() return answer ~= nil end)
  report.run = answer.result

  await('the proposal', 240, function()
    local last = report.progress[#report.progress]
    return #ours() > 0 and last ~= nil and last.kind == 'end'
  end)
  local hunk = ours()[1]
  report.diagnostic = hunk.message
  vim.lsp.codelens.refresh({ bufnr = 0 })
  await('the lenses', 60, function() return #vim.lsp.codelens.get(0) > 0 end)
  report.lenses = vim.tbl_map(function(lens) return lens.command and lens.command.title or vim.NIL end, vim.lsp.codelens.get(0))

  vim.api.nvim_win_set_cursor(0, { hunk.lnum + 1, hunk.col })
  vim.ui.select = function(items, opts, on_choice)
    for index, item in ipairs(items) do
      table.insert(report.titles, opts.format_item and opts.format_item(item) or vim.inspect(item))
      if report.titles[index]:find('Accept change', 1, true) then
        on_choice(item, index)
        return
      end
    end
    error('no Accept change among the code actions', 0)
  end
  local tick = vim.api.nvim_buf_get_changedtick(0)
  vim.lsp.buf.code_action()
  await('the accepted change', 120, function() return vim.api.nvim_buf_get_changedtick(0) ~= tick end)
  report.applied = text()
  await('the end of the review', 60, function() return #ours() == 0 end)
  await('the end of all progress', 60, function() return report.progress[#report.progress].kind == 'end' end)
  vim.cmd('undo')
  report.undone = text()
end

local ok, problem = xpcall(main_job, function(err)
  return type(err) == 'string' and err or vim.inspect(err)
end)
finish(not ok and problem or nil)
