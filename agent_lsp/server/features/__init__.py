"""One file per feature of the language server protocol; each registers its handlers and listeners."""
