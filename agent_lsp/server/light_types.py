"""Owns how lsprotocol is loaded: its classes are built when they are first used, and without methods nobody calls.

Turning 554 classes into attrs classes is most of what starting a pygls server costs (see docs/benchmarks.md), and an
edge uses some fifty of them. So `attrs.define` leaves each class as it was written, with two things on it that build
it in place: the `__init__` of its first instance, and `__attrs_attrs__`, which attrs and cattrs look at before
anything else. What is built has no `__slots__`, `__eq__` or `__repr__`: the edge compares and prints none of them.
Whoever imports `lsprotocol.types` first by another way gets the classes as lsprotocol ships them; both work.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any, Final, get_type_hints

_NAME: Final = "lsprotocol.types"
_BUILDING: Final = threading.RLock()


def load_light_types() -> None:
    """Imports `lsprotocol.types`, light, unless it is imported already."""
    if _NAME in sys.modules:
        return
    import importlib

    import attrs

    define: Callable[..., Any] = attrs.define

    def define_later(maybe_class: type | None = None, **options: Any) -> Any:
        if maybe_class is None or options or maybe_class.__module__ != _NAME:
            return define(maybe_class, **options)
        _Unbuilt(maybe_class, define).put()
        return maybe_class

    attrs.define = define_later  # type: ignore[assignment]
    try:
        importlib.import_module(_NAME)
    finally:
        attrs.define = define
    hooks: Any = importlib.import_module("lsprotocol._hooks")
    hooks._resolved_forward_references = True  # each class resolves its own when it is built


class _Unbuilt:
    """Stands in a class for its `__attrs_attrs__` until somebody asks for it."""

    def __init__(self, cls: Any, define: Callable[..., Any]) -> None:
        self._cls, self._define = cls, define

    def put(self) -> None:
        """Puts both ways to be built on the class."""
        cls, build = self._cls, self.build

        def first_init(self: object, *args: Any, **named: Any) -> None:
            build()
            cls.__init__(self, *args, **named)

        cls.__init__ = first_init
        cls.__attrs_attrs__ = self

    def __get__(self, _instance: object, _owner: type) -> Any:
        self.build()
        return self._cls.__attrs_attrs__

    def build(self) -> None:
        """Makes an attrs class of it, once. Whoever comes meanwhile still finds the ways above, and waits."""
        cls = self._cls
        with _BUILDING:
            if cls.__dict__["__attrs_attrs__"] is self:
                names = sys.modules[_NAME].ALL_TYPES_MAP
                cls.__annotations__ = get_type_hints(cls, names, {}, include_extras=True)
                self._define(cls, init=True, slots=False, eq=False, repr=False)
