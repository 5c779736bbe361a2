"""Owns putting one file in the place of another so that a third one, written meanwhile, is seen and not lost.

`renameat2(2)` exchanges two names in one step: what stood there can be looked at before it goes, and go back. Where a
file system or system has no such call, the look comes first and a plain rename after it.
"""

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

_NO_REPLACE, _EXCHANGE = 1, 2
_HERE: Final = -100
"""AT_FDCWD; the paths are absolute."""

_UNSUPPORTED: Final = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)

IsExpected = Callable[[Path], bool]


def replace_expected(draft: Path, target: Path, expected: IsExpected) -> bool:
    """Puts a draft in the place of a file, and drops that file. False, with the draft dropped, where it is another now.

    Raises OSError; the draft is left then.
    """
    ours = _identity(draft)
    try:
        exchanged = _rename(draft, target, _EXCHANGE)
    except FileNotFoundError:
        exchanged, there = False, False
    else:
        there = exchanged or expected(target)
    if not there:
        draft.unlink(missing_ok=True)
        return False
    if not exchanged:
        draft.replace(target)
        return True
    if expected(draft):
        draft.unlink()
        return True
    _give_back(draft, target, ours)
    return False


def _give_back(draft: Path, target: Path, ours: tuple[int, int] | None) -> None:
    """`draft` is somebody's, and `target` ours: each goes to where it belongs. Who writes meanwhile comes last."""
    put = ours
    while _identity(target) == put:
        putting = _identity(draft)
        try:
            _rename(draft, target, _EXCHANGE)
        except FileNotFoundError:  # deleted since
            break
        if _identity(draft) == put:
            break
        put = putting
    draft.unlink(missing_ok=True)


def create_absent(draft: Path, target: Path) -> bool:
    """Gives a draft a name that is free. False, with the draft dropped, where it is not."""
    try:
        if not _rename(draft, target, _NO_REPLACE):
            os.link(draft, target, follow_symlinks=False)
            draft.unlink()
    except FileExistsError:
        draft.unlink(missing_ok=True)
        return False
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EMLINK):
            raise
        if os.path.lexists(target):
            draft.unlink(missing_ok=True)
            return False
        draft.replace(target)
    return True


def delete_expected(target: Path, expected: IsExpected, prefix: str) -> bool:
    """Deletes a file. False where it is another now, or gone; it is left then. `prefix` begins the name in between."""
    aside = target.with_name(prefix + secrets.token_hex(8))
    try:
        target.rename(aside)
    except FileNotFoundError:
        return False
    if expected(aside):
        aside.unlink()
        return True
    with contextlib.suppress(OSError):
        create_absent(aside, target)
    return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _rename(source: Path, target: Path, flags: int) -> bool:
    """False where the system or the file system cannot do it. Raises OSError."""
    call = _renameat2()
    if call is None:
        return False
    if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(target))


@cache
def _renameat2() -> "Callable[[int, bytes, int, bytes, int], int] | None":
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameat2
    except AttributeError:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    found: Callable[[int, bytes, int, bytes, int], int] = call
    return found
