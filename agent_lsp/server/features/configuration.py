"""Owns the client's settings: the section `agentLsp` from every place a client may give it."""

from collections.abc import Mapping
from typing import Any, Final

from lsprotocol import types

from agent_lsp.domain.errors import AgentLspError
from agent_lsp.server.board import Json
from agent_lsp.server.desk import tell
from agent_lsp.server.protocol import EdgeServer
from agent_lsp.server.session import Session

SECTION: Final = "agentLsp"


class Configuration:
    """Keeps `session.settings` and tells running runtimes of a change."""

    def __init__(self, session: Session, initialization_options: Any) -> None:
        self._session = session
        self._base = section_of(initialization_options)
        session.settings = dict(self._base)

    async def pull(self) -> None:
        """Asks a client that holds settings for ours."""
        if not self._session.traits.configuration:
            return
        params = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        try:
            answer = await self._session.client.ask(types.WORKSPACE_CONFIGURATION, params)
        except (AgentLspError, TimeoutError):
            return
        if isinstance(answer, list) and answer and isinstance(answer[0], Mapping):
            await self.change(answer[0])

    async def change(self, section: Mapping[str, Any]) -> None:
        """Lays a section over the initialization options."""
        settings = merged(self._base, section)
        if settings == self._session.settings:
            return
        self._session.settings = settings
        for desk in self._session.folders.desks:
            await tell(desk, "configure", {"settings": settings})


def register(server: EdgeServer, session: Session, initialization_options: Any) -> Configuration:
    """Registers the feature."""
    configuration = Configuration(session, initialization_options)

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        settings: Any = params.settings
        if isinstance(settings, Mapping) and settings:
            section = settings.get(SECTION)
            if isinstance(section, Mapping):
                await configuration.change(section)
        else:
            await configuration.pull()

    return configuration


def section_of(options: Any) -> Json:
    """The settings in initialization options, which may name the section or be it."""
    if not isinstance(options, Mapping):
        return {}
    section = options.get(SECTION, options)
    return dict(section) if isinstance(section, Mapping) else {}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """`over` laid over `base`, table by table. None counts as not set."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = merged(known, value)
        elif value is not None:
            result[key] = value
    return result
