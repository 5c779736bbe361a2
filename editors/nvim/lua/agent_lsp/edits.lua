-- Owns `workspace/applyEdit`: the accepted change as one undo step of its own, refused honestly where the text has moved.
local M = {}

--- Ends the undo step that the person is in, so that one undo never takes what was typed with it.
---@param buffer integer
local function end_undo_step(buffer)
  vim.bo[buffer].undolevels = vim.bo[buffer].undolevels
end

---@param change lsp.TextDocumentEdit
---@return integer buffer, string? problem
local function check(change)
  local buffer = vim.uri_to_bufnr(change.textDocument.uri)
  local version = change.textDocument.version
  local held = vim.lsp.util.buf_versions[buffer]
  if not vim.api.nvim_buf_is_loaded(buffer) then
    return buffer, 'the document is not loaded'
  elseif not vim.bo[buffer].modifiable then
    return buffer, "the buffer is not 'modifiable'"
  elseif version and version ~= vim.NIL and held and version ~= held then
    return buffer, ('the document is at version %d, the edit was made for version %d'):format(held, version)
  end
  return buffer, nil
end

---@param params lsp.ApplyWorkspaceEditParams
---@param context lsp.HandlerContext
---@return lsp.ApplyWorkspaceEditResult
function M.on_apply_edit(_, params, context)
  local buffers = {} ---@type integer[]
  for _, change in ipairs(params.edit.documentChanges or {}) do
    if change.textDocument then
      local buffer, problem = check(change)
      if problem then
        return { applied = false, failureReason = problem }
      end
      table.insert(buffers, buffer)
    end
  end
  vim.iter(buffers):each(end_undo_step)
  local client = assert(vim.lsp.get_client_by_id(context.client_id))
  local done, why = pcall(vim.lsp.util.apply_workspace_edit, params.edit, client.offset_encoding)
  vim.iter(buffers):each(end_undo_step)
  return { applied = done, failureReason = not done and tostring(why) or nil }
end

return M
