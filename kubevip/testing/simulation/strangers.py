"""Machines on the segment that are no nodes: witnesses, which answer, and an intruder, who claims what isn't his."""

import asyncio
import contextvars
from ipaddress import ip_address

import attrs

from kubevip.model import IPAddress
from kubevip.testing import frames
from kubevip.testing.host import FakeHost

INTERFACE = "eth0"


@attrs.define(eq=False)
class Witness(FakeHost):
    """A machine that answers for its own addresses, as a gateway does, unless it is off."""

    @property
    def own(self) -> tuple[IPAddress, ...]:
        """Its addresses, one of each family, whether it is on or off."""
        return tuple(ip_address(each.ip) for each in self.links.networks()[INTERFACE] if not each.ip.is_link_local)

    def set_power(self, on: bool) -> None:
        """Switch it on or off."""
        self.links.set_up(INTERFACE, on)


@attrs.define(eq=False)
class Intruder(FakeHost):
    """A machine that somebody has given addresses of others."""

    _own: tuple[str, ...] = attrs.field(default=(), init=False)
    _timers: dict[IPAddress, asyncio.TimerHandle] = attrs.field(factory=dict, init=False)

    def begin(self, address: IPAddress, *, answers: bool, every: float) -> None:
        """Claim *address* every so many seconds; one that *answers* is asked for it in vain by nobody."""
        if answers:
            self._own = self._own or tuple(map(str, self.links.networks()[INTERFACE]))
            self.links.address(INTERFACE, *map(str, self.links.networks()[INTERFACE]), f"{address}")
        self._claim(address, every)

    def _claim(self, address: IPAddress, every: float) -> None:
        mac = self.links.get(INTERFACE).mac
        frame = (
            frames.question(address, mac, address)
            if address.version == 4
            else frames.answer(frames.Word(mac), address, mac)
        )
        self.send(INTERFACE, frame)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(every, self._claim, address, every, context=contextvars.Context())
        self._timers[address] = timer

    def end(self, address: IPAddress) -> None:
        """Claim it no more."""
        self._timers.pop(address).cancel()
        rest = [str(each) for each in self.links.networks()[INTERFACE] if each.ip != address]
        self.links.address(INTERFACE, *rest)
