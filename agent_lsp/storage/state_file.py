"""Owns `state.db` as a file: opened and mended, missed when it is deleted, kept in memory where there is no disk."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_lsp.storage.schema import SCHEMA, SCHEMA_VERSION, TABLES, UPGRADES

if TYPE_CHECKING:
    import apsw

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S: Final = 10.0

RETRY_S: Final = 10.0
"""How long after a disk refused the next attempt to use it is made."""

_IN_MEMORY: Final = (
    "Runs and checkpoints are kept in memory only until that is mended: a crash cannot be recovered before, and "
    "rollback ends with this process."
)


class _NewerSchemaError(Exception):
    """The file was written by a later version; it is left as it is."""


class StateFile:
    """One workspace's `state.db`, used by one thread. `tell` hears of every trouble once, in plain words."""

    def __init__(self, path: Path, owner: str, tell: Callable[[str], None]) -> None:
        self.path, self.owner = path, owner
        self._tell = tell
        self._connection: apsw.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._alive_fd: int | None = None
        self._retry_at = 0.0

    def connection(self) -> "apsw.Connection":
        """An open connection to the file that now has the name, or to memory. Raises apsw.Error."""
        known = self._connection
        if known is None:
            self._connection = known = self._open()
        elif self._identity is not None and self._identity != _identity(self.path):
            return self._move_over(known, f"{self.path.name} was deleted or replaced while it was in use; ")
        elif self._identity is None and time.monotonic() >= self._retry_at:
            return self._move_over(known, f"{self.path} can be used again; ")
        return known

    def mend(self) -> "apsw.Connection":
        """A file whose pages are damaged is moved aside, and a new one opened."""
        self._shut_connection()
        self._connection = self._open(thorough=True)
        return self._connection

    def close(self) -> None:
        """Lets go of the file and of the sign that this process lives."""
        self._shut_connection()
        if self._alive_fd is not None:
            (self._alive_folder / self.owner).unlink(missing_ok=True)
            os.close(self._alive_fd)
            self._alive_fd = None

    def living_owners(self) -> frozenset[str]:
        """Owners whose process still runs, this one included."""
        found = {self.owner}
        for path in self._alive_folder.glob("[!.]*") if self._alive_fd is not None else ():
            if path.name != self.owner and _is_locked(path):
                found.add(path.name)
        return frozenset(found)

    @property
    def _alive_folder(self) -> Path:
        return self.path.with_name(self.path.name + ".alive")

    def _move_over(self, old: "apsw.Connection", what: str) -> "apsw.Connection":
        """To the file that has the name now, with everything that the old connection still holds."""
        import apsw

        was_on_disk, self._identity = self._identity is not None, None
        new = self._open()
        if self._identity is None and not was_on_disk:
            new.close(True)
            return old
        try:
            _pour(old, new)
            self._tell(f"{what}everything that it held is in {self.path if self._identity else 'memory'} now.")
        except apsw.Error as error:
            self._tell(f"{what}what it held is lost ({error}).")
        with contextlib.suppress(apsw.Error):
            old.close(True)
        self._connection = new
        return new

    def _open(self, *, thorough: bool = False) -> "apsw.Connection":
        import apsw

        try:
            self._prepare_folder()
            with _locked(self.path.with_name(self.path.name + ".lock")):
                try:
                    made = _connect(self.path, thorough=thorough)
                except (apsw.CorruptError, apsw.NotADBError) as error:
                    aside = _move_aside(self.path)
                    self._tell(
                        f"{self.path.name} was damaged ({error}); it was kept as {aside.name}, a new one is used."
                    )
                    made = _connect(self.path, thorough=False)
                self._identity = _identity(self.path)
                return made
        except (OSError, apsw.Error, _NewerSchemaError) as error:
            self._identity, self._retry_at = None, time.monotonic() + RETRY_S
            self._tell(f"{self.path} cannot be used ({error}). {_IN_MEMORY}")
            return _connect(None, thorough=False)

    def _shut_connection(self) -> None:
        connection, self._connection, self._identity = self._connection, None, None
        if connection is not None:
            connection.close(True)

    def _prepare_folder(self) -> None:
        folder = self.path.parent
        if folder.is_symlink() or self.path.is_symlink():
            raise OSError("it is a symbolic link")
        folder.mkdir(mode=0o755, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(0o600)
        if self._alive_fd is None or not (self._alive_folder / self.owner).exists():
            fresh = _lock_new(self._alive_folder, self.owner)
            if self._alive_fd is not None:
                os.close(self._alive_fd)
            self._alive_fd = fresh


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path | None, *, thorough: bool) -> "apsw.Connection":
    """An open connection with our schema in it; in memory without a path."""
    import apsw

    connection = apsw.Connection(":memory:" if path is None else str(path))
    try:
        connection.set_busy_timeout(int(BUSY_TIMEOUT_S * 1000))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if thorough and connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise apsw.CorruptError("its pages do not fit together")
        _migrate(connection)
    except BaseException:
        connection.close(True)
        raise
    return connection


def _migrate(connection: "apsw.Connection") -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = connection.execute("PRAGMA user_version").fetchone()
        version = int(row[0]) if row else 0
        if version > SCHEMA_VERSION:
            raise _NewerSchemaError("a later version of agent-lsp wrote it")
        if version < SCHEMA_VERSION:
            for step in range(version, SCHEMA_VERSION) if version else ():
                connection.execute(UPGRADES[step])
            connection.execute(SCHEMA)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pour(old: "apsw.Connection", new: "apsw.Connection") -> None:
    """Everything of one database into another; what is there already, poured by another process, stays as it is."""
    new.execute("BEGIN IMMEDIATE")
    try:
        for table, columns in TABLES.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            rows = old.execute(f"SELECT {names} FROM {table} ORDER BY rowid")  # noqa: S608
            if table == "events":  # its key is a count, which says nothing in another file
                same = " AND ".join(f"{name} = ?" for name in columns)
                insert = (
                    f"INSERT INTO events ({names}) SELECT {marks} WHERE NOT EXISTS (SELECT 1 FROM events WHERE {same})"  # noqa: S608
                )
                new.executemany(insert, [(*row, *row) for row in rows])
            else:
                new.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", list(rows))  # noqa: S608
        new.execute("COMMIT")
    except BaseException:
        if new.in_transaction:
            new.execute("ROLLBACK")
        raise


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.rename(aside)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return aside


# --- who is alive: an advisory lock that the system drops with its process -------------------------------------------


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _lock_new(folder: Path, name: str) -> int:
    """Locked before it gets its name, so that nobody can see it unlocked while its process lives."""
    import fcntl

    folder.mkdir(mode=0o700, exist_ok=True)
    hidden = folder / f".{name}"
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    hidden.rename(folder / name)
    return fd


def _is_locked(path: Path) -> bool:
    """Whether a process holds it; a file that nobody holds is swept away."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
