"""Owns how property tests run: the same examples every time, or more and others with PROPERTY_EXAMPLES=5000."""

import os

from hypothesis import HealthCheck, settings

_MORE = os.environ.get("PROPERTY_EXAMPLES")


def examples(usual: int) -> settings:
    """A decorator: `usual` examples, repeatable; what PROPERTY_EXAMPLES says, at random and with a blob to repeat."""
    return settings(
        max_examples=int(_MORE or usual),
        derandomize=_MORE is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
