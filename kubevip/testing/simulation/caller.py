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
from kubevip.testing.simulation.segments import FIRST, PREFIXES, segment_of
from kubevip.testing.simulation.switch import Switch

# What waits longer than this for the answer to a question, in seconds, is as good as lost.
WAITS = 0.05


@attrs.define(eq=False)
class Caller:
    """Sends a packet to each of some addresses now and then, and notes who answers.

    Packets are followed at once, not simulated as frames; what asks for a place is a frame like any other. One that
    *confirms* takes an answer for a sign that the place is right, as TCP does; UDP doesn't. It is on *segment*.
    """

    node: str
    switch: Switch
    chronicle: Chronicle
    chance: random.Random
    confirms: bool
    segment: str = FIRST
    cache: NeighbourCache = attrs.field(init=False)
    _mac: bytes = attrs.field(init=False)
    _own: dict[Family, IPAddress] = attrs.field(init=False)
    _last: dict[IPAddress, str] = attrs.field(factory=dict, init=False)
    _waiting: dict[IPAddress, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.cache = NeighbourCache(self.chance.random)
        number = self.switch.number()
        self._mac = bytes([2, 0, 0, 0, 1, number])
        self._own = {
            Family(version): ip_address(f"{prefix}{number}") for version, prefix in PREFIXES[self.segment].items()
        }
        self.switch.plug(self, self.segment)

    # On the segment

    def hear(self, _interface: str, frame: bytes) -> None:
        """Take a frame from the segment."""
        if not frames.is_for(frame, self._mac):
            return
        word = frames.read(frame)
        if word is not None:
            self.cache.hear(word, universal_time())
            self._arm()
            if word.claimed in self._waiting and self.cache.place(word.claimed):
                self._waiting.pop(word.claimed).cancel()
                self._note(word.claimed, self._send(word.claimed, self.cache.place(word.claimed)))

    def takes(self, mac: bytes) -> bool:
        """Tell whether its network card takes frames for *mac*."""
        return mac == self._mac

    def _ask(self, question: Question) -> None:
        own = self._own[Family.of(question.address)]
        self.switch.carry(self, self.segment, frames.question(question.address, self._mac, own, question.mac))

    # Talking

    def near(self, addresses: Iterable[IPAddress]) -> list[IPAddress]:
        """Return those of *addresses* that are of its segment: it talks to no others."""
        return [address for address in addresses if segment_of(address) == self.segment]

    async def run(self, addresses: Iterable[IPAddress], period: float) -> None:
        """Talk to *addresses*, each about every *period* seconds, until cancelled."""
        wanted = list(addresses)
        while True:
            for address in wanted:
                self.talk(address)
            await asyncio.sleep(period * (0.5 + self.chance.random()))

    def talk(self, address: IPAddress) -> str:
        """Send a packet to *address*; return the node that answers, empty where none does so at once."""
        now = universal_time()
        mac, question = self.cache.use(address, now)
        if question is not None:
            self._ask(question)
        self._arm()
        if not mac:
            self._wait(address)
            return ""
        node = self._send(address, mac)
        self._note(address, node)
        return node

    def _wait(self, address: IPAddress) -> None:
        """Let a packet wait until it is known where it goes, as Linux does."""
        if address not in self._waiting:
            loop = asyncio.get_running_loop()
            self._waiting[address] = loop.call_later(WAITS, self._lose, address, context=contextvars.Context())

    def _lose(self, address: IPAddress) -> None:
        del self._waiting[address]
        self._note(address, "")

    def _note(self, address: IPAddress, node: str) -> None:
        if self._last.get(address) != node:
            self._last[address] = node
            self.chronicle.add(Reached(universal_time(), self.node, address, node))

    def _send(self, address: IPAddress, mac: bytes) -> str:
        node = self._follow(address, mac)
        if node and self.confirms:
            self.cache.confirm(address, universal_time())
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
