"""Sets a person before an editor on a project: the real product with a scripted model, or the edge alone."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.anthropic_server import AnthropicServer, Brain
from tests.profiles.editor import EDITORS, ProfiledClient
from tests.profiles.manners import breaches
from tests.profiles.person import Person
from tests.scenarios.scene import SERVE, environment, write_project
from tests.server.conftest import SERVE as SERVE_ALONE


@dataclass(frozen=True)
class Desk:
    """One session; `model` is None where the edge runs alone, over the runtime of tests/server/fake_runtime.py."""

    root: Path
    client: ProfiledClient
    person: Person
    model: AnthropicServer | None

    async def leave(self) -> None:
        """Closes the editor; nothing was asked of it that it did not declare, and it never waited too long."""
        assert await self.client.close() == 0
        assert [*breaches(self.client), *self.person.breaches] == []
        assert self.client.slowest_answer_s < self.client.editor.patience_s


Sit = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def sit(tmp_path: Path) -> AsyncIterator[Sit]:
    """`await sit("helix-25.07", files, brain)`; without a brain over the edge alone."""
    desks: list[Desk] = []

    async def make(name: str, files: Mapping[str, str | bytes], brain: Brain | None = None) -> Desk:
        root, home = tmp_path / "project", tmp_path / "home"
        root.mkdir()
        home.mkdir()
        write_project(root, files, git=brain is not None)
        editor = EDITORS[name]
        client = ProfiledClient(editor=editor)
        model = None if brain is None else AnthropicServer(brain).start()
        desk = Desk(root, client, Person(client), model)
        desks.append(desk)
        env = environment(home, model, {})
        await client.start(SERVE_ALONE if brain is None else SERVE, cwd=root, env=env)
        await client.initialize(editor.profile, root)
        return desk

    yield make
    for desk in desks:
        await desk.client.kill()
        if desk.model is not None:
            desk.model.stop()
