"""ARP frames, octet by octet (RFC 826, RFC 5227), and what is read from frames of others."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_arp.packet import REPLIES_TO_US, Arp, announcement, claims_to, inquiry, probe, question

from kubevip.testing.bpf import accepts

VIP = ipaddress.ip_address("10.0.0.1")
MAC = bytes.fromhex("aabbccddeeff")
HEADER = "ffffffffffff aabbccddeeff 0806"

addresses = st.ip_addresses(v=4)
macs = st.binary(min_size=6, max_size=6)


def test_the_gratuitous_reply() -> None:
    assert announcement(VIP, MAC) == bytes.fromhex(
        f"{HEADER} 0001 0800 06 04 0002 aabbccddeeff 0a000001 aabbccddeeff 0a000001"
    )


def test_the_gratuitous_request() -> None:
    assert question(VIP, MAC) == bytes.fromhex(
        f"{HEADER} 0001 0800 06 04 0001 aabbccddeeff 0a000001 ffffffffffff 0a000001"
    )


def test_the_probe_has_no_sender_address() -> None:
    assert probe(VIP, MAC) == bytes.fromhex(
        f"{HEADER} 0001 0800 06 04 0001 aabbccddeeff 00000000 000000000000 0a000001"
    )


@given(addresses, macs)
def test_an_announcement_is_read_as_it_was_written(address: ipaddress.IPv4Address, mac: bytes) -> None:
    assert Arp.parse(announcement(address, mac)) == Arp(2, address, mac, address)
    assert Arp.parse(question(address, mac)) == Arp(1, address, mac, address)
    assert Arp.parse(probe(address, mac)) == Arp(1, ipaddress.IPv4Address(0), mac, address)


@given(st.binary(max_size=80))
def test_garbage_is_never_read_and_never_raises(frame: bytes) -> None:
    assert Arp.parse(frame) is None


@given(st.binary(max_size=60), st.integers(0, 41))
def test_a_frame_with_broken_octets_never_raises(octets: bytes, at: int) -> None:
    frame = bytearray(announcement(VIP, MAC))
    frame[at : at + len(octets)] = octets
    Arp.parse(bytes(frame))


@pytest.mark.parametrize("length", range(42))
def test_a_frame_that_was_cut_off_is_not_read(length: int) -> None:
    assert Arp.parse(announcement(VIP, MAC)[:length]) is None


@pytest.mark.parametrize(
    ("at", "octets"), [(12, "0800"), (14, "0006"), (16, "86dd"), (18, "08"), (19, "10"), (12, "8100")]
)
def test_what_is_not_arp_for_ipv4_over_ethernet_is_not_read(at: int, octets: str) -> None:
    frame = bytearray(announcement(VIP, MAC))
    frame[at : at + len(octets) // 2] = bytes.fromhex(octets)
    assert Arp.parse(bytes(frame)) is None


def test_padding_behind_the_frame_is_passed_over() -> None:
    assert Arp.parse(announcement(VIP, MAC) + bytes(18)) == Arp(2, VIP, MAC, VIP)


WITNESS = ipaddress.ip_address("10.0.0.254")


def test_the_inquiry_is_an_ordinary_request_from_the_vip() -> None:
    assert inquiry(VIP, MAC, WITNESS) == bytes.fromhex(
        f"{HEADER} 0001 0800 06 04 0001 aabbccddeeff 0a000001 000000000000 0a0000fe"
    )


def reply(to: bytes) -> bytes:
    """Build what the witness answers to the machine *to*."""
    body = bytes.fromhex("0001 0800 06 04 0002") + MAC + WITNESS.packed + to + VIP.packed
    return to + MAC + bytes.fromhex("0806") + body


def test_the_kernel_lets_replies_to_us_through_and_nothing_else() -> None:
    assert accepts(REPLIES_TO_US, reply(bytes.fromhex("020000000001")))
    assert not accepts(REPLIES_TO_US, announcement(VIP, MAC))
    assert not accepts(REPLIES_TO_US, inquiry(VIP, MAC, WITNESS))
    assert not accepts(REPLIES_TO_US, reply(MAC)[:21])


@given(st.sets(addresses, min_size=1, max_size=40), addresses, macs)
def test_the_kernel_lets_every_claim_to_a_watched_address_through(
    watched: set[ipaddress.IPv4Address], other: ipaddress.IPv4Address, mac: bytes
) -> None:
    program = claims_to(watched)
    for address in watched:
        assert accepts(program, announcement(address, mac))
        assert accepts(program, inquiry(address, mac, WITNESS))
        assert not accepts(program, probe(address, mac)) or ipaddress.IPv4Address(0) in watched
    assert accepts(program, announcement(other, mac)) == (other in watched)
