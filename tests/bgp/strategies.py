"""Every message that can be written, for Hypothesis."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st
from kubevip_bgp.attributes import AsSegment, Origin, PathAttributes, Reach, SegmentKind, Unknown, Unreach
from kubevip_bgp.capabilities import Capabilities, GracefulRestart
from kubevip_bgp.messages import Keepalive, Open, RouteRefresh, Update
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi

number32 = st.integers(0, 2**32 - 1)
as_number = st.integers(1, 2**32 - 1)
ipv4, ipv6 = st.builds(IPv4Address, number32), st.builds(IPv6Address, st.integers(0, 2**128 - 1))
families = st.frozensets(st.sampled_from(Afi))


def _networks(kind, addresses, bits):
    return st.builds(lambda address, length: kind((address, length), strict=False), addresses, st.integers(0, bits))


ipv4_networks, ipv6_networks = _networks(IPv4Network, ipv4, 32), _networks(IPv6Network, ipv6, 128)
prefixes = {Afi.IPV4: ipv4_networks, Afi.IPV6: ipv6_networks}


@st.composite
def restarts(draw):
    kept = draw(families)
    forwarding = draw(st.frozensets(st.sampled_from(sorted(kept)))) if kept else frozenset()
    return GracefulRestart(draw(st.integers(0, 4095)), draw(st.booleans()), forwarding, kept, draw(st.booleans()))


other_capabilities = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda code: code not in (1, 2, 5, 6, 64, 65)), st.binary(max_size=40)),
    max_size=12,
).map(tuple)
capabilities = st.builds(
    Capabilities,
    families=families,
    four_octet_as=as_number,
    route_refresh=st.booleans(),
    extended_message=st.booleans(),
    extended_next_hop=st.booleans(),
    graceful_restart=st.none() | restarts(),
    others=other_capabilities,
)


@st.composite
def opens(draw):
    told = draw(capabilities)
    hold_time = draw(st.integers(3, 65535) | st.just(0))
    return Open(number=told.four_octet_as, identifier=draw(ipv4.filter(int)), hold_time=hold_time, capabilities=told)


def paths(numbers):
    segment = st.builds(AsSegment, st.sampled_from(SegmentKind), st.lists(numbers, min_size=1, max_size=5).map(tuple))
    return st.lists(segment, max_size=3).map(tuple)


@st.composite
def reaches(draw):
    family = draw(st.sampled_from(Afi))
    hops = draw(st.tuples(ipv4) | st.tuples(ipv6) | st.tuples(ipv6, ipv6))
    return Reach(family, hops, tuple(draw(st.lists(prefixes[family], max_size=5))))


@st.composite
def unreaches(draw):
    family = draw(st.sampled_from(Afi))
    return Unreach(family, tuple(draw(st.lists(prefixes[family], max_size=5))))


unknown = st.lists(
    st.builds(Unknown, st.sampled_from((0x80, 0xC0, 0xE0)), st.integers(40, 255), st.binary(max_size=300)),
    max_size=3,
    unique_by=lambda each: each.type,
).map(lambda found: tuple(sorted(found, key=lambda each: each.type)))


def attributes(numbers=as_number):
    return st.builds(
        PathAttributes,
        origin=st.sampled_from(Origin),
        as_path=paths(numbers),
        next_hop=ipv4,
        med=st.none() | number32,
        local_pref=number32,
        atomic_aggregate=st.booleans(),
        aggregator=st.none() | st.tuples(numbers, ipv4),
        communities=st.lists(number32, max_size=4).map(tuple),
        large_communities=st.lists(st.tuples(number32, number32, number32), max_size=3).map(tuple),
        reach=st.none() | reaches(),
        unreach=st.none() | unreaches(),
        unknown=unknown,
    )


def updates(numbers=as_number):
    networks = st.lists(ipv4_networks, max_size=8).map(tuple)
    return st.builds(Update, withdrawn=networks, attributes=attributes(numbers), announced=networks)


notifications = st.builds(Notification, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
messages = (
    opens() | updates() | notifications | st.just(Keepalive()) | st.builds(RouteRefresh, st.sampled_from((*Afi, None)))
)
