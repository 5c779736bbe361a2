"""Owns `python -m agent_lsp`: the same as the console script."""

import sys

from agent_lsp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
