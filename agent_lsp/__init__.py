"""agent-lsp: a language server that turns a goal into a tested change."""
