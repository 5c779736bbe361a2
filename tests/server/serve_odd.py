"""serve.py with features that misbehave, each a request `odd/<name>`: `python -m tests.server.serve_odd`."""

import asyncio
import sys
from typing import Any

from agent_lsp.server.features import code_lenses
from agent_lsp.server.main import EdgeDependencies, serve_stdio
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from tests.server import serve

register_lenses = code_lenses.register


def circle() -> list[Any]:
    turning: list[Any] = []
    turning.append(turning)
    return turning


RESULTS: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": [{"x": float("inf")}],
    "set": {1, 2},
    "bytes": b"x",
    "object": object(),
    "circle": circle(),
    "surrogate": "\ud800",
    "echo": None,
}


def register(server: EdgeServer, session: Session) -> None:
    register_lenses(server, session)
    for name, result in RESULTS.items():
        server.feature(f"odd/{name}")(lambda params, result=result: params if result is None else result)

    @server.feature("odd/raises")
    def raises(_: Any) -> None:
        raise FileNotFoundError(2, "No such file", "/secret/place")

    @server.feature("odd/raises-later")
    async def raises_later(_: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError("/secret/place")

    @server.feature("odd/never")
    async def never(_: Any) -> None:
        await asyncio.Event().wait()


if __name__ == "__main__":
    code_lenses.register = register
    dependencies = EdgeDependencies(serve.start_runtime, serve.read_log, serve.on_initialized, "0.0.test")
    sys.exit(serve_stdio(dependencies))
