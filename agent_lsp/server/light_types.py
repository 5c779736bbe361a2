"""Owns how lsprotocol is loaded: its classes without the methods that nothing here calls.

Building 554 attrs classes is most of what starting a pygls server costs (see docs/benchmarks.md). The edge compares
and prints none of them, so they are built without `__eq__` and `__repr__`: half the time and 4 MiB less.
Whoever imports `lsprotocol.types` first by another way gets the classes as lsprotocol ships them; both work.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

_NAME: Final = "lsprotocol.types"


def load_light_types() -> None:
    """Imports `lsprotocol.types`, light, unless it is imported already."""
    if _NAME in sys.modules:
        return
    import importlib
    import linecache

    import attrs

    define: Callable[..., Any] = attrs.define

    def define_light(maybe_class: type | None = None, **options: Any) -> Any:
        return define(maybe_class, **{**options, "eq": False, "repr": False})

    attrs.define = define_light  # type: ignore[assignment]
    try:
        importlib.import_module(_NAME)
    finally:
        attrs.define = define
    for name in [name for name in linecache.cache if name.startswith("<attrs generated")]:
        del linecache.cache[name]
