"""Owns how a patch that a model wrote becomes new texts of files: all of them or none."""

from collections.abc import Callable


def apply_patch(patch: str, read: Callable[[str], str | None]) -> dict[str, str | None]:
    """New texts by path; None is a deleted file, a rename is the old path with None and the new one with text.

    `read` gives a file's present text, or None where there is none; paths are clean, POSIX and inside the root.
    Raises ToolError, with nothing done, for anything that does not fit.
    """
    raise NotImplementedError
