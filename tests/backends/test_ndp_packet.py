"""Neighbour discovery frames, octet by octet (RFC 4861), and what is read from frames of others."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_ndp.packet import (
    ADVERTISEMENTS_ONLY,
    Advertisement,
    Solicitation,
    advertisement,
    claims_to,
    inquiry,
    probe,
)

from kubevip.testing.bpf import accepts

VIP = ipaddress.ip_address("fd00::5")
SOURCE = ipaddress.ip_address("fe80::1")
MAC = bytes.fromhex("aabbccddeeff")

addresses = st.ip_addresses(v=6)
macs = st.binary(min_size=6, max_size=6)


def checksum_is_right(frame: bytes) -> bool:
    """RFC 4443, section 2.3, word by word: all of it sums up to ones."""
    source, target, message = frame[22:38], frame[38:54], frame[54:]
    total = 0
    for data in (source, target, struct.pack("!IxxxB", len(message), 58), message):
        for (word,) in struct.iter_unpack("!H", data):
            total += word
            total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_the_unsolicited_advertisement() -> None:
    frame = advertisement(VIP, MAC, SOURCE)
    assert frame[:14] == bytes.fromhex("333300000001 aabbccddeeff 86dd")
    assert frame[14:54] == bytes.fromhex("60000000 0020 3a ff") + SOURCE.packed + ipaddress.ip_address("ff02::1").packed
    assert frame[54:56] == bytes.fromhex("88 00")
    assert frame[58:] == bytes.fromhex("20000000") + VIP.packed + bytes.fromhex("02 01 aabbccddeeff")


def test_the_probe_is_a_solicitation_without_a_sender_to_the_solicited_node() -> None:
    frame = probe(ipaddress.ip_address("fd00::1:abcd"), MAC)
    assert frame[:14] == bytes.fromhex("3333ff01abcd aabbccddeeff 86dd")
    assert frame[14:22] == bytes.fromhex("60000000 0018 3a ff")
    assert frame[22:54] == bytes(16) + ipaddress.ip_address("ff02::1:ff01:abcd").packed
    assert frame[54:56] == bytes.fromhex("87 00")
    assert frame[58:] == bytes(4) + ipaddress.ip_address("fd00::1:abcd").packed


@given(addresses, macs, addresses)
def test_the_checksums_are_right(target: ipaddress.IPv6Address, mac: bytes, source: ipaddress.IPv6Address) -> None:
    assert checksum_is_right(advertisement(target, mac, source))
    assert checksum_is_right(probe(target, mac))


@given(addresses, macs, addresses)
def test_an_advertisement_is_read_as_it_was_written(
    target: ipaddress.IPv6Address, mac: bytes, source: ipaddress.IPv6Address
) -> None:
    assert Advertisement.parse(advertisement(target, mac, source)) == Advertisement(target, mac)


def test_a_probe_is_no_advertisement() -> None:
    assert Advertisement.parse(probe(VIP, MAC)) is None


def test_without_an_option_the_sender_of_the_frame_counts() -> None:
    frame = advertisement(VIP, MAC, SOURCE)
    cut = frame[:18] + struct.pack("!H", 24) + frame[20:78]
    assert Advertisement.parse(cut) == Advertisement(VIP, MAC)


def test_the_option_counts_though_others_come_before_it() -> None:
    frame = advertisement(VIP, MAC, SOURCE)
    nonce = bytes([14, 1]) + bytes(6)
    assert Advertisement.parse(frame[:6] + bytes(6) + frame[12:78] + nonce + frame[78:]) == Advertisement(VIP, MAC)


def test_an_option_of_length_zero_makes_it_invalid() -> None:
    # RFC 4861, section 7.1.2: all included options have a length that is greater than zero.
    frame = advertisement(VIP, MAC, SOURCE)
    assert Advertisement.parse(frame[:79] + b"\0" + frame[80:]) is None


@given(st.binary(max_size=120))
def test_garbage_is_never_read_and_never_raises(frame: bytes) -> None:
    assert Advertisement.parse(frame) is None


@given(st.binary(max_size=90), st.integers(0, 85))
def test_a_frame_with_broken_octets_never_raises(octets: bytes, at: int) -> None:
    frame = bytearray(advertisement(VIP, MAC, SOURCE))
    frame[at : at + len(octets)] = octets
    Advertisement.parse(bytes(frame))


@pytest.mark.parametrize("length", range(78))
def test_a_frame_that_was_cut_off_is_not_read(length: int) -> None:
    assert Advertisement.parse(advertisement(VIP, MAC, SOURCE)[:length]) is None


@pytest.mark.parametrize(("at", "octet"), [(12, 0x08), (20, 17), (21, 254), (54, 135), (55, 1)])
def test_what_is_no_valid_advertisement_is_not_read(at: int, octet: int) -> None:
    frame = bytearray(advertisement(VIP, MAC, SOURCE))
    frame[at] = octet
    assert Advertisement.parse(bytes(frame)) is None


def test_the_kernel_lets_advertisements_through_and_nothing_else() -> None:
    tcp = bytearray(advertisement(VIP, MAC, SOURCE))
    tcp[20] = 6
    assert accepts(ADVERTISEMENTS_ONLY, advertisement(VIP, MAC, SOURCE))
    assert not accepts(ADVERTISEMENTS_ONLY, probe(VIP, MAC))
    assert not accepts(ADVERTISEMENTS_ONLY, bytes(tcp))
    assert not accepts(ADVERTISEMENTS_ONLY, b"short")


@given(st.binary(max_size=120))
def test_whatever_is_read_was_let_through_by_the_kernel(frame: bytes) -> None:
    whole = advertisement(VIP, MAC, SOURCE)[:54] + frame
    if Advertisement.parse(whole) is not None:
        assert accepts(ADVERTISEMENTS_ONLY, whole)


def test_the_inquiry_is_an_ordinary_solicitation_from_the_vip() -> None:
    frame = inquiry(VIP, MAC, SOURCE)
    assert frame[:14] == bytes.fromhex("3333ff000001 aabbccddeeff 86dd")
    assert (
        frame[14:54]
        == bytes.fromhex("60000000 0020 3a ff") + VIP.packed + ipaddress.ip_address("ff02::1:ff00:1").packed
    )
    assert frame[54:56] == bytes.fromhex("87 00")
    assert frame[58:] == bytes(4) + SOURCE.packed + bytes.fromhex("01 01 aabbccddeeff")
    assert checksum_is_right(frame)


@given(addresses, macs, addresses)
def test_an_inquiry_is_read_as_it_was_written(
    source: ipaddress.IPv6Address, mac: bytes, target: ipaddress.IPv6Address
) -> None:
    assert Solicitation.parse(inquiry(source, mac, target)) == Solicitation(source, mac, target)
    assert Advertisement.parse(inquiry(source, mac, target)) is None


@given(st.sets(addresses, min_size=1, max_size=40), addresses, macs)
def test_the_kernel_lets_every_claim_to_a_watched_address_through(
    watched: set[ipaddress.IPv6Address], other: ipaddress.IPv6Address, mac: bytes
) -> None:
    program = claims_to(watched)
    for address in watched:
        assert accepts(program, advertisement(address, mac, SOURCE))
        assert accepts(program, inquiry(address, mac, SOURCE))
    low = {int(address) & 0xFFFFFFFF for address in watched}
    assert accepts(program, advertisement(other, mac, SOURCE)) == (int(other) & 0xFFFFFFFF in low)
    assert accepts(program, probe(VIP, mac)) == (0 in low)
