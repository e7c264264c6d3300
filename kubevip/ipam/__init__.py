"""Addresses for requests, from pools of CIDRs and ranges: pure Python that needs neither Kubernetes nor an event loop.

pools = read({"range-global": "10.0.0.5-10.0.0.9"})
allocator = Allocator(pools)
allocator.adopt(Request(key="default/old", namespace="default"), [ip_address("10.0.0.5")])
allocator.assign(Request(key="default/new", namespace="default")).addresses
"""

from kubevip.ipam.allocator import DHCP_MARKER, Allocator, PoolStatistics
from kubevip.ipam.blocks import Block, Blocks
from kubevip.ipam.dialect import Pool, Pools, Problem, Severity, read
from kubevip.ipam.notation import read_address, read_pool
from kubevip.ipam.request import Assignment, FamilyPolicy, Request

__all__ = [
    "DHCP_MARKER",
    "Allocator",
    "Assignment",
    "Block",
    "Blocks",
    "FamilyPolicy",
    "Pool",
    "PoolStatistics",
    "Pools",
    "Problem",
    "Request",
    "Severity",
    "read",
    "read_address",
    "read_pool",
]
