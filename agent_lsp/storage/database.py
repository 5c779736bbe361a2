"""Owns the one database of a workspace: the one thread that uses it, and what becomes of work that the disk refuses."""

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent_lsp.domain.errors import OperatorError
from agent_lsp.storage.state_file import StateFile

if TYPE_CHECKING:
    import apsw

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BATCH: Final = 500
_UNWRITTEN_LIMIT: Final = 20_000


class StorageError(OperatorError):
    """The state database could not be read or written."""

    code = "storage"


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

    Nothing is opened before the first use. A corrupt file is moved aside and a new one made, one that was deleted is
    written anew from what is still held; where the folder cannot be written, everything is kept in memory until it can.
    `on_trouble` hears of all that in plain words, from any thread.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.owner = secrets.token_hex(8)
        self._on_trouble = on_trouble or logger.warning
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._unwritten: list[_Job] = []
        self._told: set[str] = set()
        self._file = StateFile(path, self.owner, self._tell)
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
        return self._file.living_owners()

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
        self._file.close()

    def _carry_out(self, jobs: list[_Job]) -> None:
        import apsw

        backlog, self._unwritten = self._unwritten, []
        everything = [*backlog, *jobs]
        try:
            try:
                outcomes = self._commit(everything, self._file.connection())
            except (apsw.CorruptError, apsw.NotADBError):
                outcomes = self._commit(everything, self._file.mend())
        except apsw.Error as error:
            self._keep(everything, error)
            return
        for job, (result, problem) in zip(everything, outcomes, strict=True):
            job.settle(result, problem)

    def _keep(self, jobs: Sequence[_Job], error: Exception) -> None:
        """The disk refuses: what nobody waits for is tried again with the next job."""
        self._tell(f"The state database could not be written ({error}); it is tried again with the next event.")
        self._unwritten = [job for job in jobs if job.future is None][-_UNWRITTEN_LIMIT:]
        mapped = StorageError(f"{self.path.name} could not be used: {error}", hint=_hint(error))
        for job in jobs:
            if job.future is not None:
                job.settle(None, mapped)

    def _commit(self, jobs: Sequence[_Job], connection: "apsw.Connection") -> list[tuple[Any, BaseException | None]]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_attempt(connection, job) for job in jobs]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return outcomes

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._on_trouble(text)


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


def _hint(error: Exception) -> str:
    """What a person can do about a refusal."""
    import apsw

    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return "Another program holds it; close that program, then try again."
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError | apsw.CantOpenError):
        return "Make its folder and the files in it writable, then try again."
    if isinstance(error, apsw.IOError):
        return "Look whether its disk is full, read-only or failing, then try again."
    return "Free some disk space and try again."
