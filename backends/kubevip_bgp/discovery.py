"""Finds the routers of peers that have no address, by the router advertisements on their interfaces."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv6Address
from typing import Self

import attrs

from kubevip.plugin import Host, IPAddress, NetworkError
from kubevip_bgp.advertisements import (
    ADVERTISEMENT,
    ALL_NODES,
    ALL_ROUTERS,
    ETHERTYPE,
    PROGRAM,
    SOLICITATION,
    advertisement,
    group_of,
    sender_of,
    solicitation,
)

log = logging.getLogger(__name__)

# Seconds. We say that we are here as often as routers do for BGP; the first time both may miss each other.
EVERY = 10.0
FIRST = (0.0, 1.0, 2.0, 4.0)
# How soon is looked again for an interface that isn't there, or is down.
AGAIN = 1.0
# On an interface; more are not remembered.
MOST = 16


@attrs.define(eq=False)
class Routers:
    """The routers that advertise themselves on one interface, to be tried in turn."""

    _known: dict[IPAddress, IPv6Address] = attrs.field(factory=dict, init=False)

    def add(self, router: IPv6Address) -> None:
        """Remember *router*; the one that has been known for longest goes where there are too many."""
        self._known.setdefault(router, router)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def after(self, address: IPAddress) -> IPv6Address | None:
        """Return the one that comes after *address*; ``None`` where there is no other one."""
        known = list(self._known)
        place = known.index(address) + 1 if address in known else 0
        other = self._known[known[place % len(known)]] if known else None
        return other if other != address else None


@attrs.define(eq=False)
class Discovery:
    """Tells *found* of each router that advertises itself on one of *interfaces*, while it is open."""

    _host: Host
    _interfaces: Iterable[str]
    _found: Callable[[IPv6Address], None]
    _tasks: list["asyncio.Task[None]"] = attrs.field(factory=list, init=False)

    async def __aenter__(self) -> Self:
        """Begin to ask, and to say where we are."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(name), name=f"a router on {name}") for name in self._interfaces]
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, interface: str) -> None:
        told = ""
        while True:
            try:
                await self._ask(interface)
            except NetworkError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("can't look for a router", extra={"interface": interface, "reason": told})
            await asyncio.sleep(AGAIN)

    async def _ask(self, interface: str) -> None:
        """Ask and advertise for as long as that is possible.

        :raises NetworkError: when it isn't.
        """
        with contextlib.ExitStack() as stack:
            for group, received in ((ALL_NODES, self._meet), (ALL_ROUTERS, self._answer)):
                heard = partial(received, interface)
                stack.enter_context(self._host.listen(interface, ETHERTYPE, heard, bpf=PROGRAM, group=group_of(group)))
            pauses = iter(FIRST)
            while True:
                await asyncio.sleep(next(pauses, EVERY))
                self._send(interface, solicitation)
                self._send(interface, advertisement)

    def _send(self, interface: str, build: Callable[[IPv6Address, bytes], bytes]) -> None:
        link = self._host.link(interface)
        if link.link_local is not None:
            self._host.send(interface, build(link.link_local, link.mac))

    def _meet(self, interface: str, frame: bytes) -> None:
        router = sender_of(frame, ADVERTISEMENT)
        if router is not None and router != self._host.link(interface).link_local:
            self._found(IPv6Address(f"{router}%{interface}"))

    def _answer(self, interface: str, frame: bytes) -> None:
        """Say where we are to whoever asks for routers."""
        asker = sender_of(frame, SOLICITATION)
        if asker is not None and asker != self._host.link(interface).link_local:
            with contextlib.suppress(NetworkError):
                self._send(interface, advertisement)
