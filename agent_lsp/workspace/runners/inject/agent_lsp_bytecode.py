"""Owns compiled code that outlives a run: told after a run of the unchanged tree, laid out before the runs of others.

What is laid out was compiled from the very bytes that the file has now (their hash is compared), in the same place, so
it is what the interpreter would make itself. Python 3.8, standard library only. PYTEST_DONT_REWRITE.
"""

# Strings for paths: pathlib is not to be loaded into the process of the tests before they load it.
# ruff: noqa: PTH103, PTH110, PTH112, PTH113, PTH118, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any, BinaryIO

_HEAD = 16
"""Bytes of a compiled file before its code: magic number, flags, time and size of the source."""

_MOST_BYTES = 64 << 20


def lay_out(root: str, pack: str) -> None:
    """Puts compiled files beside those sources that still are what they were compiled from; never raises."""
    if sys.dont_write_bytecode or getattr(sys, "pycache_prefix", None):
        return
    try:
        with open(pack, "rb") as stream:
            for row in json.loads(stream.readline()):
                _lay(root, row, stream.read(row["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return


def _lay(root: str, row: dict[str, Any], data: bytes) -> None:
    source = os.path.join(root, row["source"])
    cache = os.path.join(os.path.dirname(source), "__pycache__", os.path.basename(row["cache"]))
    try:
        if os.path.exists(cache):
            return
        with open(source, "rb") as stream:
            text = stream.read()
            found = os.fstat(stream.fileno())
        if hashlib.sha256(text).hexdigest() != row["sha256"]:
            return
        os.makedirs(os.path.dirname(cache), exist_ok=True)
        with open(cache, "wb") as out:
            out.write(data[:8] + _stamp(found) + data[_HEAD:])
    except OSError:
        return


def keep(root: str, pack: str) -> None:
    """Writes down the compiled files of the folders that modules were loaded from; never raises."""
    if getattr(sys, "pycache_prefix", None):
        return
    rows: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    try:
        for folder in _folders(root):
            for row, data in _compiled(root, folder):
                rows.append(row)
                blobs.append(data)
        if not rows or sum(map(len, blobs)) > _MOST_BYTES:
            return
        with open(pack, "wb") as out:
            _write(out, rows, blobs)
    except OSError:
        return


def _write(out: BinaryIO, rows: list[dict[str, Any]], blobs: list[bytes]) -> None:
    out.write(json.dumps(rows).encode("ascii") + b"\n")
    for blob in blobs:
        out.write(blob)


def _folders(root: str) -> list[str]:
    found = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(root + os.sep) and "-packages" + os.sep not in file:
            found.add(os.path.dirname(file))
    return sorted(found)


def _compiled(root: str, folder: str) -> list[tuple[dict[str, Any], bytes]]:
    """The compiled files of one folder that belong to their sources as these are now."""
    found = []
    caches = os.path.join(folder, "__pycache__")
    for name in sorted(os.listdir(caches)) if os.path.isdir(caches) else ():
        source = os.path.join(folder, name.partition(".")[0] + ".py")
        if not name.endswith(".pyc") or not os.path.isfile(source):
            continue
        with open(os.path.join(caches, name), "rb") as stream:
            data = stream.read()
        with open(source, "rb") as stream:
            text, stat = stream.read(), os.fstat(stream.fileno())
        if len(data) > _HEAD and data[4:8] == bytes(4) and data[8:_HEAD] == _stamp(stat):
            digest = hashlib.sha256(text).hexdigest()
            relative = source[len(root) + 1 :].replace(os.sep, "/")
            found.append(({"source": relative, "cache": name, "sha256": digest, "size": len(data)}, data))
    return found


def _stamp(found: os.stat_result) -> bytes:
    """Time and size of a source as compiled files hold them."""
    moment, size = int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    return moment.to_bytes(4, "little") + size.to_bytes(4, "little")
