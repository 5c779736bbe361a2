"""Owns `agent/model/list` and `agent/model/complete`: the way from a runtime to a model that the client lends."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from agent_lsp.domain.errors import OperatorError
from agent_lsp.server.desk import Desk
from agent_lsp.server.protocol import EditorRefusedError
from agent_lsp.server.session import Session

_LIST_S: Final = 5.0
_ANSWER_S: Final = 600.0


def register(session: Session) -> None:
    """Serves the runtimes; a client that did not say that it lends models is never asked."""
    session.serve_calls({"model_list": partial(_list, session), "model_complete": partial(_complete, session)})


async def _list(session: Session, _: Desk, _args: Mapping[str, Any]) -> Mapping[str, Any]:
    if not session.traits.lends_models:
        return {"models": []}
    answer: Any = await session.client.ask("agent/model/list", {}, timeout_s=_LIST_S)
    models = answer.get("models") if isinstance(answer, Mapping) else None
    return {"models": models if isinstance(models, list) else []}


async def _complete(session: Session, _: Desk, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Passes the answer on as it is: the runtime reads it, and trusts nothing of it."""
    if not session.traits.lends_models:
        return {"error": {"code": "no_model", "message": "", "hint": ""}}
    timeout_s = args.get("timeoutS")
    within_s = float(timeout_s) if isinstance(timeout_s, int | float) and timeout_s > 0 else _ANSWER_S
    try:
        answer: Any = await session.client.ask("agent/model/complete", args.get("params"), timeout_s=within_s)
    except EditorRefusedError as error:
        return {"error": {"code": "failed", "message": error.message, "hint": ""}}
    except TimeoutError as error:
        raise OperatorError(f"the editor's model did not answer within {within_s:g} s") from error
    return answer if isinstance(answer, dict) else {"error": {"code": "failed", "message": "no answer", "hint": ""}}
