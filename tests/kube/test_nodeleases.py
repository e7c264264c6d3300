"""The watch of a namespace shows the Leases of nodes, and those that nodes share."""

import asyncio
import contextlib

import attrs
import pytest

from kubevip.kube.leases import KubeLeases
from kubevip.kube.nodeleases import NodeLeases, SeenTwice
from kubevip.lease import Record
from kubevip.model import LeaseKey
from kubevip.ports import Observation

COMMON = LeaseKey("kube-system", "plndr-cp-lock")
HELD = Observation(Record("n1", 8.0, 0, "", "", "7"), "7")
GONE = Observation(None, "8")


class Silent:
    """An API server that never answers."""

    async def request(self, *_args: object, **_options: object) -> bytes:
        return await asyncio.get_running_loop().create_future()


@pytest.fixture
def nodes() -> NodeLeases:
    return NodeLeases(Silent(), KubeLeases(Silent()), "kube-system")


@contextlib.asynccontextmanager
async def watching(nodes: NodeLeases, lease: LeaseKey = COMMON):
    seen: list[Observation] = []
    async with SeenTwice(Silent(), nodes=nodes).watch(lease, seen.append):
        yield seen


async def test_who_watches_a_common_lease_is_told_of_it(nodes: NodeLeases) -> None:
    async with watching(nodes) as seen:
        nodes.note(COMMON.name, HELD)
        nodes.note(COMMON.name, GONE)
        assert seen == [HELD, GONE]


async def test_who_comes_later_is_told_what_there_is(nodes: NodeLeases) -> None:
    nodes.note(COMMON.name, HELD)
    async with watching(nodes) as seen:
        assert seen == [HELD]


async def test_who_comes_after_a_common_lease_was_deleted_is_told_of_none(nodes: NodeLeases) -> None:
    nodes.note_all([COMMON.name], "7")
    nodes.note(COMMON.name, HELD)
    nodes.note(COMMON.name, GONE)
    async with watching(nodes) as seen:
        assert [each.record for each in seen] == [None]


async def test_a_lease_of_another_namespace_is_another_one(nodes: NodeLeases) -> None:
    async with watching(nodes, attrs.evolve(COMMON, namespace="default")) as seen:
        nodes.note(COMMON.name, HELD)
        assert seen == []


async def test_nobody_takes_a_common_lease_for_that_of_a_node(nodes: NodeLeases) -> None:
    told: list[str] = []
    nodes.saw = lambda node, _observation: told.append(node)
    nodes.note(COMMON.name, HELD)
    nodes.note("kubevip-node-n1", HELD)
    assert told == ["n1"]
