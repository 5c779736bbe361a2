"""Owns the one SQLite file of a workspace: opening and mending it, its schema, and the one thread that uses it."""

import asyncio
import contextlib
import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent_lsp.domain.errors import OperatorError
from agent_lsp.storage.schema import SCHEMA, SCHEMA_VERSION

if TYPE_CHECKING:
    import apsw

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 10.0
_BATCH: Final = 500
_UNWRITTEN_LIMIT: Final = 20_000


class StorageError(OperatorError):
    """The state database could not be read or written."""

    code = "storage"


class _NewerSchemaError(Exception):
    """The file was written by a later version; it is left as it is."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread; without a `future` nobody waits for it, and it is kept until it could be written."""

    work: Callable[["apsw.Connection"], Any]
    future: "Future[Any] | None" = None

    def settle(self, result: Any, error: BaseException | None = None) -> None:
        if self.future is None:
            if error is not None:
                logger.error("an entry of the state database was refused: %s", error)
            return
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Database:
    """`state.db` of one workspace; safe with several processes on one file.

    Nothing is opened before the first use. A corrupt file is moved aside and a new one made; where the folder
    cannot be written, everything is kept in memory only. `on_trouble` hears of both in plain words, from any thread.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.owner = secrets.token_hex(8)
        self._on_trouble = on_trouble or logger.warning
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._unwritten: list[_Job] = []
        self._alive_fd: int | None = None
        self._told: set[str] = set()
        self._closed = False

    def post(self, work: Callable[["apsw.Connection"], object]) -> None:
        """Does it soon, in order, and again later if the disk refuses now."""
        self._put(_Job(work))

    async def run(self, work: Callable[["apsw.Connection"], T]) -> T:
        """The result of the work, once it is committed. Raises StorageError."""
        future: Future[T] = Future()
        self._put(_Job(work, future))
        return await asyncio.wrap_future(future)

    async def flush(self) -> None:
        """Returns once all that was posted is on disk. Raises StorageError where it cannot be."""
        await self.run(lambda _: None)

    async def close(self) -> None:
        """Writes what is left and ends the thread; safe to repeat."""
        with self._starting:
            thread, self._closed = self._thread, True
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def living_owners(self) -> frozenset[str]:
        """Owners whose process still runs, this one included. Call it from inside a job."""
        found = {self.owner}
        for path in self._alive_folder().glob("[!.]*") if self._alive_fd is not None else ():
            if path.name != self.owner and _is_locked(path):
                found.add(path.name)
        return frozenset(found)

    # --- the thread ---------------------------------------------------------------------------------------------

    def _put(self, job: _Job) -> None:
        with self._starting:
            if self._closed:
                job.settle(None, StorageError("the state database is closed"))
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="agent-lsp-state-db", daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def _serve(self) -> None:
        ending = False
        while not ending:
            batch = [self._jobs.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._jobs.get_nowait())
            ending = None in batch
            jobs = [job for job in batch if job is not None]
            try:
                self._carry_out(jobs)
            except Exception as error:
                logger.exception("the state database failed")
                for job in jobs:
                    job.settle(None, error)
        self._shut()

    def _carry_out(self, jobs: list[_Job]) -> None:
        import apsw

        backlog, self._unwritten = self._unwritten, []
        everything = [*backlog, *jobs]
        try:
            try:
                outcomes = self._commit(everything)
            except (apsw.CorruptError, apsw.NotADBError):
                self._shut_connection()
                self._connection = self._open(thorough=True)
                outcomes = self._commit(everything)
        except apsw.Error as error:
            self._keep(everything, error)
            return
        for job, (result, problem) in zip(everything, outcomes, strict=True):
            job.settle(result, problem)

    def _keep(self, jobs: Sequence[_Job], error: Exception) -> None:
        """The disk refuses: what nobody waits for is tried again with the next job."""
        self._tell(f"The state database could not be written ({error}); it is tried again with the next event.")
        self._unwritten = [job for job in jobs if job.future is None][-_UNWRITTEN_LIMIT:]
        mapped = StorageError(
            f"{self.path.name} could not be used: {error}", hint="Free some disk space and try again."
        )
        for job in jobs:
            if job.future is not None:
                job.settle(None, mapped)

    def _commit(self, jobs: Sequence[_Job]) -> list[tuple[Any, BaseException | None]]:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_attempt(connection, job) for job in jobs]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes

    def _shut(self) -> None:
        self._shut_connection()
        if self._alive_fd is not None:
            (self._alive_folder() / self.owner).unlink(missing_ok=True)
            os.close(self._alive_fd)
            self._alive_fd = None

    def _shut_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._on_trouble(text)

    # --- opening ------------------------------------------------------------------------------------------------

    def _open(self, *, thorough: bool = False) -> "apsw.Connection":
        import apsw

        try:
            self._prepare_folder()
            with _locked(self.path.with_name(self.path.name + ".lock")):
                try:
                    return _connect(self.path, thorough=thorough)
                except (apsw.CorruptError, apsw.NotADBError) as error:
                    aside = _move_aside(self.path)
                    self._tell(
                        f"{self.path.name} was damaged ({error}); it was kept as {aside.name}, a new one is used."
                    )
                    return _connect(self.path, thorough=False)
        except (OSError, apsw.Error, _NewerSchemaError) as error:
            self._tell(
                f"{self.path} cannot be used ({error}). Runs and checkpoints are kept in memory only: "
                "a crash cannot be recovered and rollback ends with this process."
            )
            return _connect(None, thorough=False)

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
        if self._alive_fd is None:
            self._alive_fd = _lock_new(self._alive_folder(), self.owner)

    def _alive_folder(self) -> Path:
        return self.path.with_name(self.path.name + ".alive")


def _attempt(connection: "apsw.Connection", job: _Job) -> tuple[Any, BaseException | None]:
    """One job inside the transaction; its own error undoes it alone, one of the disk ends them all."""
    import apsw

    connection.execute("SAVEPOINT job")
    try:
        outcome: tuple[Any, BaseException | None] = job.work(connection), None
    except (apsw.CorruptError, apsw.NotADBError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError):
        raise
    except Exception as error:  # noqa: BLE001 - it goes to whoever waits for this job
        connection.execute("ROLLBACK TO job")
        outcome = None, error
    connection.execute("RELEASE job")
    return outcome


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
            connection.execute(SCHEMA)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
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
