"""Owns the walls of a plain copy: Linux's Landlock, by which a process gives up rights for itself and its children.

Run inside the holder, standard library only. What Landlock cannot do is told in docs/sandbox.md.
"""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH112

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from typing import Any

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEVICE = 1, 2, 4, 8, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NETWORK_ABI, _BIND_AND_CONNECT = 4, 3
_SCOPE_ABI, _ABSTRACT_SOCKETS, _SIGNALS = 6, 1, 2


def abi() -> int:
    """The version that this kernel has; 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def restrict(readable: Iterable[str], writable: Iterable[str], *, network: bool) -> bool:
    """From here on only these paths can be read or written, and without `network` no TCP port be used.

    False where the kernel has no Landlock. Raises OSError when it has and refuses.
    """
    version = abi()
    if version < 1:
        return False
    rights = max(mask for least, mask in _RIGHTS_BY_ABI.items() if least <= version)
    ruleset = _ruleset(version, rights, 0 if network else _BIND_AND_CONNECT, 0 if network else _ABSTRACT_SOCKETS)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & rights)
        for path in writable:
            _allow(ruleset, path, rights)
        _enforce(ruleset)
    finally:
        os.close(ruleset)
    return True


def spare_the_holder() -> None:
    """From here on no process outside can be sent a signal, where the kernel knows how."""
    if abi() >= _SCOPE_ABI:
        ruleset = _ruleset(_SCOPE_ABI, 0, 0, _SIGNALS)
        _enforce(ruleset)
        os.close(ruleset)


def _ruleset(version: int, files: int, network: int, scope: int) -> int:
    fields = [files]
    if version >= NETWORK_ABI:
        fields.append(network)
    if version >= _SCOPE_ABI:
        fields.append(scope)
    data = struct.pack(f"={len(fields)}Q", *fields)
    return _check(_libc().syscall(_CREATE, data, ctypes.c_size_t(len(data)), 0), "Landlock rules")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        kept = rights if os.path.isdir(path) else rights & _OF_FILES
        rule = struct.pack("=Qi", kept, handle)
        _check(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"Landlock rule for {path}")
    finally:
        os.close(handle)


def _enforce(ruleset: int) -> None:
    libc = _libc()
    _check(libc.prctl(38, 1, 0, 0, 0), "no new privileges")
    _check(libc.syscall(_RESTRICT, ruleset, 0), "Landlock")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
