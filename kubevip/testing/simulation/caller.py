"""A machine that talks to virtual addresses, and believes about their place what a Linux machine would."""

import asyncio
import contextvars
import math
import random
from collections.abc import Iterable
from ipaddress import ip_address

import attrs

from kubevip.model import Family, IPAddress
from kubevip.testing import frames
from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Chronicle, Reached
from kubevip.testing.simulation.machine import Machine
from kubevip.testing.simulation.neighbours import NeighbourCache, Question
from kubevip.testing.simulation.switch import Switch

INTERFACE = "eth0"


@attrs.define(eq=False)
class Caller:
    """Sends a packet to each of some addresses now and then, and notes who answers.

    Packets are followed at once, not simulated as frames; what asks for a place is a frame like any other. One that
    *confirms* takes an answer for a sign that the place is right, as TCP does; UDP doesn't.
    """

    node: str
    switch: Switch
    chronicle: Chronicle
    chance: random.Random
    confirms: bool
    cache: NeighbourCache = attrs.field(init=False)
    _mac: bytes = attrs.field(init=False)
    _own: dict[Family, IPAddress] = attrs.field(init=False)
    _last: dict[IPAddress, str] = attrs.field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.cache = NeighbourCache(self.chance.random)
        number = self.switch.number()
        self._mac = bytes([2, 0, 0, 0, 1, number])
        self._own = {Family.IPV4: ip_address(f"10.0.0.{number}"), Family.IPV6: ip_address(f"fd00::{number}")}
        self.switch.plug(self, INTERFACE)

    # On the segment

    def hear(self, _interface: str, frame: bytes) -> None:
        """Take a frame from the segment."""
        if not frames.is_for(frame, self._mac):
            return
        word = frames.read(frame)
        if word is not None:
            self.cache.hear(word, universal_time())
            self._arm()

    def takes(self, mac: bytes) -> bool:
        """Tell whether its network card takes frames for *mac*."""
        return mac == self._mac

    def _ask(self, question: Question) -> None:
        own = self._own[Family.of(question.address)]
        self.switch.carry(self, INTERFACE, frames.question(question.address, self._mac, own, question.mac))

    # Talking

    async def run(self, addresses: Iterable[IPAddress], period: float) -> None:
        """Talk to *addresses*, each about every *period* seconds, until cancelled."""
        wanted = list(addresses)
        while True:
            for address in wanted:
                self.talk(address)
            await asyncio.sleep(period * (0.5 + self.chance.random()))

    def talk(self, address: IPAddress) -> str:
        """Send a packet to *address*; return the node that answers, empty where none does."""
        now = universal_time()
        mac, question = self.cache.use(address, now)
        if question is not None:
            self._ask(question)
        node = self._follow(address, mac) if mac else ""
        if node and self.confirms:
            self.cache.confirm(address, now)
        if self._last.get(address) != node:
            self._last[address] = node
            self.chronicle.add(Reached(now, self.node, address, node))
        self._arm()
        return node

    def _follow(self, address: IPAddress, mac: bytes) -> str:
        self.switch.learn(self.node, self._mac)
        there = self.switch.follow(self.node, mac)
        if not isinstance(there, Machine) or not there.answers_for(address):
            return ""
        self.switch.learn(there.node, mac)
        return there.node if self.switch.follow(there.node, self._mac) is self else ""

    def _arm(self) -> None:
        """Have the cache look at its entries when time changes one."""
        due = self.cache.due()
        if self._timer is not None and (self._timer.cancelled() or self._timer.when() != due):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and due < math.inf:
            self._timer = asyncio.get_running_loop().call_at(due, self._elapse, context=contextvars.Context())

    def _elapse(self) -> None:
        self._timer = None
        for question in self.cache.elapse(universal_time()):
            self._ask(question)
        self._arm()
