"""Owns what every kind of sandbox offers to a candidate: a holder to talk to and the changes that were made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent_lsp.domain.ports import SandboxKind
from agent_lsp.workspace.in_place import Large
from agent_lsp.workspace.session import Session


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the tree by a look at the disk: files that may be new or other, and paths that are gone.

    `present` maps a path to where its bytes can be read from outside.
    """

    present: dict[str, Path]
    gone: set[str]


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate's folders and processes. `look` and `forget` run in a worker thread.

    `top` is where the outermost ignore rules apply as commands see it; `nested` are folders of other repositories;
    `spoil` is called before `forget` when what ran in it may still be alive;
    `mark` is in the environment of every process; `large` files are the live ones and must stay as they are.
    """

    kind: SandboxKind
    root: str
    scratch: str
    top: str
    nested: frozenset[str]
    mark: str
    session: Session
    look: Callable[[], Changes]
    forget: Callable[[], None]
    spoil: Callable[[], None] = lambda: None
    large: Mapping[str, Large] = field(default_factory=dict)
