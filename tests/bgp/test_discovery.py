"""Routers are found by what they advertise: frames byte for byte, and two machines on a simulated segment."""

import asyncio
import logging
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.advertisements import (
    ADVERTISEMENT,
    PROGRAM,
    SOLICITATION,
    advertisement,
    sender_of,
    solicitation,
)
from kubevip_bgp.discovery import EVERY, MOST, Discovery, Routers

from kubevip.testing import FakeHost, Segment, virtual
from kubevip.testing.bpf import accepts

OURS, MAC = IPv6Address("fe80::11"), bytes.fromhex("02000000000b")
ADVERTISED = (
    "333300000001"
    "02000000000b"
    "86dd"
    "60000000"
    "0018"
    "3a"
    "ff"
    "fe800000000000000000000000000011"
    "ff020000000000000000000000000001"
    "8600"
    "790b"
    "0000"
    "0000"
    "00000000"
    "00000000"
    "0101"
    "02000000000b"
)
SOLICITED = (
    "333300000002"
    "02000000000b"
    "86dd"
    "60000000"
    "0010"
    "3a"
    "ff"
    "fe800000000000000000000000000011"
    "ff020000000000000000000000000002"
    "8500"
    "7a12"
    "00000000"
    "0101"
    "02000000000b"
)
FRAMES = [(ADVERTISED, ADVERTISEMENT), (SOLICITED, SOLICITATION)]


def test_routers_are_tried_in_turn_and_no_more_than_a_few_are_remembered():
    routers, many = Routers(), [IPv6Address(f"fe80::{number:x}%eth0") for number in range(1, MOST + 3)]
    assert routers.after(IPv6Address("::%eth0")) is None
    routers.add(many[0])
    assert routers.after(many[0]) is None
    for router in many:
        routers.add(router)
    tried = [many[-1]]
    while (found := routers.after(tried[-1])) not in tried:
        tried.append(found)
    assert set(tried) == set(many[-MOST:])


def test_frames_are_written_byte_for_byte():
    assert advertisement(OURS, MAC).hex() == ADVERTISED
    assert solicitation(OURS, MAC).hex() == SOLICITED


@pytest.mark.parametrize(("text", "kind"), FRAMES)
def test_sender_of_a_frame_is_read_and_the_kernel_lets_it_through(text, kind):
    frame = bytes.fromhex(text)
    assert sender_of(frame, kind) == OURS
    assert accepts(PROGRAM, frame)
    assert sender_of(frame, ADVERTISEMENT + SOLICITATION - kind) is None


@pytest.mark.parametrize(
    ("at", "value"),
    [(20, 17), (21, 64), (22, 0x20), (54, 135), (55, 1), (56, 0), (60, 1)],
    ids=["no ICMPv6", "from afar", "not of the link", "another type", "a code", "a wrong sum", "damaged"],
)
@pytest.mark.parametrize(("text", "kind"), FRAMES)
def test_frame_that_can_not_be_believed_has_no_sender(text, kind, at, value):
    frame = bytearray.fromhex(text)
    frame[at] = value
    assert sender_of(bytes(frame), kind) is None


@given(st.binary(max_size=120), st.sampled_from([ADVERTISEMENT, SOLICITATION]))
def test_anything_else_has_no_sender(data, kind):
    assert sender_of(data, kind) is None


@given(st.integers(0, 77))
def test_frame_that_is_cut_has_no_sender(length):
    assert sender_of(bytes.fromhex(ADVERTISED)[:length], ADVERTISEMENT) is None


@virtual
async def test_two_find_each_other_within_a_moment():
    segment = Segment()
    here, there = FakeHost("here", segment), FakeHost("there", segment)
    found: dict[str, list[IPv6Address]] = {"here": [], "there": []}
    async with Discovery(here, ["eth0"], found["here"].append):
        await asyncio.sleep(5)
        async with Discovery(there, ["eth0"], found["there"].append):
            # Whoever comes asks, and is answered at once.
            await asyncio.sleep(0.01)
    assert set(found["there"]) == {IPv6Address("fe80::11%eth0")}
    assert set(found["here"]) == {IPv6Address("fe80::12%eth0")}


@virtual
async def test_one_that_asks_nobody_any_more_hears_nothing():
    segment = Segment()
    here, there = FakeHost("here", segment), FakeHost("there", segment)
    found: list[IPv6Address] = []
    async with Discovery(here, ["eth0"], found.append):
        pass
    async with Discovery(there, ["eth0"], lambda _router: None):
        await asyncio.sleep(EVERY)
    assert found == []


@virtual
async def test_interface_that_is_not_there_yet_is_waited_for_and_named_once(caplog):
    segment = Segment()
    here, there = FakeHost("here", segment), FakeHost("there", segment)
    found: list[IPv6Address] = []
    async with Discovery(here, ["eth7"], found.append), Discovery(there, ["eth0"], lambda _router: None):
        await asyncio.sleep(5)
        here.links.add("eth7", mac=bytes([2, 0, 0, 0, 0, 77]), networks=("fe80::77/64",))
        segment.plug(here, "eth7")
        await asyncio.sleep(EVERY + 1)
    assert set(found) == {IPv6Address("fe80::12%eth7")}
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [(record.getMessage(), record.interface) for record in told] == [("can't look for a router", "eth7")]
