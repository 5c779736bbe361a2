"""Owns what a plain copy does not keep apart, in one sentence for a verdict, and the refusal to run tests in one."""

from typing import Final

from agent_lsp.domain.errors import RunnerUnavailableError
from agent_lsp.domain.ports import Candidate, SandboxKind
from agent_lsp.workspace import landlock

_BETTER: Final = "install bubblewrap or allow user namespaces for a whole sandbox; `agent-lsp doctor` tells more."


def note_of_copies(landlock_abi: int, *, network: bool) -> str:
    """What every verdict of tests that ran in a plain copy says. `network` tells whether the settings open it."""
    if landlock_abi < 1:
        return (
            "The tests ran in a plain copy that isolates nothing (sandbox kind `clone`, no Landlock): they could read "
            f"and write whatever you can; {_BETTER}"
        )
    is_open = not network and landlock_abi < landlock.NETWORK_ABI
    opened = "the network where it could not be taken away, " if is_open else ""
    return (
        "The tests ran in a plain copy behind Landlock (sandbox kind `clone`), which keeps the contents of other files "
        f"but leaves {opened}rights and times of your files, sockets of services and the sight of other processes "
        f"open; {_BETTER}"
    )


def refuse_unisolated(candidate: Candidate, landlock_abi: int) -> None:
    """Raises RunnerUnavailableError where nothing at all would keep the tests of this candidate in."""
    if candidate.kind is SandboxKind.CLONE and landlock_abi < 1:
        raise RunnerUnavailableError(
            "The tests were not run: no sandbox works here and sandbox.tests_without_sandbox is `refuse`.",
            hint=f"To have them run, {_BETTER[:-1]}; or set sandbox.tests_without_sandbox to `tell`.",
        )
