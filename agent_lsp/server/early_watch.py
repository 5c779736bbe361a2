"""Owns the watch over the editor's process while the rest is loaded: there is no event loop yet to watch it."""

import contextlib
import os
import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def process_of(params: Mapping[str, Any]) -> int | None:
    """The process id that the editor gave in `initialize`."""
    pid = params.get("processId")
    return pid if type(pid) is int and pid > 0 else None


@contextmanager
def leaving_with(pid: int | None, status: int) -> Iterator[None]:
    """Inside the block this process ends with the status as soon as the editor's does: nothing was begun yet.

    Does nothing where the system has no pidfd.
    """
    try:
        editor = os.pidfd_open(pid) if pid is not None else None
    except (AttributeError, OSError, OverflowError):
        editor = None
    if editor is None:
        yield
        return
    done, tell = os.pipe()

    def watch() -> None:
        ready = select.select([editor, done], [], [])[0]
        if done not in ready:
            os._exit(status)

    thread = threading.Thread(target=watch, name="agent-lsp-early-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(tell)
        thread.join()
        for descriptor in (editor, done):
            with contextlib.suppress(OSError):
                os.close(descriptor)
