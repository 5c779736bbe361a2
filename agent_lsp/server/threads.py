"""Owns work off the event loop: a daemon thread for each piece, so that leaving never waits for one."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, or its exception; it runs in the caller's context.

    When the waiting is cancelled the thread ends on its own.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not future.done():
            set_it()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # handed to whoever waits
            reason = error
            _post(loop, lambda: settle(lambda: future.set_exception(reason)))
        else:
            _post(loop, lambda: settle(lambda: future.set_result(result)))

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="agent-lsp-work", daemon=True).start()
    return await future


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback)
