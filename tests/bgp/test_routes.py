"""What a peer is told of our routes: differences only, in few messages."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.attributes import AsSegment, SegmentKind
from kubevip_bgp.messages import Stream, Terms
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.routes import Export, Route, Told

HOPS = {Afi.IPV4: (IPv4Address("10.0.0.1"),), Afi.IPV6: (IPv6Address("fd00::1"), IPv6Address("fe80::1"))}
ONE, TWO = IPv4Network("10.9.0.1/32"), IPv4Network("10.9.0.2/32")
SIX = IPv6Network("fd09::1/128")
COLOURED = Route(communities=(65000 << 16 | 1,), large_communities=((65000, 1, 2),), med=7, local_pref=200, prepend=2)


def told(*, internal=False, hops=HOPS, **terms):
    return Told(Export(number=65000, internal=internal, next_hops=hops), Terms(internal=internal, **terms))


def updates(peer):
    stream = Stream(peer.terms)
    stream.feed(b"".join(peer.updates()))
    return list(stream.messages())


def test_external_peer_gets_our_number_and_no_local_preference():
    peer = told()
    peer.announce(ONE, COLOURED)
    (update,) = updates(peer)
    assert update.announced == (ONE,)
    said = update.attributes
    assert said.as_path == (AsSegment(SegmentKind.SEQUENCE, (65000, 65000, 65000)),)
    assert (said.next_hop, said.med, said.local_pref) == (IPv4Address("10.0.0.1"), 7, None)
    assert (said.communities, said.large_communities) == (COLOURED.communities, COLOURED.large_communities)


def test_internal_peer_gets_a_local_preference_and_an_empty_path():
    peer = told(internal=True)
    peer.announce(ONE, Route(local_pref=200))
    (update,) = updates(peer)
    assert (update.attributes.as_path, update.attributes.local_pref) == ((), 200)


def test_ipv6_route_goes_with_both_next_hops():
    peer = told()
    peer.announce(SIX, Route())
    (update,) = updates(peer)
    assert update.attributes.reach.next_hops == HOPS[Afi.IPV6]
    assert update.reached == (SIX,)


def test_family_that_the_peer_does_not_take_is_not_told():
    peer = told(hops={Afi.IPV4: HOPS[Afi.IPV4]})
    peer.announce(SIX, Route())
    assert updates(peer) == []
    assert len(peer) == 0


def test_route_that_the_peer_knows_is_not_told_again():
    peer = told()
    peer.announce(ONE, Route())
    updates(peer)
    peer.announce(ONE, Route())
    assert updates(peer) == []


def test_changed_route_is_told_without_a_withdrawal():
    peer = told()
    peer.announce(ONE, Route())
    updates(peer)
    peer.announce(ONE, COLOURED)
    (update,) = updates(peer)
    assert (update.reached, update.unreached) == ((ONE,), ())


def test_route_that_was_never_told_is_not_withdrawn():
    peer = told()
    peer.announce(ONE, Route())
    peer.withdraw(ONE)
    peer.withdraw(TWO)
    assert updates(peer) == []


def test_withdrawal_and_return_before_it_was_told_are_nothing():
    peer = told()
    peer.announce(ONE, Route())
    updates(peer)
    peer.withdraw(ONE)
    peer.announce(ONE, Route())
    assert updates(peer) == []


def test_withdrawn_prefixes_of_both_families_are_told():
    peer = told()
    for prefix in (ONE, SIX):
        peer.announce(prefix, Route())
    updates(peer)
    for prefix in (ONE, SIX):
        peer.withdraw(prefix)
    assert [update.unreached for update in updates(peer)] == [(ONE,), (SIX,)]


@pytest.mark.parametrize(("extended", "most"), [(False, 13), (True, 1)])
@pytest.mark.parametrize("family", Afi)
def test_ten_thousand_prefixes_need_few_messages(extended, most, family):
    peer = told(extended=extended)
    if family is Afi.IPV4:
        prefixes = [IPv4Network((0x0A000000 + n, 32)) for n in range(10_000)]
    else:
        prefixes, most = [IPv6Network((0xFD << 120 | n, 128)) for n in range(10_000)], {13: 44, 1: 3}[most]
    for prefix in prefixes:
        peer.announce(prefix, Route())
    found = updates(peer)
    assert [prefix for update in found for prefix in update.reached] == prefixes
    assert len(found) <= most
    for prefix in prefixes:
        peer.withdraw(prefix)
    assert [prefix for update in updates(peer) for prefix in update.unreached] == prefixes


STEPS = st.lists(
    st.tuples(st.sampled_from("awur"), st.sampled_from([ONE, TWO, SIX]), st.sampled_from([Route(), COLOURED]))
)


@given(STEPS)
def test_peer_knows_what_was_announced_last_whatever_came_before(steps):
    peer, wanted, known = told(), {}, {}
    for what, prefix, route in [*steps, ("u", ONE, Route())]:
        if what == "a":
            peer.announce(prefix, route)
            wanted[prefix] = route
        elif what == "w":
            peer.withdraw(prefix)
            wanted.pop(prefix, None)
        elif what == "r":
            peer.repeat(Afi.of(prefix))
        else:
            for update in updates(peer):
                for gone in update.unreached:
                    del known[gone]
                known |= dict.fromkeys(update.reached, update.attributes.med)
    assert known == {prefix: route.med for prefix, route in wanted.items()}
