"""The state machine: every state with every event, against a table of its own and on a real session."""

from ipaddress import IPv4Address
from itertools import product

import pytest
from kubevip_bgp.agreement import Ended, Local
from kubevip_bgp.capabilities import Capabilities
from kubevip_bgp.fsm import TABLE, Action, Event, State
from kubevip_bgp.messages import KEEPALIVE, Open, Stream, Update, encode
from kubevip_bgp.messages import RouteRefresh as Refresh
from kubevip_bgp.notification import Notification
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.session import Session

# RFC 4271 section 8.2.2: the next state, and after a slash the NOTIFICATION that is sent. A dot: nothing happens.
EXPECTED = """
                Idle    Connect   Active    OpenSent      OpenConfirm   Established
START           Connect .         .         .             .             .
START_PASSIVE   Active  .         .         .             .             .
STOP            .       Idle      Idle      Idle/6.2      Idle/6.2      Idle/6.2
RETRY_EXPIRED   .       Idle      Idle      .             .             .
HOLD_EXPIRED    .       Idle      Idle      Idle/4.0      Idle/4.0      Idle/4.0
KEEPALIVE_DUE   .       Idle      Idle      Idle/5.1      OpenConfirm   Established
CONNECTED       .       OpenSent  OpenSent  .             .             .
DISCONNECTED    .       Idle      Idle      Idle          Idle          Idle
OPEN            .       Idle      Idle      OpenConfirm   Idle/5.2      Idle/5.3
MALFORMED       .       Idle      Idle      Idle/1.1      Idle/1.1      Idle/1.1
COLLIDED        .       Idle      Idle      Idle/6.7      Idle/6.7      Idle/6.7
NOTIFICATION    .       Idle      Idle      Idle          Idle          Idle
KEEPALIVE       .       Idle      Idle      Idle/5.1      Established   Established
UPDATE          .       Idle      Idle      Idle/5.1      Idle/5.2      Established
REFRESH         .       Idle      Idle      Idle/5.1      Idle/5.2      Established
PEER_DEAD       .       Idle      Idle      Idle/6.10     Idle/6.10     Idle/6.10
"""
HEAD, *ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
STATES = [State(name) for name in HEAD]
CELLS = {(state, Event[row[0]]): cell for row in ROWS for state, cell in zip(STATES, row[1:], strict=True)}

LOCAL = Local(number=65000, identifier=IPv4Address("10.0.0.1"), peer_number=65001, hold_time=30, keepalive=10)
PEER = Open(
    number=65001,
    identifier=IPv4Address("10.0.0.2"),
    hold_time=9,
    capabilities=Capabilities(families=frozenset(Afi), four_octet_as=65001),
)
HURT = b"\0" * 19


def session_in(state):
    session = Session(LOCAL)
    if state is State.ACTIVE:
        session.start(0, passive=True)
    elif state is not State.IDLE:
        session.start(0)
    if state in (State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED):
        session.connected(0)
    if state in (State.OPEN_CONFIRM, State.ESTABLISHED):
        session.receive(encode(PEER), 0)
    if state is State.ESTABLISHED:
        session.receive(KEEPALIVE, 0)
    session.data_to_send()
    assert session.state is state
    return session


INPUTS = {
    Event.START: lambda session: session.start(1),
    Event.START_PASSIVE: lambda session: session.start(1, passive=True),
    Event.STOP: lambda session: session.stop(1),
    Event.CONNECTED: lambda session: session.connected(1),
    Event.DISCONNECTED: lambda session: session.disconnected(1, "reset"),
    Event.OPEN: lambda session: session.receive(encode(PEER), 1),
    Event.MALFORMED: lambda session: session.receive(HURT, 1),
    Event.COLLIDED: lambda session: session.collide(1),
    Event.NOTIFICATION: lambda session: session.receive(encode(Notification(6, 2)), 1),
    Event.KEEPALIVE: lambda session: session.receive(KEEPALIVE, 1),
    Event.UPDATE: lambda session: session.receive(encode(Update()), 1),
    Event.REFRESH: lambda session: session.receive(encode(Refresh(Afi.IPV4)), 1),
    Event.PEER_DEAD: lambda session: session.lose_peer(1),
    Event.HOLD_EXPIRED: lambda session: session.advance(300),
    Event.KEEPALIVE_DUE: lambda session: session.advance(3),
}
# A timer runs in some states only: in the others nothing can be due.
TIMED = {
    Event.HOLD_EXPIRED: (State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED),
    Event.KEEPALIVE_DUE: (State.OPEN_CONFIRM, State.ESTABLISHED),
}


def test_table_has_a_step_for_every_state_and_event():
    assert set(TABLE) == set(product(State, Event)) == set(CELLS)


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda each: each.name)
def test_step_leads_where_the_rfc_says(state, event):
    step, cell = TABLE[state, event], CELLS[state, event]
    name, _, _code = cell.partition("/")
    assert step.next is (state if name == "." else State(name))
    assert (Action.NOTIFY in step.actions) == ("/" in cell)
    assert (Action.DROP in step.actions) == (step.next is State.IDLE and state is not State.IDLE)


def happen(session, event):
    """Let *event* happen as it does; what can't happen in a state is put into the machine."""
    if event in INPUTS and session.state in TIMED.get(event, State):
        return INPUTS[event](session)
    return session._step(event, 1)


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda each: each.name)
def test_session_does_what_the_table_says(state, event):
    session, cell = session_in(state), CELLS[state, event]
    happened = happen(session, event)
    name, _, code = cell.partition("/")
    assert session.state is (state if name == "." else State(name))
    stream = Stream()
    stream.feed(session.data_to_send())
    notifications = [f"{each.code}.{each.subcode}" for each in stream.messages() if isinstance(each, Notification)]
    assert notifications == ([code] if code else [])
    ended = [each for each in happened if isinstance(each, Ended)]
    assert len(ended) == (session.state is State.IDLE and state is not State.IDLE)


@pytest.mark.parametrize("state", [State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED])
def test_ended_session_waits_for_nothing(state):
    session = session_in(state)
    assert session.deadline() is not None
    session.stop(1)
    assert session.deadline() is None
