"""For tests of backends, and of programs that embed kubevip: a world in memory, and time that jumps.

Each fake is the twin of one of ``kubevip.ports``, or of what the core lends a backend. ``check_backend`` tests a
backend's side of the contract, ``check_pool_source`` that of a source of pools. The fixtures for pytest are in
``kubevip.testing.fixtures``, which needs pytest.
"""

from kubevip.testing.addresses import Change, MemoryAddresses
from kubevip.testing.check import ContractBroken, check_backend
from kubevip.testing.check_source import check_pool_source
from kubevip.testing.history import Tenure, gaps, overlaps, tenures
from kubevip.testing.host import FakeHost
from kubevip.testing.leases import FaultyLeases, MemoryLeases
from kubevip.testing.links import MemoryLinks
from kubevip.testing.neighbourhood import MemoryNeighbourhood
from kubevip.testing.process import Process
from kubevip.testing.routes import MemoryRoutes
from kubevip.testing.segment import Segment, Sent
from kubevip.testing.virtual import Deadlock, Livelock, VirtualTimeLoop, run_virtual, virtual

__all__ = [
    "Change",
    "ContractBroken",
    "Deadlock",
    "FakeHost",
    "FaultyLeases",
    "Livelock",
    "MemoryAddresses",
    "MemoryLeases",
    "MemoryLinks",
    "MemoryNeighbourhood",
    "MemoryRoutes",
    "Process",
    "Segment",
    "Sent",
    "Tenure",
    "VirtualTimeLoop",
    "check_backend",
    "check_pool_source",
    "gaps",
    "overlaps",
    "run_virtual",
    "tenures",
    "virtual",
]
