"""Sets the stage for real editors: a project, a scripted model, a Neovim with a screen, stock or with the plugin."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.anthropic_server import AnthropicServer, Brain
from tests.editors.hands import Hands
from tests.editors.neovim import neovim
from tests.editors.recipe import stock_configuration
from tests.editors.vscode_desk import Desk, desk_in
from tests.scenarios.scene import write_project

Open = Callable[..., AbstractAsyncContextManager[Hands]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """One code-server for all tests of VS Code that ask for no other; its start takes longer than most of them."""
    async with desk_in(tmp_path_factory.mktemp("vscode")) as desk:
        yield desk


@pytest.fixture(params=["plugin", "stock"])
def client(request: pytest.FixtureRequest) -> str:
    """With the plugin, and with the configuration that docs/editors.md gives for a Neovim without it."""
    return str(request.param)


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """`async with opened(client, files, brain) as hands`: an editor in a project; the same project for a second one."""

    @contextlib.asynccontextmanager
    async def start(
        client: str,
        files: Mapping[str, str | bytes] | None = None,
        brain: Brain | None = None,
        *,
        init: str = "",
        size: tuple[int, int] = (110, 34),
    ) -> AsyncIterator[Hands]:
        project, home = tmp_path / "project", tmp_path / "home"
        project.mkdir(exist_ok=True)
        home.mkdir(exist_ok=True)
        if files is not None:
            write_project(project, files)
        model = AnthropicServer(brain).start() if brain is not None else None
        configuration = init if client == "plugin" else stock_configuration(home) + init
        try:
            async with neovim(
                project, home, model=model, plugin=client == "plugin", init=configuration, size=size
            ) as nvim:
                yield Hands(nvim, project, client == "plugin", model)
        finally:
            if model is not None:
                model.stop()

    return start
