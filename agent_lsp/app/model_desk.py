"""Owns what people may know and change of the models while a runtime is up: `agent.models`, health, the probes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from agent_lsp.agent.calls import Arguments, checked
from agent_lsp.agent.session import Session
from agent_lsp.agent.wishing import wish_tier
from agent_lsp.app.configuration import Configuration
from agent_lsp.app.models import NETWORK, Models, place_of
from agent_lsp.domain.breaker import FIRST_REST_S, BreakerState
from agent_lsp.domain.errors import AgentLspError, ConfigError
from agent_lsp.domain.ports import Publish
from agent_lsp.domain.tiers import Tier
from agent_lsp.providers.endpoint import Endpoint as Place
from agent_lsp.providers.health import probe, reached
from agent_lsp.settings.endpoint import Endpoint
from agent_lsp.storage.daybook import StoredDaybook

logger = logging.getLogger(__name__)

PROBE_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 1.0

Ask = Callable[[Place], Awaitable[tuple[bool, str]]]


class ModelsArguments(Arguments):
    """`models`."""

    tiers: dict[Tier, list[str] | None] | None = None
    run_id: str | None = Field(default=None, alias="runId", min_length=1)
    tier: Tier | Literal["auto"] | None = None
    probe: bool = False


class ModelDesk:
    """One runtime's models as people see them."""

    def __init__(self, models: Models, configuration: Configuration, publish: Publish, daybook: StoredDaybook) -> None:
        self.models, self._configuration, self._publish, self._daybook = models, configuration, publish, daybook
        self._probing: asyncio.Task[None] | None = None
        self._told: dict[str, Any] = {}
        models.changed = self.tell

    async def call(self, session: Session, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """`agent.models`: changes what is asked, then says what holds. Raises ConfigError, BadArgumentError."""
        given = checked(ModelsArguments, args)
        if given.tiers:
            self._configuration.wish({tier.value: names for tier, names in given.tiers.items()})
        if given.run_id is not None and given.tier is not None:
            wish_tier(session, given.run_id, None if given.tier == "auto" else given.tier)
        if given.probe:
            self._probing = asyncio.create_task(self._probe_all(), name="probes of the models' endpoints")
        self.tell()
        tiers = self._configuration.endpoints.table.to_json()
        return {"tiers": tiers, "endpoints": self.rows(), "day": self._daybook.used().to_json()}

    def tell(self) -> None:
        """Tells the edge how the endpoints are, if that changed."""
        told = {"models": self.rows(), "day": self._daybook.used().to_json()}
        if told != self._told:
            self._told = told
            self._publish("models", told)

    def rows(self) -> list[dict[str, Any]]:
        """One row per endpoint, in the order of the tiers."""
        try:
            endpoints = self._configuration.endpoints
        except ConfigError:
            return []
        now_s = self.models.clock.monotonic()
        return [
            {
                "endpoint": name,
                "provider": place.provider,
                "model": place.name,
                **({"address": _shown(address)} if (address := _address(place)) else {}),
                "tiers": endpoints.table.of(name),
                **self.models.breaker(place).health(now_s).to_json(),
            }
            for name, place in endpoints.by_name.items()
        ]

    async def watch(self, at_work: Callable[[], bool]) -> None:
        """Looks whether each endpoint is there, when a run is at work and it was not asked for `model.probe_every_s`.

        The first look comes with the first run, whose library is loaded meanwhile.
        """
        while True:
            await self.models.clock.sleep(_LOOK_EVERY_S)
            every_s = self._configuration.settings.model.probe_every_s
            if every_s is None or not at_work():
                continue
            try:
                due = [
                    place for place in self._configuration.endpoints.by_name.values() if self._is_due(place, every_s)
                ]
            except ConfigError:
                continue
            for place in due:
                await self._probe(place, reached)
            if due:
                self.tell()

    async def close(self) -> None:
        """Closes idle connections."""
        if self._probing is not None:
            self._probing.cancel()
        await self._daybook.close()
        await self.models.close()

    def _is_due(self, place: Endpoint, every_s: float) -> bool:
        """One that was asked lately needs no probe; one that has rested is, so that no run waits for a dead one."""
        breaker, now_s = self.models.breaker(place), self.models.clock.monotonic()
        if place.provider not in NETWORK:
            return False
        if breaker.state(now_s) is BreakerState.HALF_OPEN:
            return now_s - breaker.last_s >= FIRST_REST_S and breaker.take_leave(now_s)
        return breaker.state(now_s) is BreakerState.CLOSED and now_s - breaker.last_s >= every_s

    async def _probe_all(self) -> None:
        await asyncio.gather(*(self._probe(place, probe) for place in self._configuration.endpoints.by_name.values()))
        self.tell()

    async def _probe(self, place: Endpoint, ask: Ask) -> None:
        if place.provider not in NETWORK:
            return
        breaker = self.models.breaker(place)
        try:
            works, said = await ask(place_of(place, PROBE_WITHIN_S))
        except AgentLspError as error:
            works, said = False, error.message
        now_s = self.models.clock.monotonic()
        if works and breaker.state(now_s) is BreakerState.HALF_OPEN:
            breaker.released()  # it lists its models; whether it answers again, only a question of a run can tell
        elif works:
            breaker.succeeded(now_s)
        elif breaker.failed(now_s, said, at_once=True):
            logger.warning("endpoint %s does not answer: %s", place.label, said)


def _address(place: Endpoint) -> str:
    return place.base_url or NETWORK[place.provider][1] if place.provider in NETWORK else ""


def _shown(address: str) -> str:
    """Without a name and a password that stand in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
