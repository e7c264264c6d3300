"""The state machine of RFC 4271 section 8, as a table: state and event to what is done and the next state.

One machine stands for one connection, from the attempt to its end; it ends in ``IDLE``. To try again, after a
pause, is up to the speaker, so the ConnectRetry timer is not restarted here, and a connection that fails in
OpenSent doesn't go back to Active.
"""

import enum
from collections.abc import Mapping
from itertools import product

import attrs

from kubevip_bgp.notification import Code, Notification


class State(enum.Enum):
    """How far a connection has come."""

    IDLE = "Idle"
    CONNECT = "Connect"
    ACTIVE = "Active"
    OPEN_SENT = "OpenSent"
    OPEN_CONFIRM = "OpenConfirm"
    ESTABLISHED = "Established"


class Event(enum.Enum):
    """What happens to a connection; the numbers are those of RFC 4271 section 8.1."""

    START = "start (1, 3)"
    START_PASSIVE = "start, and wait for the peer (4, 5)"
    STOP = "stop (2, 8)"
    RETRY_EXPIRED = "the connection took too long (9)"
    HOLD_EXPIRED = "nothing was heard for the hold time (10)"
    KEEPALIVE_DUE = "it is time for a KEEPALIVE (11)"
    CONNECTED = "TCP is connected (16, 17)"
    DISCONNECTED = "TCP has failed (18)"
    OPEN = "an OPEN (19)"
    MALFORMED = "a message that is wrong (21, 22, 28)"
    COLLIDED = "another connection to the peer is kept (23)"
    NOTIFICATION = "a NOTIFICATION (24, 25)"
    KEEPALIVE = "a KEEPALIVE (26)"
    UPDATE = "an UPDATE (27)"
    REFRESH = "a ROUTE-REFRESH (RFC 2918)"
    PEER_DEAD = "BFD says that the peer is gone (RFC 5882)"


class Action(enum.Enum):
    """What is done on the way to the next state, in the order of the table."""

    SEND_OPEN = enum.auto()
    SEND_KEEPALIVE = enum.auto()
    AGREE = enum.auto()
    AWAIT_OPEN = enum.auto()
    RESTART_HOLD = enum.auto()
    ESTABLISH = enum.auto()
    TAKE_UPDATE = enum.auto()
    TAKE_REFRESH = enum.auto()
    NOTIFY = enum.auto()
    DROP = enum.auto()


@attrs.frozen
class Step:
    """What one event does in one state. *notification* is what is told, unless the event brings its own."""

    next: State
    actions: tuple[Action, ...] = ()
    notification: Notification | None = None


_TALKING = (State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED)
_CEASE = Notification(Code.CEASE, 2)
# What ends a conversation, and what the peer is told then; what is malformed brings its own.
_ENDS: Mapping[Event, Notification] = {
    Event.STOP: _CEASE,
    Event.HOLD_EXPIRED: Notification(Code.HOLD_TIMER),
    Event.MALFORMED: _CEASE,
    Event.COLLIDED: Notification(Code.CEASE, 7),
    Event.PEER_DEAD: Notification(Code.CEASE, 10),
}
_STARTS = (Event.START, Event.START_PASSIVE)


def _table() -> dict[tuple[State, Event], Step]:
    """Fill the table by the rules of many states first, then by what is particular to one."""
    table = {(State.IDLE, event): Step(State.IDLE) for event in Event}
    for state, event in product((State.CONNECT, State.ACTIVE), Event):
        table[state, event] = Step(State.IDLE, (Action.DROP,))
    for number, state in enumerate(_TALKING, start=1):
        for event in Event:
            told = _ENDS.get(event, Notification(Code.STATE, number))
            table[state, event] = Step(State.IDLE, (Action.NOTIFY, Action.DROP), told)
        for event in (Event.DISCONNECTED, Event.NOTIFICATION):
            table[state, event] = Step(State.IDLE, (Action.DROP,))
        table[state, Event.CONNECTED] = Step(state)
        table[state, Event.RETRY_EXPIRED] = Step(state)
    for state, event in product((State.CONNECT, State.ACTIVE, *_TALKING), _STARTS):
        table[state, event] = Step(state)
    return table | _PARTICULAR


_PARTICULAR = {
    (State.IDLE, Event.START): Step(State.CONNECT),
    (State.IDLE, Event.START_PASSIVE): Step(State.ACTIVE),
    (State.CONNECT, Event.CONNECTED): Step(State.OPEN_SENT, (Action.SEND_OPEN, Action.AWAIT_OPEN)),
    (State.ACTIVE, Event.CONNECTED): Step(State.OPEN_SENT, (Action.SEND_OPEN, Action.AWAIT_OPEN)),
    (State.OPEN_SENT, Event.OPEN): Step(State.OPEN_CONFIRM, (Action.AGREE, Action.SEND_KEEPALIVE, Action.RESTART_HOLD)),
    (State.OPEN_CONFIRM, Event.KEEPALIVE_DUE): Step(State.OPEN_CONFIRM, (Action.SEND_KEEPALIVE,)),
    (State.OPEN_CONFIRM, Event.KEEPALIVE): Step(State.ESTABLISHED, (Action.RESTART_HOLD, Action.ESTABLISH)),
    (State.ESTABLISHED, Event.KEEPALIVE_DUE): Step(State.ESTABLISHED, (Action.SEND_KEEPALIVE,)),
    (State.ESTABLISHED, Event.KEEPALIVE): Step(State.ESTABLISHED, (Action.RESTART_HOLD,)),
    (State.ESTABLISHED, Event.UPDATE): Step(State.ESTABLISHED, (Action.RESTART_HOLD, Action.TAKE_UPDATE)),
    (State.ESTABLISHED, Event.REFRESH): Step(State.ESTABLISHED, (Action.RESTART_HOLD, Action.TAKE_REFRESH)),
}
TABLE: Mapping[tuple[State, Event], Step] = _table()
