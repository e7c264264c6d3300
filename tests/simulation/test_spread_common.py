"""Whole agents that spread Services, and share a Lease for the control plane: two watches show it, and one will do."""

import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_address

import anyio
import attrs
import pytest

from kubevip.testing.simulation.client import Query, SimulatedClient
from kubevip.testing.simulation.scenario import CONTROL_PLANE, draw
from kubevip.testing.simulation.verdict import judge
from kubevip.testing.simulation.world import World
from tests.simulation.spread import in_fleet, plans, scenario
from tests.waiting import until

VIP = ip_address("10.0.0.100")
ALONE = ("fieldSelector", f"metadata.name={CONTROL_PLANE.name}")


def silence(monkeypatch: pytest.MonkeyPatch, *, alone: bool) -> None:
    """Keep back what a watch of Leases shows: that of the common one *alone*, or that of all of their namespace."""
    stream = SimulatedClient.stream

    @contextlib.asynccontextmanager
    async def silent(
        client: SimulatedClient, path: str, *, query: Query, silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if path.endswith("/leases") and (ALONE in query) == alone:
            await anyio.sleep_forever()
        async with stream(client, path, query=query, silence=silence) as lines:
            yield lines

    monkeypatch.setattr(SimulatedClient, "stream", silent)


def holders(world: World) -> list[str]:
    return [name for name, node in world.nodes.items() if node.machine.addresses.has(VIP)]


@pytest.mark.parametrize("alone", [True, False])
def test_a_common_lease_is_handed_over_where_only_one_of_its_watches_shows_it(
    alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(monkeypatch, alone=alone)

    async def story(world: World) -> None:
        (old,) = await until(lambda: holders(world), 3)
        await anyio.sleep(3)
        world.nodes[old].ask_to_stop()
        await until(lambda: holders(world) not in ([old], []) and len(holders(world)) == 1, 0.3)

    in_fleet(attrs.evolve(scenario(3, plans(3)), control_plane=(VIP,)), story)


def test_who_has_learnt_of_its_release_from_either_watch_waits_for_the_successor_no_longer_than_that() -> None:
    _run, violations = judge(draw(104989))
    assert violations == []
