"""Owns the workspace folders of a session: which one a path, a run or a proposal belongs to."""

from pathlib import Path

from agent_lsp.domain.errors import BadArgumentError, UnknownIdError
from agent_lsp.domain.task import run_name
from agent_lsp.server.board import Card
from agent_lsp.server.desk import Desk
from agent_lsp.server.uris import path_of, refusal_of

_KEPT_PLACES = 1000


class Folders:
    """The desks of all folders, in the client's order."""

    def __init__(self) -> None:
        self._desks: dict[Path, Desk] = {}
        self._located: dict[str, tuple[Desk, str]] = {}

    @property
    def desks(self) -> list[Desk]:
        """One for each workspace folder."""
        return list(self._desks.values())

    def at(self, root: Path) -> Desk | None:
        """The desk of this very folder."""
        return self._desks.get(root)

    def add(self, desk: Desk) -> None:
        """A folder to serve."""
        self._desks[desk.root] = desk
        self._located.clear()

    def remove(self, root: Path) -> Desk | None:
        """The desk that is no longer served; its runtime is the caller's to stop."""
        self._located.clear()
        return self._desks.pop(root, None)

    def desk_of(self, path: Path) -> Desk | None:
        """The folder that holds the path, the innermost one where they are nested."""
        holding = [desk for desk in self._desks.values() if desk.relative(path) is not None]
        if len(holding) < 2:
            return holding[0] if holding else None
        return max(holding, key=lambda desk: len(desk.root.parts), default=None)

    def locate(self, uri: str) -> tuple[Desk, str]:
        """The folder of a document and its path there. Raises BadArgumentError for what is not ours."""
        known = self._located.get(uri)
        if known is not None:
            return known
        path = path_of(uri)
        if path is None:
            message, hint = refusal_of(uri)
            raise BadArgumentError(message, hint=hint)
        path = self.home(path)
        desk = self.desk_of(path)
        if desk is None:
            raise BadArgumentError(
                f"{path} is in no workspace folder.", hint="Open the folder that holds it, then try again."
            )
        located = desk, desk.relative(path) or "."
        if len(self._located) >= _KEPT_PLACES:
            self._located.clear()
        self._located[uri] = located
        return located

    def try_locate(self, uri: str) -> tuple[Desk, str] | None:
        """Like `locate`, with None for what is not ours."""
        try:
            return self.locate(uri)
        except BadArgumentError:
            return None

    def only_desk(self) -> Desk:
        """The only workspace folder. Raises BadArgumentError when there is none or more than one."""
        if len(self._desks) == 1:
            return next(iter(self._desks.values()))
        if not self._desks:
            raise BadArgumentError("No workspace folder is open.", hint="Open a folder, then try again.")
        names = ", ".join(str(root) for root in self._desks)
        raise BadArgumentError(
            f"There are several workspace folders: {names}.", hint="Give a `uri` in the folder that is meant."
        )

    def home(self, path: Path) -> Path:
        """The path as its workspace folder spells it, where one of the two goes through a symlink."""
        if self.desk_of(path) is not None:
            return path
        resolved = _resolved(path)
        for root in self._desks:
            real_root = _resolved(root)
            if resolved.is_relative_to(real_root):
                return root / resolved.relative_to(real_root)
        return path

    def desk_of_run(self, run_id: str) -> Desk:
        """The folder of a run. Raises UnknownIdError."""
        for desk in self._desks.values():
            if run_id in desk.board.runs:
                return desk
        raise UnknownIdError(f"There is no run {run_id}.", hint="agent.status lists the runs of this session.")

    def name_of(self, run_id: str) -> str:
        """A run as a person knows it; one without a goal by its id."""
        goals = {key: str(row.get("goal", "")) for desk in self.desks for key, row in desk.board.runs.items()}
        goal = goals.pop(run_id, "")
        return run_name(run_id, goal, goals.values()) if goal else run_id

    def card_of(self, proposal_id: str) -> tuple[Desk, Card]:
        """A proposal with its folder. Raises UnknownIdError."""
        for desk in self._desks.values():
            if proposal_id in desk.board.cards:
                return desk, desk.board.cards[proposal_id]
        raise UnknownIdError(
            f"There is no proposal {proposal_id}.", hint="agent.status shows the proposalId of every run."
        )


def _resolved(path: Path) -> Path:
    """Without symlinks; as it is where they go round in a circle or the path is none."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path
