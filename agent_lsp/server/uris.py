"""Owns the way between URIs and paths; the only place that percent-encodes.

A document is known by its path, decoded and normalised once; what goes back to a client is the client's own spelling.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

_DRIVE: Final = re.compile(r"/([A-Za-z])[:|](?=/|$)")
_FILE: Final = re.compile(r"file:(?://([^/]*)|(?!//))(/.*)", re.IGNORECASE | re.DOTALL)
_SAFE: Final = "/!$&'()*+,;=:@~-._"

_CELL: Final = "vscode-notebook-cell"
_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "": ("is no URI", "Give a URI such as file:///home/me/project/module.py."),
    "file": (
        "is no file of this machine",
        "A file URI is file:///absolute/path; open files of another machine through a mounted folder.",
    ),
    "untitled": ("is not a file yet, since it was never saved", "Save the document inside a workspace folder first."),
    _CELL: (
        "is a cell of a notebook, and agent-lsp works on files",
        "Move the code to a .py file of the workspace folder and start from there, or give the notebook's folder.",
    ),
}
_OTHER: Final = ("is not a file", "Save the document inside a workspace folder first.")


def scheme_of(uri: str) -> str:
    """`file`, `untitled`, … in lower case; empty if there is none."""
    head, colon, _ = uri.partition(":")
    return head.lower() if colon else ""


def is_cell(uri: str) -> bool:
    """Whether this is a cell of a notebook."""
    return scheme_of(uri).startswith(_CELL)


def refusal_of(uri: str) -> tuple[str, str]:
    """Why a URI that has no path cannot be worked on, and what to do instead."""
    what, hint = _REFUSALS.get(_CELL if is_cell(uri) else scheme_of(uri), _OTHER)
    return f"{uri or 'An empty text'} {what}.", hint


def path_of(uri: str) -> Path | None:
    """The absolute path behind a file URI; None for anything else, however odd.

    `?` and `#` belong to the path: some editors leave them unencoded, and none sends queries or fragments of files.
    Only this machine's files have paths: no host (UNC) but `localhost`.
    """
    found = _FILE.fullmatch(uri)
    if found is None or (found[1] or "localhost").lower() != "localhost":
        return None
    try:
        coded = unquote_to_bytes(found[2])
        path = os.fsdecode(coded)
    except ValueError:  # lone surrogates have no bytes
        return None
    if b"\0" in coded:
        return None
    if os.name == "nt":
        path = windows_path(path)
    path = os.path.normpath(path)
    return Path("/" + path.lstrip("/") if path.startswith("//") else path)


def name_of(uri: str) -> str:
    """One name for every spelling of a URI: the path of a file, else the decoded text with its scheme in lower case."""
    path = path_of(uri)
    if path is not None:
        return str(path)
    scheme, colon, rest = uri.partition(":")
    return scheme.lower() + colon + unquote(rest)


def windows_path(path: str) -> str:
    """The path part of a file URI as Windows names it: `/c:/x`, `/C|/x` and `/C:/x` are all `C:/x`."""
    found = _DRIVE.match(path)
    return path if found is None else f"{found[1].upper()}:{path[found.end() :] or '/'}"


def uri_of(path: Path) -> str:
    """The file URI of an absolute path; bytes that are no text are encoded as they are."""
    posix = path.as_posix()
    return ("file://" if posix.startswith("/") else "file:///") + quote(os.fsencode(posix), safe=_SAFE)
