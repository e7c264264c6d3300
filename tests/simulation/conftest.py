"""What the tests of the simulation share: agents that nobody reads the logs of."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nobody_reads_logs() -> Iterator[None]:
    """Whole agents log much; to write it down takes longer than to simulate it. A story asks for it itself."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
