"""Owns the view of the live workspace that a candidate is opened with: what is ignored and what is nested."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveView:
    """`ignored` holds whole folders as one entry; `nested` are folders of other repositories."""

    ignored: frozenset[str]
    nested: frozenset[str]
