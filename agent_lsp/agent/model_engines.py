"""Owns the triple of engines that a language model stands behind."""

from agent_lsp.agent.engines import Engines
from agent_lsp.agent.execution import ModelExecution
from agent_lsp.agent.model_work import ModelWork
from agent_lsp.agent.planning import ModelPlanning
from agent_lsp.agent.reflection import ModelReflection
from agent_lsp.agent.talking import ModelTalk


def model_engines(work: ModelWork) -> Engines:
    """Fresh engines for one run; `work.voice.model` answers for all three."""
    name, talk = work.voice.model.name, ModelTalk(work.voice, work.prompts, work.book)
    return Engines(name, ModelPlanning(work), ModelExecution(work), ModelReflection(work), route=work.route, talk=talk)
