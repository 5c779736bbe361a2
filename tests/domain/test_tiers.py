"""Which tier is asked for which work, and the circuit breaker of an endpoint."""

import pytest

from agent_lsp.domain.breaker import FAILURES, FIRST_REST_S, LONGEST_REST_S, TRIAL_S, Breaker, BreakerState
from agent_lsp.domain.conversation import Phase
from agent_lsp.domain.task import Goal
from agent_lsp.domain.tiers import Situation, Tier, TierTable, Wishes, choose, depth, writing

NOTHING = Wishes()


@pytest.mark.parametrize(
    ("situation", "tier", "why"),
    [
        (Situation(Phase.PLANNING), Tier.MID, "the default"),
        (Situation(Phase.PLANNING, deep="it is long"), Tier.THINKER, "it is long"),
        (Situation(Phase.PLANNING, rejected_plans=2), Tier.THINKER, "2 plans were rejected"),
        (Situation(Phase.EXECUTION, failed_tries=1, deep="it is long"), Tier.MID, "the default"),
        (Situation(Phase.EXECUTION, failed_tries=2), Tier.THINKER, "2 tries of this step failed"),
        (Situation(Phase.REFLECTION, failed_tries=3), Tier.THINKER, "3 tries of this step failed"),
        (Situation(Phase.EXECUTION, prose="a guide"), Tier.THINKER, "long writing: a guide"),
        (Situation(Phase.REFLECTION, prose="a guide"), Tier.MID, "the default"),
        (Situation(Phase.CHAT), Tier.TINY, "a question about a run"),
    ],
)
def test_the_work_chooses_the_tier_and_says_why(situation: Situation, tier: Tier, why: str) -> None:
    choice = choose(situation, NOTHING)
    assert choice.tier is tier
    assert why in choice.why


def test_a_wish_for_the_run_counts_more_than_one_for_the_phase_and_both_more_than_the_rules() -> None:
    hard = Situation(Phase.EXECUTION, failed_tries=5)
    of_phase = Wishes(phases={Phase.EXECUTION: Tier.TINY})
    assert choose(hard, of_phase).tier is Tier.TINY
    assert choose(hard, Wishes(Tier.MID, of_phase.phases)).tier is Tier.MID
    assert choose(Situation(Phase.PLANNING), of_phase).tier is Tier.MID


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("make add add", ""),
        ("fix e.g. foo.bar() in calc.py, i.e. the sum", ""),
        ("move a.py, lib/b.py and c.ts into d.toml", "it names 4 files"),
        ("Migrate the storage to SQLite", 'it says "migrate"'),
        ("rename it across the code base", 'it says "across the code base"'),
        ("word " * 300, "it is long"),
    ],
)
def test_a_hard_goal_is_known_by_its_words(text: str, why: str) -> None:
    assert depth(Goal(text)) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Write a short tutorial for new users", 'the goal says "write a short tutorial"'),
        ("rewrite the user manual", 'the goal says "rewrite the user manual"'),
        ("write a test for the report generator", ""),
        ("write a report generator", ""),
        ("document add in calc.py", ""),
    ],
)
def test_a_goal_of_long_writing_is_known_by_its_words(text: str, why: str) -> None:
    assert writing(Goal(text)) == why


def test_a_tier_asks_its_own_endpoints_first_and_then_those_of_mid_each_once() -> None:
    table = TierTable({Tier.THINKER: ("a", "b"), Tier.MID: ("b", "c")})
    assert table.order(Tier.THINKER) == ("a", "b", "c")
    assert table.order(Tier.TINY) == table.order(Tier.MID) == ("b", "c")
    assert not table.is_set(Tier.TINY)


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try_when_it_has_rested() -> None:
    breaker = Breaker()
    for n in range(FAILURES - 1):
        assert breaker.take_leave(n)
        assert not breaker.failed(n, "down")
    assert breaker.failed(10, "down"), "this one opened it"
    assert breaker.state(10) is BreakerState.OPEN
    assert not breaker.take_leave(10 + FIRST_REST_S - 0.1)
    later = 10 + FIRST_REST_S
    assert breaker.state(later) is BreakerState.HALF_OPEN
    assert breaker.take_leave(later)
    assert not breaker.take_leave(later), "another one is trying"
    assert breaker.take_leave(later + TRIAL_S), "nobody ever reported on that try"
    assert breaker.succeeded(later + TRIAL_S, 2.0), "this one closed it"
    assert breaker.state(later + TRIAL_S) is BreakerState.CLOSED
    health = breaker.health(later + TRIAL_S)
    assert (health.asked, health.failed, health.answer_s, health.trouble) == (4, 3, 2.0, "")


def test_a_success_in_between_starts_the_count_afresh() -> None:
    breaker = Breaker()
    for n in range(10):
        breaker.failed(n, "down")
        breaker.failed(n, "down")
        breaker.succeeded(n)
    assert breaker.state(10) is BreakerState.CLOSED


def test_each_try_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now_s = Breaker(), 0.0
    for _ in range(FAILURES):
        breaker.failed(now_s, "down")
    rests = []
    for _ in range(7):
        rests.append(breaker.rest_s(now_s))
        now_s += breaker.rest_s(now_s)
        assert breaker.take_leave(now_s)
        breaker.failed(now_s, "still down")
    assert rests == [15, 30, 60, 120, 240, LONGEST_REST_S, LONGEST_REST_S]


def test_an_endpoints_own_wish_opens_at_once_and_for_so_long() -> None:
    breaker = Breaker()
    breaker.failed(0, "slow down", wished_s=7)
    assert breaker.rest_s(0) == 7
    assert breaker.health(0).to_json() == {"state": "open", "asked": 1, "failed": 1, "restS": 7, "trouble": "slow down"}


def test_a_try_that_was_cancelled_leaves_the_next_one_to_another() -> None:
    breaker = Breaker()
    breaker.failed(0, "gone", at_once=True)
    assert breaker.take_leave(FIRST_REST_S)
    breaker.released()
    assert breaker.take_leave(FIRST_REST_S)
