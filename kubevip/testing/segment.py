"""A simulated Ethernet segment: what one host sends, the others hear."""

import asyncio
import contextvars
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

import attrs

from kubevip.testing.process import effectless, universal_time

DELAY = 0.0001


class Station(Protocol):
    """What is plugged to a segment; ``FakeHost`` is one."""

    @property
    def node(self) -> str:
        """Its name."""

    def hear(self, interface: str, frame: bytes) -> None:
        """A frame has arrived at one of its interfaces."""

    def takes(self, mac: bytes) -> bool:
        """Tell whether one of its interfaces takes frames for *mac* now."""


class Medium(Protocol):
    """What stations are plugged to; ``Segment`` is one."""

    def number(self) -> int:
        """Return a number that nobody else on it has, for addresses."""

    def plug(self, station: Station, interface: str) -> None:
        """Connect an interface of *station*."""

    def others(self, station: Station) -> list[tuple[Station, str]]:
        """Return the ports that hear *station*: each with whose it is and his interface."""

    def carry(self, sender: Station, interface: str, frame: bytes) -> None:
        """Bring a frame to whom it is for."""


@attrs.frozen
class Sent:
    """A frame as it was put on the wire, at *time* (seconds of the world)."""

    time: float
    node: str
    interface: str
    frame: bytes


@attrs.define(eq=False)
class Segment:
    """A switch without a memory: each frame arrives at every other port, in the order of sending.

    *delay* is the way of a frame in seconds. *loss* is the part of them, from 0 to 1, that doesn't arrive, for
    each receiver by itself; *chance* returns numbers from 0 to 1 for it.
    """

    delay: float = DELAY
    loss: float = 0.0
    chance: Callable[[], float] = random.random

    sent: list[Sent] = attrs.field(factory=list, init=False)
    _numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(11), init=False)
    _ports: list[tuple[Station, str]] = attrs.field(factory=list, init=False)
    _cut_off: set[str] = attrs.field(factory=set, init=False)
    _on_the_way: deque[tuple[Station, bytes]] = attrs.field(factory=deque, init=False)

    def number(self) -> int:
        """Return a number that nobody else on the segment has, for addresses; the first one is 11."""
        return next(self._numbers)

    def plug(self, station: Station, interface: str) -> None:
        """Connect an interface of *station*."""
        self._ports.append((station, interface))

    def unplug(self, station: Station) -> None:
        """Take all interfaces of *station* off the segment; its links stay up, as behind a switch."""
        self._ports = [port for port in self._ports if port[0] is not station]

    def cut_off(self, *nodes: str) -> None:
        """Let these nodes, and no others, hear and be heard no more."""
        self._cut_off = set(nodes)

    def others(self, station: Station) -> list[tuple[Station, str]]:
        """Return the ports that hear *station*: each with whose it is and his interface."""
        if station.node in self._cut_off:
            return []
        return [port for port in self._ports if port[0] is not station and port[0].node not in self._cut_off]

    def carry(self, sender: Station, interface: str, frame: bytes) -> None:
        """Bring a frame to every other port. One from a killed process is not sent."""
        if effectless():
            return
        loop = asyncio.get_running_loop()
        self.sent.append(Sent(universal_time(), sender.node, interface, frame))
        if (sender, interface) not in self._ports or sender.node in self._cut_off:
            return
        # Whoever's timer it is, the frame that was sent first arrives: those that were sent at once stay in order.
        self._on_the_way.append((sender, frame))
        loop.call_at(loop.time() + self.delay, self._arrive, context=contextvars.Context())

    def _arrive(self) -> None:
        sender, frame = self._on_the_way.popleft()
        for station, where in self.others(sender):
            if not (self.loss and self.chance() < self.loss):
                station.hear(where, frame)
