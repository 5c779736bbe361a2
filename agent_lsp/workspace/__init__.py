"""The person's code: files, buffers, git, candidates, processes, sandbox, test runners."""
