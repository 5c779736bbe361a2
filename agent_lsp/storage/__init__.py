"""SQLite and log files: journal, checkpoints, copilot_console.log."""
