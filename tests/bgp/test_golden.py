"""Every attribute and every capability, byte for byte as the RFCs draw them, written and read."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from kubevip_bgp import capabilities
from kubevip_bgp.attributes import (
    AsSegment,
    Origin,
    PathAttributes,
    Reach,
    SegmentKind,
    Type,
    Unknown,
    Unreach,
    encode_attributes,
)
from kubevip_bgp.capabilities import Capabilities, GracefulRestart, decode_capabilities, encode_capabilities
from kubevip_bgp.messages import Keepalive, Open, RouteRefresh, Terms, Update, decode, encode
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.reading import read_attributes

from tests.bgp.captured import MARKER, path

SIX, LOCAL = IPv6Address("2001:db8::1"), IPv6Address("fe80::1")
V4, V6 = IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:1::/48")
LONG = 4200000001
AGGREGATOR = IPv4Address("10.0.0.1")
SIX_BYTES, LOCAL_BYTES = "20010db8000000000000000000000001", "fe800000000000000000000000000001"
# Flags, type, length, value (RFC 4271 section 4.3), where both sides know long AS numbers.
ATTRIBUTES = {
    "ORIGIN IGP": (Type.ORIGIN, "40 01 01 00", {"origin": Origin.IGP}),
    "ORIGIN EGP": (Type.ORIGIN, "40 01 01 01", {"origin": Origin.EGP}),
    "ORIGIN INCOMPLETE": (Type.ORIGIN, "40 01 01 02", {"origin": Origin.INCOMPLETE}),
    "AS_PATH": (Type.AS_PATH, "40 02 0a 02 02 fa56ea01 0000fde8", {"as_path": path(LONG, 65000)}),
    "AS_PATH empty": (Type.AS_PATH, "40 02 00", {"as_path": ()}),
    "AS_PATH of a set": (
        Type.AS_PATH,
        "40 02 06 01 01 0000fde8",
        {"as_path": (AsSegment(SegmentKind.SET, (65000,)),)},
    ),
    "AS_PATH of a confederation": (
        Type.AS_PATH,
        "40 02 0c 03 01 0000fde8 04 01 0000fde9",
        {
            "as_path": (
                AsSegment(SegmentKind.CONFED_SEQUENCE, (65000,)),
                AsSegment(SegmentKind.CONFED_SET, (65001,)),
            )
        },
    ),
    "AS_PATH of 64 numbers": (
        Type.AS_PATH,
        "50 02 0102 02 40" + "0000fde8" * 64,
        {"as_path": path(*[65000] * 64)},
    ),
    "NEXT_HOP": (Type.NEXT_HOP, "40 03 04 0a000001", {"next_hop": IPv4Address("10.0.0.1")}),
    "MED": (Type.MED, "80 04 04 0000001e", {"med": 30}),
    "LOCAL_PREF": (Type.LOCAL_PREF, "40 05 04 000000fa", {"local_pref": 250}),
    "ATOMIC_AGGREGATE": (Type.ATOMIC_AGGREGATE, "40 06 00", {"atomic_aggregate": True}),
    "AGGREGATOR": (Type.AGGREGATOR, "c0 07 08 fa56ea01 0a000001", {"aggregator": (LONG, AGGREGATOR)}),
    "COMMUNITIES": (
        Type.COMMUNITIES,
        "c0 08 08 fde80007 ffffff01",
        {"communities": (65000 << 16 | 7, 0xFFFFFF01)},
    ),
    "MP_REACH": (
        Type.MP_REACH,
        f"80 0e 1c 0002 01 10 {SIX_BYTES} 00 30 20010db80001",
        {"reach": Reach(Afi.IPV6, (SIX,), (V6,))},
    ),
    "MP_REACH on the link (RFC 2545)": (
        Type.MP_REACH,
        f"80 0e 2c 0002 01 20 {SIX_BYTES} {LOCAL_BYTES} 00 30 20010db80001",
        {"reach": Reach(Afi.IPV6, (SIX, LOCAL), (V6,))},
    ),
    "MP_REACH of IPv4 by IPv6 (RFC 8950)": (
        Type.MP_REACH,
        f"80 0e 19 0001 01 10 {SIX_BYTES} 00 18 c00002",
        {"reach": Reach(Afi.IPV4, (SIX,), (V4,))},
    ),
    "MP_UNREACH": (Type.MP_UNREACH, "80 0f 0a 0002 01 30 20010db80001", {"unreach": Unreach(Afi.IPV6, (V6,))}),
    "LARGE_COMMUNITIES": (
        Type.LARGE_COMMUNITIES,
        "c0 20 0c 0000fde8 00000001 00000002",
        {"large_communities": ((65000, 1, 2),)},
    ),
    "an unknown one": (None, "e0 63 02 0102", {"unknown": (Unknown(0xE0, 0x63, b"\x01\x02"),)}),
}
# Where the other side knows short numbers only (RFC 6793): AS_TRANS, and the truth beside it.
SHORT = {
    "AS4_PATH": (
        Type.AS4_PATH,
        "40 02 06 02 02 5ba0 fde8" + "c0 11 0a 02 02 fa56ea01 0000fde8",
        {"as_path": path(LONG, 65000)},
    ),
    "AS4_AGGREGATOR": (
        Type.AS4_AGGREGATOR,
        "c0 07 06 5ba0 0a000001" + "c0 12 08 fa56ea01 0a000001",
        {"aggregator": (LONG, AGGREGATOR)},
    ),
}
CASES = [(text, facts, True) for _type, text, facts in ATTRIBUTES.values()]
CASES += [(text, facts, False) for _type, text, facts in SHORT.values()]
NAMES = [*ATTRIBUTES, *SHORT]
BOTH = frozenset(Afi)
# Code, length, value (RFC 5492).
CAPABILITIES = {
    "multiprotocol IPv4 (RFC 4760)": (1, "01 04 0001 00 01", {"families": frozenset({Afi.IPV4})}),
    "multiprotocol IPv6": (1, "01 04 0002 00 01", {"families": frozenset({Afi.IPV6})}),
    "route refresh (RFC 2918)": (2, "02 00", {"route_refresh": True}),
    "extended next hop (RFC 8950)": (5, "05 06 0001 0001 0002", {"extended_next_hop": True}),
    "extended message (RFC 8654)": (6, "06 00", {"extended_message": True}),
    "graceful restart (RFC 4724)": (
        64,
        "40 0a 8014 0001 01 80 0002 01 00",
        {"graceful_restart": GracefulRestart(20, restarted=True, forwarding=frozenset({Afi.IPV4}), families=BOTH)},
    ),
    "graceful restart after a NOTIFICATION (RFC 8538)": (
        64,
        "40 02 4014",
        {"graceful_restart": GracefulRestart(20, notification=True)},
    ),
    "long AS numbers (RFC 6793)": (65, "41 04 fa56ea01", {"four_octet_as": LONG}),
    "another one": (73, "49 02 0172", {"others": ((73, b"\x01r"),)}),
}
MESSAGES = {
    "OPEN": (
        "0025 01 04 fde8 001e 0a000001 08 02 06 41 04 0000fde8",
        Open(number=65000, identifier=AGGREGATOR, hold_time=30, capabilities=Capabilities(four_octet_as=65000)),
    ),
    "OPEN without capabilities": (
        "001d 01 04 fde8 0000 0a000001 00",
        Open(number=65000, identifier=AGGREGATOR, hold_time=0),
    ),
    "UPDATE that withdraws": ("001b 02 0004 18 c00002 0000", Update(withdrawn=(V4,))),
    "UPDATE that announces": (
        "002f 02 0000 0014 40010100 40020602010000fde8 4003040a000001 18 c00002",
        Update(attributes=PathAttributes(origin=Origin.IGP, as_path=path(65000), next_hop=AGGREGATOR), announced=(V4,)),
    ),
    "UPDATE that ends a table (RFC 4724)": ("0017 02 0000 0000", Update()),
    "NOTIFICATION": ("0017 03 02 02 fde9", Notification(2, 2, b"\xfd\xe9")),
    "NOTIFICATION with a text (RFC 9003)": (
        "001a 03 06 02 04 6e6f6f6e",
        Notification.shutdown("noon"),
    ),
    "KEEPALIVE": ("0013 04", Keepalive()),
    "ROUTE-REFRESH": ("0017 05 0002 00 01", RouteRefresh(Afi.IPV6)),
}


@pytest.mark.parametrize(("text", "facts", "four_octet"), CASES, ids=NAMES)
def test_attribute_is_written_and_read_byte_for_byte(text, facts, four_octet):
    data, attributes = bytes.fromhex(text), PathAttributes(**facts)
    assert encode_attributes(attributes, four_octet=four_octet).hex() == data.hex()
    read = read_attributes(data, four_octet=four_octet, internal=True)
    assert (read.attributes, read.findings) == (attributes, ())


def test_every_attribute_that_is_known_has_its_bytes_here():
    assert {kind for kind, _text, _facts in [*ATTRIBUTES.values(), *SHORT.values()] if kind} == set(Type)


@pytest.mark.parametrize(("_code", "text", "facts"), CAPABILITIES.values(), ids=CAPABILITIES)
def test_capability_is_written_and_read_byte_for_byte(_code, text, facts):
    data, told = bytes.fromhex(text), Capabilities(**facts)
    assert encode_capabilities(told).hex() == data.hex()
    assert decode_capabilities(data) == told


def test_every_capability_that_is_known_has_its_bytes_here():
    names = (
        "MULTIPROTOCOL",
        "ROUTE_REFRESH",
        "EXTENDED_NEXT_HOP",
        "EXTENDED_MESSAGE",
        "GRACEFUL_RESTART",
        "FOUR_OCTET_AS",
    )
    assert {getattr(capabilities, name) for name in names} <= {code for code, _text, _facts in CAPABILITIES.values()}


@pytest.mark.parametrize(("text", "message"), MESSAGES.values(), ids=MESSAGES)
def test_message_is_written_and_read_byte_for_byte(text, message):
    data = bytes.fromhex(MARKER + text)
    assert encode(message).hex() == data.hex()
    assert decode(data, Terms()) == message


@pytest.mark.parametrize(
    ("capability", "extra"), [("05 06 0001 0002 0002", "another family"), ("05 05 0001000100", "a wrong length")]
)
def test_next_hops_that_are_of_no_use_here_are_left_as_they_are(capability, extra):
    told = decode_capabilities(bytes.fromhex(capability))
    assert (told.extended_next_hop, told.others) == (False, ((5, bytes.fromhex(capability)[2:]),)), extra
