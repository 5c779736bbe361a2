"""Owns the environment of the little projects: their pytest loads no plugins of ours, as they would not have them."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _no_plugins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield
