-- Owns what a configuration calls: `setup` and `statusline`. Both are optional.
local M = {}

--- Takes settings; see |agent_lsp-settings|. May be called before or after the plugin is loaded.
---@param settings table<string, any>?
function M.setup(settings)
  require('agent_lsp.settings').set(settings)
  local enable = require('agent_lsp.settings').get().enable
  if vim.g.loaded_agent_lsp and enable ~= vim.lsp.is_enabled('agent_lsp') then
    vim.lsp.enable('agent_lsp', enable)
  end
end

--- A few words on what runs or waits, for 'statusline'; empty when there is nothing.
---@return string
function M.statusline()
  return package.loaded['agent_lsp.board'] and require('agent_lsp.status').line() or ''
end

return M
