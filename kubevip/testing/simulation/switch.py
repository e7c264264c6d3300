"""A simulated Ethernet switch: it learns who is where, and loses, doubles and keeps back frames as it is told to."""

import asyncio
import contextvars
import itertools
import random
from collections import Counter, deque

import attrs

from kubevip.testing import frames
from kubevip.testing.process import effectless, universal_time
from kubevip.testing.segment import Station

DELAY = 0.0001
# How long the place of a machine is remembered (Linux: bridge ageing_time; IEEE 802.1Q, table 8-6).
AGEING = 300.0

Port = tuple[Station, str]


@attrs.frozen
class _Flight:
    """A frame on its way, and the port that it came in by."""

    port: Port
    frame: bytes


@attrs.define(eq=False)
class Switch:
    """A switch with ports for stations.

    *delay* is the way of a frame in seconds. *loss* and *doubling* are the parts of the frames, from 0 to 1, that
    don't arrive at a receiver, or twice. Those that are to have different numbers share *numbers*.
    """

    chance: random.Random
    delay: float = DELAY
    loss: float = 0.0
    doubling: float = 0.0
    numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(11), kw_only=True)

    _ports: dict[str, Port] = attrs.field(factory=dict, init=False)
    _table: dict[bytes, tuple[str, float]] = attrs.field(factory=dict, init=False)
    _blocked: Counter[tuple[str, str]] = attrs.field(factory=Counter, init=False)
    _flights: deque[_Flight] = attrs.field(factory=deque, init=False)

    # The segment that a host is plugged to

    def number(self) -> int:
        """Return a number that nobody else on the segment has, for addresses."""
        return next(self.numbers)

    def plug(self, station: Station, interface: str) -> None:
        """Connect an interface of *station*, which has one."""
        self._ports[station.node] = (station, interface)

    def others(self, station: Station) -> list[tuple[Station, str]]:
        """Return the ports of all others that hear *station*."""
        return [
            port
            for name, port in self._ports.items()
            if port[0] is not station and not self._blocked[station.node, name]
        ]

    def carry(self, sender: Station, interface: str, frame: bytes) -> None:
        """Bring a frame to whom it is for. One from a killed process is not sent."""
        if effectless():
            return
        loop = asyncio.get_running_loop()
        # Whoever's timer it is, the frame that was sent first arrives: those that were sent at once stay in order.
        self._flights.append(_Flight((sender, interface), frame))
        loop.call_at(loop.time() + self.delay, self._arrive, context=contextvars.Context())

    def _arrive(self) -> None:
        flight = self._flights.popleft()
        source = flight.port[0].node
        self.learn(source, flight.frame[6:12])
        for name in self._targets(source, flight.frame):
            if self._blocked[source, name] or self._happens(self.loss):
                continue
            station, interface = self._ports[name]
            for _time in range(2 if self._happens(self.doubling) else 1):
                station.hear(interface, flight.frame)

    def _targets(self, source: str, frame: bytes) -> list[str]:
        known = self._where(frames.destination(frame))
        return [name for name in self._ports if name != source and known in ("", name)]

    def _happens(self, part: float) -> bool:
        return part > 0 and self.chance.random() < part

    # Its memory

    def learn(self, source: str, mac: bytes) -> None:
        """Note that *mac* is at the port of *source*."""
        self._table[mac] = (source, universal_time())

    def _where(self, mac: bytes) -> str:
        """Return the port that *mac* was last seen at; empty where that isn't known, so that all ports get it."""
        port, seen = self._table.get(mac, ("", 0.0))
        return port if universal_time() - seen < AGEING else ""

    def forget(self, name: str) -> None:
        """Forget who is at a port: its link went down."""
        self._table = {mac: place for mac, place in self._table.items() if place[0] != name}

    # Packets, which are not simulated as frames but followed at once

    def follow(self, source: str, mac: bytes) -> Station | None:
        """Return who gets a packet that *source* sends to *mac*; ``None`` where it is lost. Loss by chance is left out.

        A port that doesn't have *mac* any more gets the packet nevertheless, as long as the switch believes so.
        """
        known = self._where(mac)
        for name, (station, _interface) in self._ports.items():
            reached = name != source and known in ("", name) and not self._blocked[source, name]
            if reached and station.takes(mac):
                return station
        return None

    # What happens to it

    def block(self, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
        """Let nothing through from *sources* to *targets*, until as many ``unblock()``."""
        self._blocked.update((source, target) for source in sources for target in targets)

    def unblock(self, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
        """Take back one ``block()``."""
        self._blocked.subtract((source, target) for source in sources for target in targets)

    def names(self) -> tuple[str, ...]:
        """Return who is plugged in."""
        return tuple(self._ports)
