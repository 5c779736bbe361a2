"""Owns the private namespaces of an overlay candidate: run inside the holder, standard library only.

The caller must be single-threaded (Linux allows a new user namespace to nobody else). After `enter` the calling
process is process 1 of its namespaces; everything in them dies with it.
"""

# The holder starts for every candidate: it does without pathlib, which costs more than all it does at start.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH118, PTH120, PTH123, PTH211

import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import time
from typing import Any

_NEW_NS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x1000, 0x4000, 0x40000, 2, 4
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _LAST_CAPABILITY = 1, 4, 24, 38, 63
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_SHARED_MEMORY = ("/dev/shm",)  # noqa: S108 - where semaphores live
_LEAST_PROCESSES = 320
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_BUSY_TRIES, _BUSY_PAUSE_S = 400, 0.005


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
    _unshare(flags)
    die_with_parent()
    if os.getppid() != outer:
        os._exit(1)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # the two share their mounts: later it may be missing
    child = os.fork()
    if child:
        _wait_outside(child, null)
    os.close(null)
    die_with_parent()
    _mount_all(config)
    if not config["network"]:
        _raise_loopback()
    drop_privileges()


def _unshare(flags: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    _check(_libc().unshare(flags), "new namespaces")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")


def leave_network() -> bool:
    """Moves this process into a network of its own. False where that is not allowed.

    Loopback is up in it where the system lets it be (Ubuntu 24.04 does not).
    """
    child = os.fork()
    if child == 0:
        try:
            _unshare(_NEW_USER | _NEW_NET | _NEW_IPC)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        return False
    _unshare(_NEW_USER | _NEW_NET | _NEW_IPC)
    with contextlib.suppress(OSError):
        _raise_loopback()
    return True


def _wait_outside(child: int, null: int) -> None:
    """The outer half: holds no pipe, ends when process 1 has."""
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
    # What is shown at its own path may have gone since it was seen.
    view = [row for row in config["view"] if row[0] != row[1] or os.path.exists(row[1])]
    held = [(target, _hold(source), os.path.isdir(source)) for target, source, _ in view]
    nothing = _hold(os.devnull)
    config["disk"][:] = [_hold(folder) for folder in config["disk"]]
    for target, source, is_folder in held:
        _mountpoint(target, is_folder=is_folder)
        _mount(source, target, "none", _MS_BIND | _MS_REC, None)
    for path in config["masked"]:
        _mask(nothing, path)
    _mountpoint(root, is_folder=True)
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work},userxattr"
    _mount_overlay(root, options)
    if git_now is not None:
        _mount(git_now, git, "none", _MS_BIND | _MS_REC, None)
    _mountpoint(scratch, is_folder=True)
    _mount(scratch_now, scratch, "none", _MS_BIND, None)
    _mount_devices(config["memory_bytes"] // 2)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV, None)
    _limit_processes(config["processes"])
    _write("/proc/sys/user/max_user_namespaces", "0")  # of this namespace: none may be made inside it
    prefer_for_killing()
    _set_read_only("/", recursive=True)
    for path in (*(target for target, _, writable in view if writable), root, scratch, *_SHARED_MEMORY):
        _set_writable(path)


def _mask(nothing: str, path: str) -> None:
    """A socket whose service ended meanwhile needs none."""
    try:
        _mount(nothing, path, "none", _MS_BIND, None)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise


def _mountpoint(path: str, *, is_folder: bool) -> None:
    """Makes a place to mount on where a folder above it was hidden."""
    if os.path.lexists(path):
        return
    os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))


def _mount_devices(size_bytes: int) -> None:
    """A /dev of its own: the harmless devices, terminals and shared memory, and nothing of the machine's."""
    nodes = [(name, _hold(f"/dev/{name}")) for name in _DEVICES if os.path.exists(f"/dev/{name}")]
    _mount("tmpfs", "/dev", "tmpfs", _MS_NOSUID, "mode=755,size=64k")
    for name, node in nodes:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_CLOEXEC, 0o600))
        _mount(node, f"/dev/{name}", "none", _MS_BIND, None)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    for folder in ("/dev/pts", *_SHARED_MEMORY):
        os.mkdir(folder)
    _mount("devpts", "/dev/pts", "devpts", _MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    for folder in _SHARED_MEMORY:
        _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={size_bytes}")


def _limit_processes(count: int) -> None:
    """Since Linux 6.14 a process namespace has a limit of its own; before, this file is the whole machine's."""
    release = os.uname().release.split(".")
    if release[0].isdigit() and release[1].isdigit() and (int(release[0]), int(release[1])) >= (6, 14):
        _write("/proc/sys/kernel/pid_max", str(max(count, _LEAST_PROCESSES)))


def _mount_overlay(target: str, options: str) -> None:
    """Without flushing the disk at its end, where the kernel can."""
    try:
        _mount("overlay", target, "overlay", _MS_NOSUID | _MS_NODEV, options + ",volatile")
    except OSError:
        _mount("overlay", target, "overlay", _MS_NOSUID | _MS_NODEV, options)


def _set_attributes(path: str, attributes: _Attributes, flags: int) -> None:
    """Tries again while something is being written beneath one of the mounts: the kernel then refuses all of them."""
    size, change = ctypes.sizeof(attributes), _libc().syscall
    for attempt in range(_BUSY_TRIES):
        result = change(
            _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags), ctypes.byref(attributes), size
        )
        if result == 0 or ctypes.get_errno() != errno.EBUSY or attempt == _BUSY_TRIES - 1:
            break
        time.sleep(_BUSY_PAUSE_S)
    _check(result, f"mount attributes of {path}")


def _set_read_only(path: str, *, recursive: bool) -> None:
    _set_attributes(path, _Attributes(_ATTR_RDONLY, 0, 0, 0), _AT_RECURSIVE if recursive else 0)


def _set_writable(path: str) -> None:
    _set_attributes(path, _Attributes(0, _ATTR_RDONLY, 0, 0), 0)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        import fcntl

        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def drop_privileges() -> None:
    """Programs that are started from here have no capability, not even in this namespace."""
    libc = _libc()
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def prefer_for_killing() -> None:
    """When the machine's memory ends, commands go before the editor."""
    with contextlib.suppress(OSError):
        _write("/proc/self/oom_score_adj", "500")


def keep_to_oneself() -> None:
    """Nobody of the same user may look into this process or write to its pipes: commands are the same user."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def become_subreaper() -> None:
    """Orphans of this process's descendants become its children (Linux)."""
    if sys.platform == "linux":
        _libc().prctl(36, 1, 0, 0, 0)
