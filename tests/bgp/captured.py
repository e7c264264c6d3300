"""Messages as other speakers sent them to us, byte for byte: Debian 12's BIRD 2.0.12, FRR 8.4.4 and GoBGP 3.10."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kubevip_bgp.attributes import AsSegment, Origin, PathAttributes, Reach, SegmentKind, Unreach
from kubevip_bgp.capabilities import Capabilities, GracefulRestart
from kubevip_bgp.messages import Keepalive, Open, Update
from kubevip_bgp.prefixes import Afi

MARKER = "ff" * 16
BOTH = frozenset(Afi)


def path(*numbers):
    return (AsSegment(SegmentKind.SEQUENCE, numbers),)


BIRD = {
    "004501045ba000f00a09090928022601040001000101040002000102000600400a007800010100000201004104fa56ea0146004700": Open(
        number=4200000001,
        identifier=IPv4Address("10.9.9.9"),
        hold_time=240,
        capabilities=Capabilities(
            families=BOTH,
            four_octet_as=4200000001,
            route_refresh=True,
            extended_message=True,
            graceful_restart=GracefulRestart(120, families=BOTH),
            others=((70, b""), (71, b"")),
        ),
    ),
    "001304": Keepalive(),
    "0045020000002a400101004002060201fa56ea014003040a090909c00804fde90007c0200c0000fde900000001000000021"
    "8c00002": Update(
        attributes=PathAttributes(
            origin=Origin.IGP,
            as_path=path(4200000001),
            next_hop=IPv4Address("10.9.9.9"),
            communities=(65001 << 16 | 7,),
            large_communities=((65001, 1, 2),),
        ),
        announced=(IPv4Network("192.0.2.0/24"),),
    ),
    "00170200000000": Update(),
    "0042020000002b900e001a0002011020010db8000000000000000000000009002020010db8400101004002060201fa56ea01": Update(
        attributes=PathAttributes(
            origin=Origin.IGP,
            as_path=path(4200000001),
            reach=Reach(Afi.IPV6, (IPv6Address("2001:db8::9"),), (IPv6Network("2001:db8::/32"),)),
        )
    ),
    "001d0200000006800f03000201": Update(attributes=PathAttributes(unreach=Unreach(Afi.IPV6))),
}
GOBGP = {
    "00410104fdea005a0a0909082402220200490402766d0001040001000101040002000141040000fdea0506000100010002": Open(
        number=65002,
        identifier=IPv4Address("10.9.9.8"),
        hold_time=90,
        capabilities=Capabilities(
            families=BOTH,
            four_octet_as=65002,
            route_refresh=True,
            extended_next_hop=True,
            others=((73, b"\x02vm\x00"),),
        ),
    ),
}
FRR = {
    "00700104fdeb00b40a0909075302060104000100010206010400020001020280000202020002024600020641040000fdeb02020600020a"
    "450800010101000201010205490301720002044002c0780210470e0001018000000000020180000000": Open(
        number=65003,
        identifier=IPv4Address("10.9.9.7"),
        hold_time=180,
        capabilities=Capabilities(
            families=BOTH,
            four_octet_as=65003,
            route_refresh=True,
            extended_message=True,
            graceful_restart=GracefulRestart(120, restarted=True, notification=True),
            others=(
                (128, b""),
                (70, b""),
                (69, bytes.fromhex("0001010100020101")),
                (73, b"\x01r\x00"),
                (71, bytes.fromhex("0001018000000000020180000000")),
            ),
        ),
    ),
    "0037020000001c400101005002000602010000fdeb4003047f0000018004040000000018c00002": Update(
        attributes=PathAttributes(origin=Origin.IGP, as_path=path(65003), next_hop=IPv4Address("127.0.0.1"), med=0),
        announced=(IPv4Network("192.0.2.0/24"),),
    ),
    "004a0200000033900e001a0002011000000000000000000000ffff7f000001002020010db8400101005002000602010000fdeb"
    "80040400000000": Update(
        attributes=PathAttributes(
            origin=Origin.IGP,
            as_path=path(65003),
            med=0,
            reach=Reach(Afi.IPV6, (IPv6Address("::ffff:127.0.0.1"),), (IPv6Network("2001:db8::/32"),)),
        )
    ),
}
CAPTURED = {
    f"{name}-{number}": each
    for name, found in (("bird", BIRD), ("gobgp", GOBGP), ("frr", FRR))
    for number, each in enumerate(found.items())
}
