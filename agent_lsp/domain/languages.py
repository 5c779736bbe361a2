"""Owns which files are code of which language, by their names."""

from pathlib import PurePosixPath
from typing import Final

JAVASCRIPT: Final = frozenset({".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte"})
PYTHON: Final = frozenset({".py", ".pyi", ".pyx"})
_OTHERS: Final = frozenset(
    {".go", ".rs", ".rb", ".java", ".kt", ".scala", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".swift", ".php", ".lua"}
    | {".sh", ".pl", ".ex", ".exs", ".erl", ".hs", ".ml", ".clj", ".zig", ".dart", ".jl", ".r", ".sql"}
)


def suffix(path: str) -> str:
    """The last suffix, in small letters; of `a.d.ts` it is `.ts`."""
    return PurePosixPath(path).suffix.lower()


def is_code(path: str) -> bool:
    """Whether a file is a program in some language, rather than data, prose or configuration."""
    return suffix(path) in JAVASCRIPT | _OTHERS or path.endswith(".py")
