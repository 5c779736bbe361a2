"""Owns the identity files: where they lie, and how they are read so that none can hold up or break a run."""

import codecs
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent_lsp.domain.identity import MOST_CHARACTERS, About, IdentityFile
from agent_lsp.settings.layers import user_file

IDENTITY_FILE: Final = "IDENTITY.md"
USER_FILE: Final = "USER.md"
_MOST_BYTES: Final = 4 * (MOST_CHARACTERS + 1)
"""Holds one character more than is given, in any script."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The files that say something, and for each that is left out or cut a sentence that says why."""

    files: tuple[IdentityFile, ...]
    troubles: tuple[str, ...]


def read_identity(state_folder: Path, environ: Mapping[str, str], is_private: Callable[[str], bool]) -> Identity:
    """The person's files beside their `config.toml`, and the workspace's in its folder of state.

    The workspace's may come from a stranger: no link is followed there, so that it shows a model nothing else, and one
    that is private by the settings is not read.
    """
    own, here = user_file(environ).parent, f"{state_folder.name}/{IDENTITY_FILE}"
    places: list[tuple[About, str, Path, Path | None]] = [
        (About.AGENT, f"the person's {IDENTITY_FILE}", own / IDENTITY_FILE, None),
        (About.PERSON, f"the person's {USER_FILE}", own / USER_FILE, None),
    ]
    if not is_private(here):
        places.append((About.AGENT_HERE, here, state_folder / IDENTITY_FILE, state_folder))
    files, troubles = [], []
    for about, shown, path, within in places:
        try:
            text = _read(path, within)
        except FileNotFoundError:
            continue
        except UnicodeDecodeError:
            troubles.append(f"{path} is left out: it is not UTF-8 text")
        except OSError as error:
            troubles.append(f"{path} is left out: {error.strerror}")
        else:
            if len(text) > MOST_CHARACTERS:
                troubles.append(f"{path} is too long: only its first {MOST_CHARACTERS:,} characters are given")
                text = f"{text[:MOST_CHARACTERS]}\n… (the rest is left out)"
            if text:
                files.append(IdentityFile(about, shown, text))
    return Identity(tuple(files), tuple(troubles))


def read_rules(root: Path, name: str, is_private: Callable[[str], bool]) -> str:
    """What a file at a workspace's root says; empty where it is private, is a link, or cannot be read."""
    if is_private(name):
        return ""
    try:
        return _read(root / name, root)[:MOST_CHARACTERS].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _read(path: Path, within: Path | None) -> str:
    """The text, or its beginning. Raises OSError, UnicodeDecodeError.

    `within` is the folder that the file must really lie in. A pipe or a device is never waited for.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    if within is not None:
        if within.is_symlink() or path.is_symlink():
            raise OSError(0, "a workspace's may not be a link", str(path))
        flags |= os.O_NOFOLLOW
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is no regular file", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(_MOST_BYTES)
    finally:
        os.close(handle)
    whole = len(content) < _MOST_BYTES
    text = codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=whole)
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", content, 0, 1, "binary")
    return text.strip() if whole else text.lstrip()
