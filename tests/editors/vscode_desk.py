"""Owns what the tests of a real VS Code share: one code-server and one endpoint, a project each, and usual gestures."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.anthropic_server import AnthropicServer, Brain, ParsedRequest, Reply, ScriptedBrain, edit
from tests.editors.code_server import CodeServer, code_server
from tests.editors.vscode_window import Window
from tests.scenarios.scene import write_project

Json = dict[str, Any]

PICTURES = os.environ.get("AGENT_LSP_PICTURES")
"""A folder to keep the screenshots in."""

LENS = ".contentWidgets .codelens-decoration a"

FIX = edit("calc.py", "return a - b", "return a + b")
SHOP = '''"""A shop."""


def net(price):
    return price - 1


RATE = 10


def tax(price):
    return price * 2 // RATE


NAME = "shop"


def total(price):
    return net(price) - tax(price)


# the label on the door
def label():
    return NAME


# the number of the version
def version():
    return 1
'''
SHOP_EDITS = (
    edit("shop.py", "return price - 1", "return price"),
    edit("shop.py", "return price * 2 // RATE", "return price * 3 // RATE"),
    edit("shop.py", "return net(price) - tax(price)", "return net(price) + tax(price)"),
    edit("shop.py", "# the label on the door", "# what stands on the door"),
    edit("shop.py", "# the number of the version", "# counts up with each release"),
)
TEST_TOTAL = "from shop import total\n\n\ndef test_total():\n    assert total(100) == 130\n"
KNOWN = "import pytest\n\n\n@pytest.mark.parametrize('n', range(12))\ndef test_known(n):\n    assert n < 0\n"


class Desk:
    """One code-server with its scripted endpoint; each test opens a folder of its own."""

    def __init__(self, base: Path, server: CodeServer, model: AnthropicServer) -> None:
        self.base, self.server, self.model = base, server, model

    async def open(
        self,
        name: str,
        files: Mapping[str, str | bytes],
        brain: Brain | None = None,
        settings: Json | None = None,
        also: Sequence[Path] = (),
    ) -> Window:
        """A window on a new project, with `also` on these folders beside it."""
        self.model.brain = brain or ScriptedBrain()
        folder = self.base / name
        folder.mkdir()
        write_project(folder, files)
        return await self.server.open(folder, settings, also)


@asynccontextmanager
async def desk_in(base: Path) -> AsyncIterator[Desk]:
    """Starts both and ends them again."""
    with AnthropicServer() as model:
        environment = {"ANTHROPIC_API_KEY": "sk-ant-api03-editor-0123456789abcdef", "ANTHROPIC_BASE_URL": model.url}
        async with code_server(base / "home", environment) as server:
            yield Desk(base, server, model)


async def picture(window: Window, name: str) -> None:
    """Keeps a screenshot where one is wanted."""
    if PICTURES is not None:
        await window.picture(Path(PICTURES) / f"{name}.png")


def after(event: threading.Event, reply: Reply) -> Callable[[ParsedRequest], Reply]:
    """A model that thinks until the event."""

    def answer(_: ParsedRequest) -> Reply:
        assert event.wait(120)
        return reply

    return answer


async def task(window: Window, goal: str, command: str = "Agent: New Task…") -> None:
    """States a goal through the palette."""
    await window.palette(command)
    await window.fill(goal)


async def hunks(window: Window, count: int, path: str | None = None) -> None:
    """Until so many proposed changes are marked in the editor."""
    await window.until(
        """const marked = vscode.languages.getDiagnostics()
            .filter(([uri]) => args[1] === null || uri.path.endsWith(args[1]))
            .flatMap(([, all]) => all).filter((d) => String(d.code).startsWith('h_'));
        return marked.length === args[0]""",
        [count, path],
        f"{count} proposed changes",
    )
