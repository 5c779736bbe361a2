"""Owns the environment of the little projects: their pytest loads no plugins of ours, as they would not have them."""

import pytest


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
