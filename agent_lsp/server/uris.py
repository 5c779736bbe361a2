"""Owns the way between URIs and paths; the only place that percent-encodes."""

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def scheme_of(uri: str) -> str:
    """`file`, `untitled`, … in lower case; empty if there is none."""
    head, colon, _ = uri.partition(":")
    return head.lower() if colon else ""


def path_of(uri: str) -> Path | None:
    """The absolute path behind a file URI, decoded and normalised once; None for any other scheme."""
    if scheme_of(uri) != "file":
        return None
    try:
        parts = urlsplit(uri.replace("#", "%23").replace("?", "%3F"))
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        return None
    return Path(os.path.normpath(path))


def uri_of(path: Path) -> str:
    """The file URI of an absolute path."""
    return "file://" + quote(path.as_posix(), safe="/!$&'()*+,;=:@~-._")
