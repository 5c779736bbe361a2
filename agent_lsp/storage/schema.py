"""Owns the tables of `state.db` and their version."""

from typing import Final

SCHEMA_VERSION: Final = 1
"""SQLite's `user_version`; raised with every change of the tables."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_s REAL NOT NULL,
    version INTEGER NOT NULL,
    owner TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, seq);
CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind, run_id);
CREATE TABLE IF NOT EXISTS checkpoints (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    proposal_id TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    time_s REAL NOT NULL,
    owner TEXT NOT NULL,
    position INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS checkpoint_files (
    checkpoint_id TEXT NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    before BLOB,
    before_mode TEXT,
    after BLOB,
    after_mode TEXT,
    in_editor INTEGER NOT NULL,
    PRIMARY KEY (checkpoint_id, position)
);
"""
