"""Who answers: the tier's endpoints in order, the way around one that is down, and what is said of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from agent_lsp.agent.routing import Board, Line, Route, RoutedModel
from agent_lsp.domain.breaker import Breaker, BreakerState
from agent_lsp.domain.conversation import Message, ModelRequest, ModelTurn, Phase, StopReason, Text
from agent_lsp.domain.errors import ModelBrokenError, ModelRejectedError, ModelUnavailableError
from agent_lsp.domain.ports import Clock
from agent_lsp.domain.task import Goal
from agent_lsp.domain.tiers import Tier, TierTable

ASKED = ModelRequest(Phase.EXECUTION, "You mend code.", (Message("user", (Text("Mend it."),)),), ())
DOWN = ModelUnavailableError("HTTP 503")


class Answering:
    """A model that answers its lines in order, the last one for ever; it keeps what it was asked."""

    def __init__(self, name: str, *lines: Exception | str) -> None:
        self.name, self.lines = name, list(lines)
        self.asked: list[ModelRequest] = []

    async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
        """The next line."""
        self.asked.append(request)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, Exception):
            raise line
        on_text(line)
        return ModelTurn((Text(line),), StopReason.END, self.name)


class World:
    """Models by name on a board, and a clock that stands still until it is told."""

    def __init__(self, tiers: dict[Tier, Sequence[str]], *models: Answering) -> None:
        self.now_s = 0.0
        self.changes = 0
        self.models = {model.name: model for model in models}
        self.breakers = {model.name: Breaker() for model in models}
        lines = {m.name: Line(m.name, m, self.breakers[m.name], 300 + n) for n, m in enumerate(models)}
        self.board = Board(lines, TierTable(tiers), {}, self._changed)
        self.route = Route()
        clock = Clock(now=lambda: 0.0, monotonic=lambda: self.now_s, sleep=asyncio.sleep)
        self.routed = RoutedModel(lambda: self.board, self.route, clock)

    def _changed(self) -> None:
        self.changes += 1

    async def ask(self, request: ModelRequest = ASKED) -> ModelTurn:
        return await self.routed.respond(request, lambda _: None)

    def asked(self) -> dict[str, int]:
        return {name: len(model.asked) for name, model in self.models.items()}


def two(first: Answering, second: Answering) -> World:
    return World({Tier.MID: ("a", "b")}, first, second)


async def test_the_first_endpoint_answers_with_its_own_longest_answer() -> None:
    world = two(Answering("a", "hello"), Answering("b", "no"))
    turn = await world.ask()
    assert (turn.text, turn.by.endpoint if turn.by else "") == ("hello", "a")
    assert turn.by is not None
    assert (turn.by.tier, turn.by.why, turn.by.instead_of) == ("mid", "the default", ())
    assert world.models["a"].asked == [replace(ASKED, max_tokens=300)]
    assert world.asked()["b"] == 0


async def test_one_that_is_down_is_gone_around_and_the_answer_says_so() -> None:
    world = two(Answering("a", DOWN), Answering("b", "here"))
    turn = await world.ask()
    assert turn.by is not None
    assert (turn.by.endpoint, turn.by.instead_of) == ("b", ("a: HTTP 503",))


async def test_one_that_failed_three_times_is_left_alone_and_tried_again_after_its_rest() -> None:
    world = two(Answering("a", DOWN, DOWN, DOWN, "back"), Answering("b", "here"))
    for _ in range(5):
        assert (await world.ask()).text == "here"
    assert world.asked() == {"a": 3, "b": 5}
    assert world.changes == 6, "each answer, and that one is left alone"
    last = (await world.ask()).by
    assert last is not None
    assert last.instead_of == ("a: left alone for 15 s after: HTTP 503",)
    world.now_s += 15
    assert (await world.ask()).text == "back"


async def test_where_all_are_left_alone_the_one_that_is_back_first_is_asked_anyway() -> None:
    world = two(
        Answering("a", ModelUnavailableError("slow down", retry_after_s=60)),
        Answering("b", ModelUnavailableError("slow down", retry_after_s=5), "here"),
    )
    with pytest.raises(ModelUnavailableError) as caught:
        await world.ask()
    assert caught.value.retry_after_s == 5
    assert caught.value.message == "No endpoint has an answer. a: slow down b: slow down"
    assert (await world.ask()).text == "here"
    assert world.asked() == {"a": 1, "b": 2}


async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere() -> None:
    world = two(Answering("a", ModelRejectedError("HTTP 400")), Answering("b", "here"))
    with pytest.raises(ModelRejectedError, match="HTTP 400"):
        await world.ask()
    assert world.asked() == {"a": 1, "b": 0}
    assert world.breakers["a"].state(0) is BreakerState.CLOSED


async def test_no_money_no_right_and_no_such_model_are_mended_by_another_endpoint() -> None:
    world = two(Answering("a", ModelRejectedError("HTTP 402", elsewhere=True)), Answering("b", "here"))
    assert (await world.ask()).text == "here"
    assert (await world.ask()).text == "here"
    assert world.asked() == {"a": 1, "b": 2}, "it is left alone at once"


async def test_where_all_refuse_for_good_nobody_waits_for_them() -> None:
    refused = ModelRejectedError("HTTP 404", hint="Check the name.", elsewhere=True)
    with pytest.raises(ModelRejectedError, match="No endpoint has an answer"):
        await two(Answering("a", refused), Answering("b", refused)).ask()
    with pytest.raises(ModelRejectedError, match=r"^HTTP 404$"):
        await World({Tier.MID: ("a",)}, Answering("a", refused)).ask()


async def test_a_broken_stream_is_asked_again_by_who_asked_and_then_gone_around() -> None:
    world = two(Answering("a", ModelBrokenError("half")), Answering("b", "here"))
    for _ in range(3):
        with pytest.raises(ModelBrokenError):
            await world.ask()
    assert (await world.ask()).text == "here"


async def test_a_thinker_that_is_down_falls_back_to_mid() -> None:
    world = World({Tier.THINKER: ("t",), Tier.MID: ("m",)}, Answering("t", DOWN), Answering("m", "here"))
    world.route.wish = Tier.THINKER
    by = (await world.ask()).by
    assert by is not None
    assert (by.endpoint, by.tier, by.instead_of) == ("m", "thinker", ("t: HTTP 503",))
    world.route.wish = None
    assert (await world.ask()).text == "here"
    assert world.asked() == {"t": 1, "m": 2}


async def test_two_failed_tries_of_a_step_ask_the_thinker_and_the_next_step_comes_back() -> None:
    world = World({Tier.THINKER: ("t",), Tier.MID: ("m",)}, Answering("t", "deep"), Answering("m", "plain"))
    goal = Goal("make add add")
    answers = []
    for failed_tries in (0, 1, 2, 0):
        world.route.step(goal, failed_tries=failed_tries)
        answers.append((await world.ask()).text)
    assert answers == ["plain", "plain", "deep", "plain"]


async def test_a_tier_of_its_own_that_is_not_set_is_said_and_is_no_trouble() -> None:
    world = World({Tier.MID: ("m",)}, Answering("m", "here"))
    world.route.wish = Tier.THINKER
    by = (await world.ask()).by
    assert by is not None
    assert (by.endpoint, by.instead_of) == ("m", ())
    assert "thinker has no endpoints of its own" in by.why


async def test_a_wish_that_comes_with_the_goal_holds_until_another_one_is_made() -> None:
    route = Route()
    goal = Goal("make add add", tier="thinker")
    route.planning(goal, again=False)
    assert route.choice(Phase.PLANNING, {}).tier is Tier.THINKER
    route.wish = None
    route.step(goal)
    assert route.choice(Phase.EXECUTION, {}).tier is Tier.MID


async def test_a_question_that_is_cancelled_counts_neither_way() -> None:
    class Silent(Answering):
        async def respond(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelTurn:
            self.asked.append(request)
            await asyncio.Event().wait()
            raise AssertionError

    world = World({Tier.MID: ("a",)}, Silent("a", ""))
    asking = asyncio.create_task(world.ask())
    while not world.models["a"].asked:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert world.breakers["a"].health(0).asked == 0
