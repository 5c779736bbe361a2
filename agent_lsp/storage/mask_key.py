"""Owns the key under which secrets get their placeholders: one per workspace, kept, so that they stay the same."""

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_SIZE_BYTES: Final = 32


def mask_key(file: Path) -> bytes:
    """The key in `file`, made there if there is none; one for this process alone where it cannot be kept."""
    with contextlib.suppress(OSError):
        kept = file.read_bytes()
        if len(kept) == _SIZE_BYTES:
            return kept
    key = secrets.token_bytes(_SIZE_BYTES)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = file.with_name(f"{file.name}.{os.getpid()}")
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key)
        own.replace(file)
    except OSError as error:
        logger.warning("the key of the placeholders could not be kept: %s", error)
    return key
