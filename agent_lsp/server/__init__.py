"""The editor edge: the only importer of pygls and lsprotocol."""
