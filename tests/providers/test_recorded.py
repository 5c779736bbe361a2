"""Recorded answers: written as they come, given again without an endpoint; and keys that a keyring holds."""

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_lsp.domain.conversation import Message, ModelRequest, ModelTurn, Phase, StopReason, Text, ToolCall
from agent_lsp.domain.errors import ModelRejectedError
from agent_lsp.domain.task import Usage
from agent_lsp.providers.anthropic import AnthropicModel
from agent_lsp.providers.endpoint import Endpoint
from agent_lsp.providers.recorded import RecordedModel, Recorder
from tests.anthropic_server import AnthropicServer, Call, ScriptedBrain, calls, plan, say


def request(text: str, phase: Phase = Phase.EXECUTION) -> ModelRequest:
    return ModelRequest(phase, "You mend code.", (Message("user", (Text(text),)),), ())


def quiet(_: str) -> None:
    """Hears the prose and does nothing."""


async def test_what_was_recorded_is_given_again_each_answer_once_the_very_request_first(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.jsonl"
    brain = ScriptedBrain(chat=[say("One."), calls(Call("edit_file", {"path": "é"}), text="Two."), say("Three.")])
    with AnthropicServer(brain) as server:
        model = AnthropicModel(Endpoint("claude-sonnet-5-5", "k", server.url))
        recorder = Recorder(model, path)
        said = [await recorder.respond(request(text), quiet) for text in ("a", "b", "c")]
        await model.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert recorder.name == "claude-sonnet-5-5"

    again, heard = RecordedModel(path), list[str]()
    for text, wanted in (("c", said[2]), ("another text", said[0]), ("b", said[1])):
        turn = await again.respond(request(text), heard.append)
        assert (turn.blocks, turn.stop, turn.model) == (wanted.blocks, wanted.stop, wanted.model)
        assert (turn.usage.output_tokens, turn.usage.cost_usd) == (wanted.usage.output_tokens, 0.0)
    assert heard == ["Three.", "One.", "Two."]
    with pytest.raises(ModelRejectedError, match="no further answer for execution"):
        await again.respond(request("a"), quiet)


async def test_an_answer_is_never_given_to_another_phase(tmp_path: Path) -> None:
    class Planner:
        name = "planner"

        async def respond(self, asked: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
            return ModelTurn((ToolCall("c1", "submit_plan", {}),), StopReason.TOOL_USE, "planner", Usage(turns=1))

    await Recorder(Planner(), tmp_path / "r").respond(request("a", Phase.PLANNING), quiet)
    with pytest.raises(ModelRejectedError, match="no further answer for execution"):
        await RecordedModel(tmp_path / "r").respond(request("a"), quiet)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: no recorded answer"),
        ('\n{"request": "x", "phase": "planning"}', "line 2: no recorded answer"),
        (json.dumps({"request": "x", "phase": "planning", "turn": {"blocks": 3}}), "line 1"),
    ],
)
async def test_a_file_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(ModelRejectedError, match=says):
        await RecordedModel(tmp_path / "r").respond(request("a"), quiet)


async def test_a_file_that_is_missing_or_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match="No such file"):
        await RecordedModel(tmp_path / "none").respond(request("a"), quiet)
    with AnthropicServer(ScriptedBrain(planning=[plan("a")])) as server:
        model = AnthropicModel(Endpoint("claude-sonnet-5-5", "k", server.url))
        with pytest.raises(ModelRejectedError, match="cannot be written"):
            await Recorder(model, tmp_path).respond(request("a"), quiet)
        await model.close()


KEYRING = """
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return "from-the-keyring" if (service, username) == ("anthropic", "me") else None
    def set_password(self, service, username, password): ...
    def delete_password(self, service, username): ...
"""


async def test_a_key_may_lie_in_the_systems_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    (tmp_path / "our_keyring.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "our_keyring.Keyring")
    keyring.core.init_backend()
    with AnthropicServer() as server:
        model = AnthropicModel(Endpoint("claude-sonnet-5-5", "", server.url, keyring="anthropic/me"))
        await model.respond(request("a"), quiet)
        assert server.requests[0].headers["authorization"] == "Bearer from-the-keyring"
        assert "from-the-keyring" not in repr(model._endpoint)
        await model.close()
        nobody = AnthropicModel(Endpoint("claude-sonnet-5-5", "", server.url, keyring="anthropic/you"))
        with pytest.raises(ModelRejectedError, match="no entry anthropic/you") as caught:
            await nobody.respond(request("a"), quiet)
        assert "python -m keyring set anthropic you" in caught.value.hint
    sys.modules.pop("our_keyring")
