"""That what one feature of the edge does wrong keeps no other feature from hearing what happened."""

from pathlib import Path
from typing import Any

import pytest

from agent_lsp.server.board import Json
from agent_lsp.server.desk import Desk
from agent_lsp.server.listeners import Listeners
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session
from tests.server.raw_client import VSCODE, uri_for


class Clumsy:
    """A feature that fails at all that it hears, and one after it that takes everything."""

    def __init__(self, listeners: Listeners) -> None:
        self.heard: list[str] = []
        listeners.on_event(self.fail)
        listeners.on_change(self.fail)
        listeners.on_text(self.fail)
        listeners.on_event(lambda _desk, event, _data: self.heard.append(event))
        listeners.on_change(lambda _desk: self.heard.append("changed"))
        listeners.on_text(lambda _desk, _document, _changes: self.heard.append("text"))

    def fail(self, *_told: Any) -> None:
        raise ZeroDivisionError("a feature is wrong")


def test_a_listener_that_fails_is_logged_and_the_others_hear_it_all(caplog: pytest.LogCaptureFixture) -> None:
    listeners, desk = Listeners(), Desk(Path("/nowhere"))
    feature, data = Clumsy(listeners), Json()
    listeners.announce(desk, "run", data)
    listeners.changed(desk)
    listeners.text_changed(desk, None, ())  # type: ignore[arg-type]
    assert feature.heard == ["run", "changed", "text"]
    failures = [row for row in caplog.records if row.exc_info is not None]
    assert len(failures) == 3, "each is told, with its traceback"
    assert "a feature is wrong" in caplog.text


async def test_a_runtime_that_dies_fails_its_runs_though_a_feature_is_wrong(tmp_path: Path) -> None:
    def no_start(root: Path, settings: Any) -> Any:
        raise OSError(f"no runtime for {root} with {settings}")

    protocol = EdgeServer("0").protocol
    protocol.writer = type("Nobody", (), {"write": lambda _self, _frame: None})()
    params = {"capabilities": VSCODE["capabilities"], "rootUri": uri_for(tmp_path)}
    session = Session(protocol, params, no_start)
    (desk,) = session.folders.desks
    feature = Clumsy(session.listeners)
    desk.board.take("run", {"runId": "r_1", "goal": "g", "state": "executing", "message": ""})
    assert desk.may_restart(), "once; one that dies again so soon is not, and its runs count as failed"

    session._died(desk, -9)

    assert feature.heard == ["run", "gone", "changed"]
    assert desk.board.runs["r_1"]["state"] == "failed"
