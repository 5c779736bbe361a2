"""The page on models tells what the tests try."""

import re
from pathlib import Path
from typing import get_args

from agent_lsp.settings.model import ModelSettings
from tests.providers import test_model_contract

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_every_row_of_what_happens_names_a_test_that_every_provider_passes() -> None:
    rows = PAGE.read_text().partition("## What happens when")[2].splitlines()
    table = [row for row in rows if row.startswith("|")][2:]
    assert len(table) >= 13
    for row in table:
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        assert all(hasattr(test_model_contract, name) for name in names), row


def test_every_provider_that_can_be_set_is_on_the_page() -> None:
    table = PAGE.read_text().partition("## Tiers")[0]
    providers = get_args(ModelSettings.model_fields["provider"].annotation)
    assert re.findall(r"(?m)^\| `(\w+)` \|", table) == sorted(
        providers, key=lambda name: (name == "auto", providers.index(name))
    )
