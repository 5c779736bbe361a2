"""Owns what is remembered of blobs between runtimes: a compressed file with a line of JSON for each."""

import json
import logging
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def keep(file: Path, version: int, rows: Iterable[Any]) -> None:
    """A line for each row: none of them takes long enough to hold up the rest of the process."""
    packer = zlib.compressobj(1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.stem}-", delete=False) as out:
            out.write(packer.compress(json.dumps({"version": version}).encode() + b"\n"))
            for row in rows:
                out.write(packer.compress(json.dumps(row, separators=(",", ":")).encode() + b"\n"))
            out.write(packer.flush())
        Path(out.name).replace(file)
    except OSError as error:
        logger.warning("%s could not be kept: %s", file, error)


def restored(file: Path, version: int, read: Callable[[Any], tuple[str, T]]) -> dict[str, T]:
    """What `read` makes of the rows that an earlier runtime kept; nothing where there is no file or it is damaged."""
    try:
        head, *lines = zlib.decompress(file.read_bytes()).splitlines()
        return dict(read(json.loads(line)) for line in lines) if json.loads(head) == {"version": version} else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        logger.warning("%s is damaged and is made anew: %s", file, error)
        return {}
