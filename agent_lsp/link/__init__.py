"""The pipe between edge and runtime: calls and events as plain data."""
