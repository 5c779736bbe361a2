"""Owns the identifiers that cross process boundaries; all are opaque strings with a one-letter prefix."""

from typing import NewType

RunId = NewType("RunId", str)
"""`r_…`: one run of one goal."""

ProposalId = NewType("ProposalId", str)
"""`p_…`: one change offered by a run; keeps its id when it is rebased."""

HunkId = NewType("HunkId", str)
"""`h_…`: derived from path and text, so it survives a rebase and the choice of a subset."""

CheckpointId = NewType("CheckpointId", str)
"""`c_…`: what an apply wrote and what it replaced."""

CaseId = str
"""A test id as its runner spells it, e.g. pytest's `tests/test_a.py::test_x[1]`, relative to the root."""
