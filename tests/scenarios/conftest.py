"""Sets the stage: servers, editors and endpoints that end with their test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.anthropic_server import AnthropicServer, Brain
from tests.scenarios.scene import PROJECT, SERVE, Scene, environment, write_project
from tests.scenarios.wires import WIRES
from tests.server.raw_client import VSCODE, Json, RawClient, aware

Stage = Callable[..., Awaitable[Scene]]


@pytest.fixture(params=list(WIRES))
def endpoint(request: pytest.FixtureRequest) -> Iterator[AnthropicServer]:
    """A model's server of each wire format; give it a brain, and the scene `env=at(endpoint)`."""
    with WIRES[request.param]() as running:
        yield running
    assert running.errors == []


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Makes a scene: `await stage(files, brain, profile=…, git=…, env=…, options=…)`; no brain: the embedded engine."""
    scenes: list[Scene] = []

    async def make(
        files: Mapping[str, str | bytes] = PROJECT,
        brain: Brain | None = None,
        *,
        profile: Json | None = None,
        git: bool = True,
        env: Mapping[str, str] | None = None,
        options: Any = None,
    ) -> Scene:
        number = len(scenes)
        root, home = tmp_path / f"project{number}", tmp_path / f"home{number}"
        root.mkdir()
        home.mkdir()
        write_project(root, files, git=git)
        model = AnthropicServer(brain).start() if brain is not None else None
        client = RawClient()
        scene = Scene(root, client, model)
        scenes.append(scene)
        await client.start(SERVE, cwd=root, env=environment(home, model, env or {}))
        await client.initialize(profile or aware(VSCODE), root, options=options)
        return scene

    yield make
    for scene in scenes:
        await scene.client.kill()
        if scene.model is not None:
            scene.model.stop()
