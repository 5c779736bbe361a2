"""Owns which workspaces the person trusts with which settings: one small file among the user's data."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent_lsp.domain.errors import ConfigError
from agent_lsp.settings.layers import DATA_VARIABLE


def trust_file(environ: Mapping[str, str]) -> Path:
    """`trust.json` in AGENT_LSP_DATA_DIR, else in the user's data folder."""
    named = environ.get(DATA_VARIABLE, "")
    if named:
        return Path(named).expanduser() / "trust.json"
    import platformdirs

    return Path(platformdirs.user_data_dir("agent-lsp", appauthor=False)) / "trust.json"


class TrustStore:
    """Answers of the person, keyed by the resolved root and the digest of the settings that were asked about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def decision(self, root: Path, digest: str) -> bool | None:
        """What was answered to exactly these settings; None when nobody was asked."""
        row = self._read().get(str(root.resolve()))
        if not isinstance(row, dict) or row.get("digest") != digest or not isinstance(row.get("trusted"), bool):
            return None
        return bool(row["trusted"])

    def decide(self, root: Path, digest: str, *, trusted: bool) -> None:
        """Keeps an answer, whole or not at all. Raises ConfigError when the file cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                self._replace(self._read() | {str(root.resolve()): {"digest": digest, "trusted": trusted}})
        except OSError as error:
            raise ConfigError(
                f"{self.path}: the answer cannot be kept: {error.strerror}",
                hint=f"Make the folder writable, or name another one with {DATA_VARIABLE}.",
            ) from error

    def forget(self, root: Path) -> None:
        """As if the person had never been asked about this workspace."""
        if str(root.resolve()) not in self._read():
            return
        with self._locked():
            self._replace({key: row for key, row in self._read().items() if key != str(root.resolve())})

    def _read(self) -> dict[str, Any]:
        """All answers; a file that cannot be read or makes no sense trusts nobody."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _replace(self, rows: Mapping[str, Any]) -> None:
        handle, name = tempfile.mkstemp(prefix=".trust-", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(rows, stream, indent=1, sort_keys=True)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two runtimes may get an answer at the same time, and both must be kept."""
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
