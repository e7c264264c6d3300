"""The fuzz target for a moment, and sessions that are told anything."""

import random
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.agreement import Ended, Local
from kubevip_bgp.capabilities import Capabilities
from kubevip_bgp.fsm import State
from kubevip_bgp.messages import KEEPALIVE, Open, encode
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.session import Session

from tests.bgp.fuzz import damaged, parse_one
from tests.bgp.strategies import messages

LOCAL = Local(number=65000, identifier=IPv4Address("10.0.0.1"), peer_number=65001, hold_time=30, keepalive=10)
PEER = Open(
    number=65001,
    identifier=IPv4Address("10.0.0.2"),
    hold_time=9,
    capabilities=Capabilities(families=frozenset(Afi), four_octet_as=65001, extended_message=True),
)
anything = messages.map(encode) | st.binary(max_size=80) | st.just(KEEPALIVE) | st.just(encode(PEER))


def test_damaged_messages_of_other_speakers_are_read_or_refused():
    rng = random.Random(1)
    for _ in range(2000):
        parse_one(damaged(rng))


@given(st.booleans(), st.lists(st.tuples(anything, st.floats(0, 12)), max_size=6))
def test_session_that_is_told_anything_goes_on_or_ends_once(established, told):
    session, now, ends = Session(LOCAL), 0.0, 0
    session.start(now)
    session.connected(now)
    if established:
        session.receive(encode(PEER) + KEEPALIVE, now)
        assert session.state is State.ESTABLISHED
    for data, pause in told:
        now += pause
        happened = [*session.advance(now), *session.receive(data, now)]
        ends += sum(isinstance(each, Ended) for each in happened)
        session.data_to_send()
    assert ends == (session.state is State.IDLE)
    assert (session.deadline() is None) == (session.state is State.IDLE)
