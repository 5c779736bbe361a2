"""Owns `python -m agent_lsp`: the same as the console script."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder that it was started in, as a rule a workspace: its secrets.py is not Python's
    from agent_lsp.cli.main import main

    sys.exit(main())
