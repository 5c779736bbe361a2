"""Owns the tables of `state.db` and their version."""

from collections.abc import Mapping
from typing import Final

SCHEMA_VERSION: Final = 3
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
    size_bytes INTEGER NOT NULL,
    undoes TEXT NOT NULL DEFAULT ''
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
CREATE TABLE IF NOT EXISTS proposals (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    time_s REAL NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS proposal_files (
    proposal_id TEXT NOT NULL REFERENCES proposals (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    old_path TEXT,
    before BLOB,
    before_mode TEXT,
    after BLOB,
    after_mode TEXT,
    PRIMARY KEY (proposal_id, position)
);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    time_s REAL NOT NULL,
    place INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS run_deeds (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    edits TEXT,
    PRIMARY KEY (run_id, position)
);
CREATE TABLE IF NOT EXISTS run_bytes (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (run_id, sha256)
);
"""

UPGRADES: Final[Mapping[int, str]] = {
    1: "ALTER TABLE checkpoints ADD COLUMN undoes TEXT NOT NULL DEFAULT ''",
    2: "",
}
"""What makes tables of one version those of the next; tables that are new come from SCHEMA."""

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("run_id", "kind", "time_s", "version", "owner", "data"),
    "checkpoints": (
        *("id", "run_id", "proposal_id", "label", "state", "time_s", "owner", "position", "size_bytes", "undoes"),
    ),
    "checkpoint_files": (
        *("checkpoint_id", "position", "path", "before", "before_mode", "after", "after_mode", "in_editor"),
    ),
    "proposals": ("id", "run_id", "owner", "time_s", "data"),
    "proposal_files": (
        *("proposal_id", "position", "path", "old_path", "before", "before_mode", "after", "after_mode"),
    ),
    "runs": ("id", "owner", "time_s", "place", "starts", "data"),
    "run_deeds": ("run_id", "position", "kind", "data", "edits"),
    "run_bytes": ("run_id", "sha256", "content"),
}
"""What is carried over to another file, parents before children."""
