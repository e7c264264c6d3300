"""Fixtures for pytest. A test suite that wants them imports them in its ``conftest.py``::

    from kubevip.testing.fixtures import leases, plug, segment

They need a running event loop only when they are used, so tests in virtual time may have them too.
"""

from collections.abc import Callable

import pytest

from kubevip.testing.host import FakeHost
from kubevip.testing.leases import MemoryLeases
from kubevip.testing.segment import Segment

__all__ = ["leases", "plug", "segment"]


@pytest.fixture
def leases() -> MemoryLeases:
    """Keep Leases in memory."""
    return MemoryLeases()


@pytest.fixture
def segment() -> Segment:
    """Simulate an Ethernet segment."""
    return Segment()


@pytest.fixture
def plug(segment: Segment) -> Callable[[str], FakeHost]:
    """Return a function that plugs a machine of a given name to the segment."""
    return lambda node: FakeHost(node, segment)
