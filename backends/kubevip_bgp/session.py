"""One connection to a peer, sans I/O: bytes and times in, bytes and happenings out."""

from collections.abc import Callable

import attrs

from kubevip_bgp.agreement import Agreed, Ended, Established, Happening, Heard, Local, Opened
from kubevip_bgp.fsm import TABLE, Action, Event, State
from kubevip_bgp.messages import KEEPALIVE, Message, Open, RouteRefresh, Stream, Terms, Update, encode
from kubevip_bgp.messages import Keepalive as KeepaliveMessage
from kubevip_bgp.notification import Code, Notification, ProtocolError
from kubevip_bgp.prefixes import Afi
from kubevip_bgp.routes import Told

# How long a peer that connects may take for its OPEN, in seconds, where the hold time doesn't say (RFC 4271 8.2.2).
LARGE_HOLD = 240.0
# RFC 4271 section 4.4: as many KEEPALIVEs fit into the hold time.
KEEPALIVES = 3


_EVENTS: dict[type[object], Event] = {
    Open: Event.OPEN,
    KeepaliveMessage: Event.KEEPALIVE,
    Update: Event.UPDATE,
    Notification: Event.NOTIFICATION,
    RouteRefresh: Event.REFRESH,
}


@attrs.define(eq=False)
class Session:
    """The conversation with one peer over one connection.

    Every method that makes something happen returns it; afterwards ``data_to_send()`` is to be sent, and
    ``deadline()`` says when ``advance()`` is due. *now* is in seconds on a monotonic clock. *told* is set by
    whoever learns that the session is established.
    """

    local: Local
    state: State = attrs.field(default=State.IDLE, init=False)
    agreed: Agreed | None = attrs.field(default=None, init=False)
    told: Told | None = attrs.field(default=None, init=False)
    _stream: Stream = attrs.field(factory=Stream, init=False)
    _outbox: list[bytes] = attrs.field(factory=list, init=False)
    _happened: list[Happening] = attrs.field(factory=list, init=False)
    _hold_at: float | None = attrs.field(default=None, init=False)
    _keepalive_at: float | None = attrs.field(default=None, init=False)

    # What the outside does

    def start(self, now: float, *, passive: bool = False) -> list[Happening]:
        """Begin: to connect, or where *passive* to wait for the peer."""
        return self._step(Event.START_PASSIVE if passive else Event.START, now)

    def connected(self, now: float) -> list[Happening]:
        """TCP is connected."""
        return self._step(Event.CONNECTED, now)

    def disconnected(self, now: float, reason: str) -> list[Happening]:
        """TCP has failed, or was closed by the peer."""
        return self._step(Event.DISCONNECTED, now, reason=reason)

    def stop(self, now: float, notification: Notification | None = None) -> list[Happening]:
        """End it, telling the peer why."""
        return self._step(Event.STOP, now, notification=notification)

    def collide(self, now: float) -> list[Happening]:
        """End it, because another connection to the peer is kept (RFC 4271 section 6.8)."""
        return self._step(Event.COLLIDED, now)

    def lose_peer(self, now: float) -> list[Happening]:
        """End it, because BFD says that the peer is gone."""
        return self._step(Event.PEER_DEAD, now)

    def receive(self, data: bytes, now: float) -> list[Happening]:
        """Take what has arrived."""
        self._stream.feed(data)
        found: list[Happening] = []
        try:
            for message in self._stream.messages():
                found += self._take(message, now)
                if self.state is State.IDLE:
                    break
        except ProtocolError as error:
            found += self._step(Event.MALFORMED, now, notification=error.notification, reason=str(error))
        return found

    def advance(self, now: float) -> list[Happening]:
        """Do what is due at *now*."""
        found: list[Happening] = []
        if self._hold_at is not None and now >= self._hold_at:
            found += self._step(Event.HOLD_EXPIRED, now)
        if self._keepalive_at is not None and now >= self._keepalive_at:
            found += self._step(Event.KEEPALIVE_DUE, now)
        return found

    def deadline(self) -> float | None:
        """Return when ``advance()`` has to be called, or ``None`` for never."""
        return min((at for at in (self._hold_at, self._keepalive_at) if at is not None), default=None)

    def data_to_send(self) -> bytes:
        """Return what is to be sent, once."""
        if self.told is not None and self.state is State.ESTABLISHED:
            self._outbox += self.told.updates()
        data = b"".join(self._outbox)
        self._outbox.clear()
        return data

    def end_of_rib(self) -> None:
        """Say, behind all that is due, that this was all."""
        if self.told is not None and self.state is State.ESTABLISHED:
            self._outbox += self.told.updates()
            self._outbox += self.told.end_of_rib()

    # What follows

    def _take(self, message: Message, now: float) -> list[Happening]:
        if isinstance(message, Open) and self.state is State.OPEN_SENT:
            self._check(message)
        notification = message if isinstance(message, Notification) else None
        return self._step(_EVENTS[type(message)], now, message=message, notification=notification)

    def _step(
        self,
        event: Event,
        now: float,
        *,
        message: Message | None = None,
        notification: Notification | None = None,
        reason: str = "",
    ) -> list[Happening]:
        step = TABLE[self.state, event]
        told = notification or step.notification
        before, self.state = self.state, step.next
        for action in step.actions:
            _ACTIONS[action](self, message, told, now)
        if step.next is State.IDLE and before is not State.IDLE:
            self._happened.append(_ended(event, told, reason))
        found, self._happened = self._happened, []
        return found

    def _check(self, peer: Open) -> None:
        """Refuse a peer that isn't the one that was configured, or with which no family is in common."""
        local = self.local
        if peer.number != local.peer_number:
            raise ProtocolError(f"the peer is of AS {peer.number}, not {local.peer_number}", Code.OPEN, 2)
        if local.internal and peer.identifier == local.identifier:
            raise ProtocolError(f"the peer has our own identifier {peer.identifier}", Code.OPEN, 3)
        if not self._common_families(peer):
            raise ProtocolError("the peer speaks of no address family that we do", Code.OPEN, 7)

    def _common_families(self, peer: Open) -> frozenset[Afi]:
        return self.local.families & peer.capabilities.spoken

    def agree(self, message: Message | None, _told: Notification | None, _now: float) -> None:
        """Take the lesser of what both sides can and want."""
        assert isinstance(message, Open)
        told, local = message.capabilities, self.local
        hold_time = min(local.hold_time, message.hold_time)
        terms = Terms(
            four_octet=told.four_octet_as is not None,
            extended=told.extended_message and local.extended_message,
            internal=local.internal,
        )
        self._stream.terms = terms
        self.agreed = Agreed(
            terms=terms,
            families=self._common_families(message),
            hold_time=hold_time,
            keepalive=min(local.keepalive or hold_time, hold_time / KEEPALIVES),
            peer=message,
            extended_next_hop=told.extended_next_hop and local.extended_next_hop,
        )
        self._happened.append(Opened(message))

    def send_open(self, _message: Message | None, _told: Notification | None, _now: float) -> None:
        """Say who we are."""
        local = self.local
        said = Open(
            number=local.number,
            identifier=local.identifier,
            hold_time=local.hold_time,
            capabilities=local.capabilities(),
        )
        self._outbox.append(encode(said))

    def await_open(self, _message: Message | None, _told: Notification | None, now: float) -> None:
        """Give the peer as long for its OPEN as it may be silent later."""
        self._hold_at = now + (self.local.hold_time or LARGE_HOLD)

    def send_keepalive(self, _message: Message | None, _told: Notification | None, now: float) -> None:
        """Say that we are here, and when to say so again."""
        self._outbox.append(KEEPALIVE)
        interval = self.agreed.keepalive if self.agreed else 0.0
        self._keepalive_at = now + interval if interval else None

    def restart_hold(self, _message: Message | None, _told: Notification | None, now: float) -> None:
        """Give the peer its hold time anew."""
        hold_time = self.agreed.hold_time if self.agreed else 0
        self._hold_at = now + hold_time if hold_time else None

    def establish(self, _message: Message | None, _told: Notification | None, _now: float) -> None:
        """Begin to tell of routes."""
        assert self.agreed is not None
        self._happened.append(Established(self.agreed))

    def take_update(self, message: Message | None, _told: Notification | None, _now: float) -> None:
        """Hand over what the peer tells of routes."""
        assert isinstance(message, Update)
        self._happened.append(Heard(message))

    def take_refresh(self, message: Message | None, _told: Notification | None, _now: float) -> None:
        """Tell all routes of a family anew."""
        if isinstance(message, RouteRefresh) and message.family is not None and self.told is not None:
            self.told.repeat(message.family)

    def notify(self, _message: Message | None, told: Notification | None, _now: float) -> None:
        """Tell the peer why it ends."""
        if told is not None:
            self._outbox.append(encode(told))

    def drop(self, _message: Message | None, _told: Notification | None, _now: float) -> None:
        """Wait for nothing any more."""
        self._hold_at = self._keepalive_at = None
        self.told = None


_ACTIONS: dict[Action, Callable[[Session, Message | None, Notification | None, float], None]] = {
    Action.SEND_OPEN: Session.send_open,
    Action.SEND_KEEPALIVE: Session.send_keepalive,
    Action.AGREE: Session.agree,
    Action.AWAIT_OPEN: Session.await_open,
    Action.RESTART_HOLD: Session.restart_hold,
    Action.ESTABLISH: Session.establish,
    Action.TAKE_UPDATE: Session.take_update,
    Action.TAKE_REFRESH: Session.take_refresh,
    Action.NOTIFY: Session.notify,
    Action.DROP: Session.drop,
}


def _ended(event: Event, notification: Notification | None, reason: str) -> Ended:
    if event is Event.NOTIFICATION:
        return Ended(f"the peer says: {notification}", notification, by_peer=True)
    if event is Event.DISCONNECTED:
        return Ended(reason or event.value)
    return Ended(reason or f"{event.value}; the peer was told: {notification}", notification)
