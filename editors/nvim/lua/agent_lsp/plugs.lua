-- Owns the names of the <Plug> keys: `<Plug>(agent-NAME)` runs `:Agent WORDS`.
---@type table<string, string>
return {
  ['next'] = 'next',
  ['prev'] = 'prev',
  ['accept'] = 'accept',
  ['accept-file'] = 'accept file',
  ['accept-all'] = 'accept all',
  ['discard'] = 'discard',
  ['discard-file'] = 'discard file',
  ['discard-all'] = 'discard all',
  ['feedback'] = 'feedback',
  ['diff'] = 'diff',
  ['edit'] = 'edit',
  ['run'] = 'run',
  ['fix'] = 'fix',
  ['plan'] = 'plan edit',
  ['answer'] = 'answer',
  ['cancel'] = 'cancel',
  ['rollback'] = 'rollback',
  ['status'] = 'status',
  ['log'] = 'log',
}
