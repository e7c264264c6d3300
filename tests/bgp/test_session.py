"""What two sessions say to each other, and when."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import attrs
import pytest
from kubevip_bgp.agreement import Ended, Established, Heard, Local, Opened, keeps_own
from kubevip_bgp.capabilities import Capabilities, GracefulRestart
from kubevip_bgp.fsm import State
from kubevip_bgp.messages import KEEPALIVE, Keepalive, Open, RouteRefresh, Stream, Update, encode
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.routes import Export, Route, Told
from kubevip_bgp.session import LARGE_HOLD, Session

US = Local(number=65000, identifier=IPv4Address("10.0.0.1"), peer_number=4200000001, hold_time=30, keepalive=10)
THEM = Local(number=4200000001, identifier=IPv4Address("10.0.0.2"), peer_number=65000, hold_time=9, keepalive=0)
HOPS = {Afi.IPV4: (IPv4Address("10.0.0.1"),), Afi.IPV6: (IPv6Address("fd00::1"),)}


def exchange(one, other, now=0.0):
    """Carry what both have to say until neither has anything more; return what happened on each side."""
    happened = ([], [])
    while True:
        there, back = one.data_to_send(), other.data_to_send()
        if not there and not back:
            return happened
        if there:
            happened[1].extend(other.receive(there, now))
        if back:
            happened[0].extend(one.receive(back, now))


def pair(us=US, them=THEM):
    one, other = Session(us), Session(them)
    one.start(0)
    other.start(0, passive=True)
    one.connected(0)
    other.connected(0)
    return one, other, exchange(one, other)


def sent(session):
    stream = Stream(session.agreed.terms) if session.agreed else Stream()
    stream.feed(session.data_to_send())
    return list(stream.messages())


def tell(session):
    session.told = Told(Export(number=65000, internal=False, next_hops=HOPS), session.agreed.terms)
    return session.told


def test_two_sessions_establish_themselves():
    one, other, happened = pair()
    assert (one.state, other.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert [type(each) for each in happened[0]] == [Opened, Established]


def test_lesser_hold_time_counts_and_keepalives_fit_into_it():
    one, other, _ = pair()
    assert (one.agreed.hold_time, one.agreed.keepalive) == (9, 3)
    assert (other.agreed.hold_time, other.agreed.keepalive) == (9, 3)
    assert one.deadline() == 3


def test_keepalives_keep_both_alive_for_as_long_as_they_come():
    one, other, _ = pair()
    now = 0.0
    while now < 60:
        now = min(one.deadline(), other.deadline())
        assert not one.advance(now)
        assert not other.advance(now)
        exchange(one, other, now)
    assert (one.state, other.state) == (State.ESTABLISHED, State.ESTABLISHED)


def test_silent_peer_is_given_up_after_the_hold_time_and_told_so():
    one, _other, _ = pair()
    for now in (3, 6):
        assert one.advance(now) == []
    one.data_to_send()
    (ended,) = one.advance(9)
    assert ended == Ended(
        "nothing was heard for the hold time (10); the peer was told: Hold Timer Expired (4/0)", Notification(4)
    )
    assert sent(one) == [Notification(4)]


def test_hold_time_of_zero_means_no_keepalives_and_no_end():
    one, _other, _ = pair(them=attrs.evolve(THEM, hold_time=0))
    assert one.deadline() is None


def test_peer_that_accepts_and_never_speaks_is_given_up_after_our_hold_time():
    session = Session(US)
    session.start(0)
    session.connected(0)
    assert session.advance(29.9) == []
    assert "nothing was heard" in session.advance(30)[0].reason


def test_peer_that_never_speaks_is_given_up_though_no_hold_time_is_asked_for():
    one = Session(attrs.evolve(US, hold_time=0))
    one.start(0)
    one.connected(0)
    assert one.deadline() == LARGE_HOLD
    (ended,) = one.advance(LARGE_HOLD)
    assert ended.reason.startswith("nothing was heard for the hold time")


@pytest.mark.parametrize(
    ("them", "told", "reason"),
    [
        (attrs.evolve(THEM, number=65009), Notification(2, 2), "the peer is of AS 65009, not 4200000001"),
        (attrs.evolve(THEM, hold_time=2), Notification(2, 6), "a hold time of 2 s"),
        (attrs.evolve(THEM, identifier=IPv4Address(0)), Notification(2, 3), "the BGP identifier 0.0.0.0"),
    ],
)
def test_peer_that_is_not_the_right_one_is_refused_and_named(them, told, reason):
    session = Session(US)
    session.start(0)
    session.connected(0)
    session.data_to_send()
    said = Open(
        number=them.number,
        identifier=them.identifier,
        hold_time=them.hold_time,
        capabilities=them.capabilities(),
    )
    (ended,) = session.receive(encode(said), 1)
    assert reason in ended.reason
    assert sent(session) == [told]


def test_peer_with_no_family_in_common_is_refused():
    one, _other, happened = pair(
        us=attrs.evolve(US, families=frozenset({Afi.IPV6})), them=attrs.evolve(THEM, families=frozenset({Afi.IPV4}))
    )
    assert one.state is State.IDLE
    assert "(2/7)" in happened[0][-1].reason


def test_own_identifier_of_a_peer_of_the_own_as_is_refused():
    us = attrs.evolve(US, peer_number=65000)
    them = attrs.evolve(THEM, number=65000, identifier=us.identifier)
    _one, _other, happened = pair(us, them)
    assert "our own identifier" in happened[0][-1].reason


def test_peer_without_capabilities_speaks_of_ipv4_by_short_numbers():
    session = Session(attrs.evolve(US, peer_number=65001))
    session.start(0)
    session.connected(0)
    session.receive(encode(Open(number=65001, identifier=IPv4Address("10.0.0.2"), hold_time=90)), 0)
    session.receive(KEEPALIVE, 0)
    assert session.agreed.families == {Afi.IPV4}
    assert not session.agreed.terms.four_octet
    assert not session.agreed.terms.extended


def test_notification_of_the_peer_is_the_reason_with_its_text():
    one, other, _ = pair()
    other.stop(1, Notification.shutdown("we are moving"))
    happened, _ = exchange(one, other, 1)
    (ended,) = happened
    assert ended.by_peer
    assert ended.reason == "the peer says: Cease: Administrative Shutdown (6/2), it says 'we are moving'"


def test_nothing_behind_a_notification_is_read():
    one, _other, _ = pair()
    happened = one.receive(encode(Notification(6, 2)) + encode(Update()) + b"junk", 1)
    assert [type(each) for each in happened] == [Ended]


def test_route_of_the_peer_is_heard():
    one, _other, _ = pair()
    (heard,) = one.receive(encode(Update()), 1)
    assert isinstance(heard, Heard)


def test_route_is_told_with_the_next_data_and_only_once():
    one, other, _ = pair()
    told = tell(one)
    told.announce(IPv4Network("10.9.0.1/32"), Route())
    _, happened = exchange(one, other)
    assert [each.update.reached for each in happened] == [(IPv4Network("10.9.0.1/32"),)]
    assert one.data_to_send() == b""


def test_refresh_repeats_routes_of_its_family_alone():
    one, other, _ = pair()
    told = tell(one)
    told.announce(IPv4Network("10.9.0.1/32"), Route())
    told.announce(IPv6Network("fd09::1/128"), Route())
    exchange(one, other)
    one.receive(encode(RouteRefresh(Afi.IPV6)), 1)
    (update,) = sent(one)
    assert update.reached == (IPv6Network("fd09::1/128"),)


def test_end_of_rib_comes_behind_all_routes():
    one, _other, _ = pair()
    tell(one).announce(IPv4Network("10.9.0.1/32"), Route())
    one.end_of_rib()
    updates = sent(one)
    assert updates[0].reached == (IPv4Network("10.9.0.1/32"),)
    assert [each.end_of_rib for each in updates[1:]] == [Afi.IPV4, Afi.IPV6]


def test_graceful_restart_is_told_in_the_open():
    restart = GracefulRestart(15, restarted=True, forwarding=frozenset(Afi), families=frozenset(Afi))
    session = Session(attrs.evolve(US, graceful_restart=restart))
    session.start(0)
    session.connected(0)
    (said,) = sent(session)
    assert said.capabilities == Capabilities(
        families=frozenset(Afi),
        four_octet_as=65000,
        route_refresh=True,
        extended_message=True,
        graceful_restart=restart,
    )


def test_one_of_two_connections_stays_on_both_sides():
    one, other, _ = pair()
    assert keeps_own(US, one.agreed.peer) is False
    assert keeps_own(THEM, other.agreed.peer) is True


def test_equal_identifiers_are_told_apart_by_as_number():
    peer = Open(number=4200000001, identifier=US.identifier, hold_time=9)
    assert keeps_own(US, peer) is False
    assert keeps_own(attrs.evolve(US, number=4200000002), peer) is True


def test_keepalive_is_all_that_an_idle_session_says():
    one, _other, _ = pair()
    one.advance(3)
    assert sent(one) == [Keepalive()]
