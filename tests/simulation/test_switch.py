"""The simulated switch learns, forgets, loses, doubles and blocks."""

import random

import anyio
import attrs
import pytest

from kubevip.testing import virtual
from kubevip.testing.simulation.switch import AGEING, Switch

BROADCAST = b"\xff" * 6


@attrs.define(eq=False)
class Station:
    """Notes what it hears."""

    node: str
    mac: bytes
    switch: Switch
    heard: list[bytes] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.switch.plug(self, "eth0")

    def hear(self, _interface: str, frame: bytes) -> None:
        self.heard.append(frame[14:])

    def takes(self, mac: bytes) -> bool:
        return mac == self.mac

    def send(self, to: bytes, text: bytes = b"hello") -> None:
        self.switch.carry(self, "eth0", to + self.mac + b"\x88\xb5" + text)


@pytest.fixture
def switch() -> Switch:
    return Switch(random.Random(1))


@pytest.fixture
def stations(switch: Switch) -> list[Station]:
    return [Station(name, bytes([2, 0, 0, 0, 0, number]), switch) for number, name in enumerate("abc")]


@virtual
async def test_a_broadcast_reaches_all_others(stations: list[Station]) -> None:
    a, b, c = stations
    a.send(BROADCAST)
    await anyio.sleep(1)
    assert (a.heard, b.heard, c.heard) == ([], [b"hello"], [b"hello"])


@virtual
async def test_what_is_for_an_unknown_machine_goes_to_all_and_for_a_known_one_to_it_alone(
    stations: list[Station],
) -> None:
    a, b, c = stations
    a.send(b.mac)
    await anyio.sleep(1)
    assert (b.heard, c.heard) == ([b"hello"], [b"hello"])
    c.send(a.mac)
    await anyio.sleep(1)
    assert (a.heard, b.heard) == ([b"hello"], [b"hello"])


@virtual
async def test_a_machine_that_is_silent_for_long_is_forgotten(stations: list[Station]) -> None:
    a, b, c = stations
    b.send(BROADCAST)
    await anyio.sleep(AGEING + 1)
    a.send(b.mac)
    await anyio.sleep(1)
    assert c.heard == [b"hello", b"hello"]


@virtual
async def test_who_is_at_a_port_that_went_down_is_forgotten(switch: Switch, stations: list[Station]) -> None:
    a, b, c = stations
    b.send(BROADCAST)
    await anyio.sleep(1)
    switch.forget("b")
    a.send(b.mac)
    await anyio.sleep(1)
    assert c.heard == [b"hello", b"hello"]


@virtual
async def test_frames_arrive_in_their_order(stations: list[Station]) -> None:
    a, b, _c = stations
    for number in range(20):
        a.send(BROADCAST, bytes([number]))
    await anyio.sleep(1)
    assert b.heard == [bytes([number]) for number in range(20)]


@virtual
async def test_a_block_works_in_one_direction_and_until_it_is_taken_back(
    switch: Switch, stations: list[Station]
) -> None:
    a, b, c = stations
    switch.block(("a",), ("b", "c"))
    a.send(BROADCAST)
    b.send(BROADCAST)
    await anyio.sleep(1)
    assert (a.heard, b.heard, c.heard) == ([b"hello"], [], [b"hello"])
    switch.unblock(("a",), ("b", "c"))
    a.send(BROADCAST, b"again")
    await anyio.sleep(1)
    assert b.heard == [b"again"]


@virtual
async def test_blocks_add_up(switch: Switch, stations: list[Station]) -> None:
    a, b, _c = stations
    switch.block(("a",), ("b",))
    switch.block(("a",), ("b",))
    switch.unblock(("a",), ("b",))
    a.send(BROADCAST)
    await anyio.sleep(1)
    assert b.heard == []


@virtual
async def test_all_is_lost_and_all_is_doubled(switch: Switch, stations: list[Station]) -> None:
    a, b, _c = stations
    switch.loss = 1.0
    a.send(BROADCAST, b"lost")
    await anyio.sleep(1)
    switch.loss, switch.doubling = 0.0, 1.0
    a.send(BROADCAST, b"twice")
    await anyio.sleep(1)
    assert b.heard == [b"twice", b"twice"]


@virtual
async def test_packets_go_where_the_switch_believes_the_machine_to_be(switch: Switch, stations: list[Station]) -> None:
    a, b, _c = stations
    assert switch.follow("a", b.mac) is b
    switch.learn("c", b.mac)
    assert switch.follow("a", b.mac) is None
    b.send(a.mac)
    await anyio.sleep(1)
    assert switch.follow("a", b.mac) is b
    switch.block(("a",), ("b",))
    assert switch.follow("a", b.mac) is None
