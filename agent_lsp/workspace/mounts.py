"""Owns the private namespaces of an overlay candidate: run inside the holder, standard library only.

The caller must be single-threaded (Linux allows a new user namespace to nobody else). After `enter` the calling
process is process 1 of its namespaces; everything in them dies with it.
"""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH101, PTH102, PTH112, PTH114, PTH118, PTH123

import ctypes
import os
import signal
import socket
import struct
import sys
from typing import Any

_NEW_NS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x1000, 0x4000, 0x40000, 2, 4
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _LAST_CAPABILITY = 1, 24, 38, 63
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("ns", ctypes.c_uint64),
    )


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent() -> None:
    """Asks for SIGKILL when the parent's thread ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter(config: dict[str, Any]) -> None:
    """Moves this process into new namespaces with the candidate mounted. Raises OSError naming the step.

    The original process stays outside, waits, and ends with the same status; only the new one returns.
    """
    die_with_parent()
    outer = os.getppid()
    flags = _NEW_USER | _NEW_NS | _NEW_PID | _NEW_IPC | (0 if config["network"] else _NEW_NET)
    uid, gid = os.getuid(), os.getgid()
    _check(_libc().unshare(flags), "new namespaces")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    die_with_parent()
    if os.getppid() != outer:
        os._exit(1)
    child = os.fork()
    if child:
        _wait_outside(child)
    die_with_parent()
    _mount_all(config)
    if not config["network"]:
        _raise_loopback()
    _drop_privileges()


def _wait_outside(child: int) -> None:
    """The outer half: holds no pipe, ends when process 1 has."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    os._exit(0 if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else 1)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _mount(source: str, target: str, kind: str, flags: int, options: str | None) -> None:
    data = None if options is None else options.encode()
    result = _libc().mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, data)
    _check(result, f"mount {kind} on {target}")


def _hold(path: str) -> str:
    """A name for what is at a path now, good for mounting whatever is mounted over it later."""
    return f"/proc/self/fd/{os.open(path, os.O_PATH)}"


def _mount_all(config: dict[str, Any]) -> None:
    root, scratch = config["root"], config["scratch"]
    _check(_libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "private mounts")
    lowers = [_hold(layer) for layer in (*config["layers"], root)]
    upper, work, scratch_now = _hold(config["upper"]), _hold(config["work"]), _hold(scratch)
    git = os.path.join(root, ".git")
    git_now = _hold(git) if os.path.lexists(git) and not os.path.islink(git) else None
    masked = [(path, _hold(os.devnull)) for path in config["masked"] if os.path.lexists(path)]
    _mount_tmp(config)
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work},userxattr"
    _mount_overlay(root, options)
    if git_now is not None:
        _mount(git_now, git, "none", _MS_BIND | _MS_REC, None)
    _mount(scratch_now, scratch, "none", _MS_BIND, None)
    writable = [root, scratch, config["tmp"]]
    if os.path.isdir("/dev/shm"):  # noqa: S108 - see above; this is where semaphores live
        _mount("tmpfs", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108
        writable.append("/dev/shm")  # noqa: S108
    for path, nothing in masked:
        _mount(nothing, path, "none", _MS_BIND, None)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV, None)
    _set_read_only("/", recursive=True)
    for path in writable:
        _set_writable(path)


def _mount_overlay(target: str, options: str) -> None:
    """Without flushing the disk at its end, where the kernel can."""
    try:
        _mount("overlay", target, "overlay", _MS_NOSUID | _MS_NODEV, options + ",volatile")
    except OSError:
        _mount("overlay", target, "overlay", _MS_NOSUID | _MS_NODEV, options)


def _mount_tmp(config: dict[str, Any]) -> None:
    """A private, writable view of /tmp. Its upper layer lies in memory if the candidate itself is below /tmp."""
    tmp, home = config["tmp"], config["tmp_layers"]
    now = _hold(tmp)
    if config["tmp_in_memory"]:
        _mount("tmpfs", home, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=700")
    for name in ("upper", "work"):
        os.mkdir(f"{home}/{name}")
    os.chmod(f"{home}/upper", 0o1777)  # noqa: S103 - as /tmp is
    options = f"lowerdir={now},upperdir={_hold(home + '/upper')},workdir={_hold(home + '/work')},userxattr"
    _mount_overlay(tmp, options)


def _set_attributes(path: str, attributes: _Attributes, flags: int) -> None:
    size = ctypes.sizeof(attributes)
    result = _libc().syscall(
        _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags), ctypes.byref(attributes), size
    )
    _check(result, f"mount attributes of {path}")


def _set_read_only(path: str, *, recursive: bool) -> None:
    _set_attributes(path, _Attributes(_ATTR_RDONLY, 0, 0, 0), _AT_RECURSIVE if recursive else 0)


def _set_writable(path: str) -> None:
    _set_attributes(path, _Attributes(0, _ATTR_RDONLY, 0, 0), 0)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        import fcntl

        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def _drop_privileges() -> None:
    """Programs that are started from here have no capability, not even in this namespace."""
    libc = _libc()
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def become_subreaper() -> None:
    """Orphans of this process's descendants become its children (Linux)."""
    if sys.platform == "linux":
        _libc().prctl(36, 1, 0, 0, 0)
