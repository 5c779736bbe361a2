"""The command line: a face of `app`."""
