"""Owns what tokens cost: the public list prices of Claude models, as data with its date.

A model that is not in the table costs 0 here and `price_of` says None: the budget in money then never stops a run, the
others do. Settings can add or replace prices.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent_lsp.domain.task import Usage

PRICES_DATE: Final = "2026-10-24"
"""The state of the list. Input, output and most cache prices are from stored pages of platform.claude.com; cache prices
of the 5.5 models and the long prompts of Haiku 5.5 from others' reports of that list. Compare before relying on them.
"""

_PER: Final = 1_000_000
_DATED = re.compile(r"-\d{8}$|-latest$|@\d{8}$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; cache writes are those kept for five minutes.

    A request whose prompt (cached tokens included) is longer than `long_over_tokens` costs `long` instead.
    """

    input: float
    output: float
    cache_write: float
    cache_read: float
    long_over_tokens: int | None = None
    long: "Price | None" = None


_FABLE_5_1: Final = Price(10.0, 50.0, 12.5, 0.25)
_FABLE_5: Final = Price(10.0, 50.0, 12.5, 1.0)
_OPUS_5: Final = Price(5.0, 25.0, 6.25, 0.5)
_OPUS_4: Final = Price(15.0, 75.0, 18.75, 1.5)
_SONNET_4: Final = Price(3.0, 15.0, 3.75, 0.3)

PRICES: Final[Mapping[str, Price]] = {
    "claude-fable-5-1": _FABLE_5_1,
    "claude-mythos-5-1": _FABLE_5_1,
    "claude-fable-5": _FABLE_5,
    "claude-mythos-5": _FABLE_5,
    "claude-opus-5-5": Price(4.0, 20.0, 5.0, 0.2),
    "claude-opus-5": _OPUS_5,
    "claude-opus-4-8": _OPUS_5,
    "claude-opus-4-7": _OPUS_5,
    "claude-opus-4-6": _OPUS_5,
    "claude-opus-4-5": _OPUS_5,
    "claude-opus-4-1": _OPUS_4,
    "claude-opus-4-0": _OPUS_4,
    "claude-opus-4": _OPUS_4,
    "claude-sonnet-5-5": Price(2.0, 10.0, 2.5, 0.1),
    "claude-sonnet-5": Price(2.0, 10.0, 2.5, 0.2),
    "claude-sonnet-4-6": _SONNET_4,
    "claude-sonnet-4-5": _SONNET_4,
    "claude-sonnet-4-0": _SONNET_4,
    "claude-sonnet-4": _SONNET_4,
    "claude-haiku-5-5": Price(0.1, 0.5, 0.125, 0.01, 100_000, Price(0.5, 2.5, 0.625, 0.05)),
    "claude-haiku-4-5": Price(1.0, 5.0, 1.25, 0.1),
    "claude-3-5-haiku": Price(0.8, 4.0, 1.0, 0.08),
}


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price | None:
    """The price of a model by its id, with or without a date at its end; None where it is not known."""
    return prices.get(model) or prices.get(_DATED.sub("", model))


def cost_usd(model: str, usage: Usage, prices: Mapping[str, Price] = PRICES) -> float:
    """What one answer cost; 0 for a model whose price is not known."""
    price = price_of(model, prices)
    if price is None:
        return 0.0
    prompt_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if price.long is not None and price.long_over_tokens is not None and prompt_tokens > price.long_over_tokens:
        price = price.long
    return (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + usage.cache_write_tokens * price.cache_write
        + usage.cache_read_tokens * price.cache_read
    ) / _PER
