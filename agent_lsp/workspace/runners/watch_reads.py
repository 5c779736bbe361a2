"""Owns seeing which files of some folders are opened while a command runs. Runs inside a candidate as a program.

`python watch_reads.py CONFIG -- COMMAND …` ends as the command does. CONFIG is a JSON file: `root`, `folders` (relative
to it, those that matter most first) and `report`, where the paths of the opened files are written as JSON. Linux only;
elsewhere, or where the kernel has no watch left, the report says so. Standard library only.
"""

import ctypes
import errno
import json
import os
import select
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

_OPENED, _ONLY_FOLDERS, _OVERFLOW, _IS_FOLDER = 0x20, 0x01000000, 0x4000, 0x40000000
_CLOSE_ON_EXEC = 0o2000000
_EVENT = struct.Struct("iIII")


class Watch:
    """An inotify instance over folders; `opened` fills while `read` goes on."""

    def __init__(self, root: str, folders: list[str]) -> None:
        self.opened: set[str] = set()
        self.blind = ""
        self.watched: dict[int, str] = {}
        libc = ctypes.CDLL(None, use_errno=True)
        self.stream = libc.inotify_init1(_CLOSE_ON_EXEC)
        if self.stream < 0:
            raise OSError(ctypes.get_errno(), "the kernel gives no inotify (fs.inotify.max_user_instances)")
        for folder in folders:
            place = os.fsencode(Path(root, folder))
            number = libc.inotify_add_watch(self.stream, place, ctypes.c_uint32(_OPENED | _ONLY_FOLDERS))
            if number >= 0:
                self.watched.setdefault(number, "" if folder == "." else folder + "/")
            elif ctypes.get_errno() == errno.ENOSPC:
                self.blind = "the kernel gives no more watches (fs.inotify.max_user_watches)"

    def read(self) -> None:
        """Takes what has happened; waits for the first event."""
        data = os.read(self.stream, 1 << 16)
        at = 0
        while at < len(data):
            number, mask, _, size = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + size].rstrip(b"\0")
            at += _EVENT.size + size
            if mask & _OVERFLOW:
                self.blind = "files were opened faster than they could be counted"
            elif name and not mask & _IS_FOLDER and number in self.watched:
                self.opened.add(self.watched[number] + os.fsdecode(name))

    def drain(self) -> None:
        """Takes what has happened and does not wait."""
        while select.select([self.stream], [], [], 0)[0]:
            self.read()


def main(config_file: str, command: list[str]) -> int:
    """Runs the command; gives the status to end with."""
    config: dict[str, Any] = json.loads(Path(config_file).read_text())
    try:
        watch: Watch | None = Watch(config["root"], config["folders"])
        blind = ""
    except (OSError, AttributeError) as error:
        watch, blind = None, getattr(error, "strerror", None) or "only Linux tells which files are opened"
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    opened: list[str] = []
    if watch is not None:
        _follow(watch, child)
        opened, blind = sorted(watch.opened), watch.blind
    Path(config["report"]).write_text(json.dumps({"opened": opened, "blind": blind}))
    status = child.wait()
    return status if status >= 0 else 128 - status


def _follow(watch: Watch, child: "subprocess.Popen[bytes]") -> None:
    ended = os.pidfd_open(child.pid)
    try:
        while True:
            ready, _, _ = select.select([watch.stream, ended], [], [])
            if watch.stream in ready:
                watch.read()
            elif ended in ready:
                watch.drain()
                return
    finally:
        os.close(ended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[3:]))
