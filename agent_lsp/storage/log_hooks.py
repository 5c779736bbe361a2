"""Owns the hooks that bring unhandled errors into the log: top level, threads, tasks, finalisers."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)

ExceptHook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def install_hooks(flush: Callable[[], object]) -> Callable[[], None]:
    """Logs what nobody handles, waits for `flush`, then does what was done before. Gives the way back."""
    before = sys.excepthook, threading.excepthook, sys.unraisablehook

    def top_level(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            _log(logging.CRITICAL, "unhandled error at top level", error, "running the program")
            flush()
        before[0](kind, error, trace)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            name = args.thread.name if args.thread is not None else "a thread that is gone"
            _log(logging.ERROR, f"unhandled error in thread {name}", args.exc_value, f"running thread {name}")
        before[1](args)

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        if args.exc_value is not None:
            what = args.err_msg or "error in a finaliser"
            _log(logging.ERROR, f"{what}: {_named(args.object)}", args.exc_value, "collecting garbage")
        before[2](args)

    sys.excepthook, threading.excepthook, sys.unraisablehook = top_level, in_thread, unraisable

    return lambda: _restore(before, (top_level, in_thread, unraisable))


def _restore(before: tuple[Any, Any, Any], ours: tuple[Any, Any, Any]) -> None:
    """Puts back what was there, except where somebody else has put a hook over ours since."""
    if sys.excepthook is ours[0]:
        sys.excepthook = before[0]
    if threading.excepthook is ours[1]:
        threading.excepthook = before[1]
    if sys.unraisablehook is ours[2]:
        sys.unraisablehook = before[2]


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Logs errors of tasks and callbacks that nobody awaits, with the name of the task."""
    loop.set_exception_handler(_loop_error)


def _loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    message = str(context.get("message") or "unhandled error on the event loop")
    operation = f"running task {name}" if name else _named(context.get("handle"))
    if isinstance(error, Exception):
        _log(logging.ERROR, f"{message} (task {name})" if name else message, error, operation)
    elif error is None:
        logger.error("%s", message, extra={"operation": operation})


def _log(level: int, message: str, error: BaseException, operation: str) -> None:
    info = (type(error), error, error.__traceback__)
    logger.log(level, "%s", message, exc_info=info, extra={"operation": operation})


def _named(thing: object) -> str:
    try:
        return "" if thing is None else repr(thing)
    except Exception:  # noqa: BLE001 - the repr of a half-destroyed object may raise anything
        return type(thing).__name__
