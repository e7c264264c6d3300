"""Checks that a backend keeps its side of the contract (``kubevip.backend``), on a simulated segment."""

import asyncio
import inspect
import ipaddress
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs

from kubevip.backend import Answer, Backend, Cadence, Sighting
from kubevip.errors import BrokenBackend, NetworkError, UnknownBackend
from kubevip.model import Family, IPAddress, Vip
from kubevip.registry import Registry
from kubevip.testing.host import FakeHost
from kubevip.testing.segment import Segment

INTERFACE = "eth0"
# How long the frames of the simulated segment are given to arrive, and tasks to end.
SETTLE = 0.02
VIPS: Mapping[Family, tuple[str, str]] = {
    Family.IPV4: ("10.0.0.201", "10.0.0.202"),
    Family.IPV6: ("fd00::201", "fd00::202"),
}


# The own addresses of the second machine that is plugged to a segment.
WITNESS: Mapping[Family, IPAddress] = {
    Family.IPV4: ipaddress.ip_address("10.0.0.12"),
    Family.IPV6: ipaddress.ip_address("fd00::12"),
}


class ContractBroken(AssertionError):
    """A plugin doesn't keep its contract. The message names the verb, what it did and what was expected."""


async def check_backend(
    backend: type[Backend] | str,
    *,
    settings: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    vips: Collection[Vip] = (),
    within: float = 5.0,
) -> None:
    """Check *backend*, a class or the name that it is registered by, against all that the core relies on.

    *settings* is the environment that it reads its settings from. *vips* are announced, on the interface
    ``eth0``; unless given they are two of each family that it announces. Each call has *within* seconds.

    :raises ContractBroken: at the first thing that is not as it has to be.
    """
    checked = _resolve(backend, registry)
    _check_facts(checked)
    texts = [text for family in sorted(checked.families) for text in VIPS[family]]
    chosen = tuple(vips) or tuple(Vip.parse(text, interface=INTERFACE) for text in texts)
    before = asyncio.all_tasks()
    for step in _STEPS:
        segment = Segment()
        here, there = FakeHost("here", segment, settings or {}), FakeHost("there", segment, settings or {})
        await step(_Subject(checked, segment, here, there, chosen, within))
    await asyncio.sleep(SETTLE)
    left = [task.get_name() for task in asyncio.all_tasks() - before]
    if left:
        raise ContractBroken(f"__aexit__() left tasks behind, and all have to end with it: {', '.join(sorted(left))}")


def _resolve(backend: type[Backend] | str, registry: Registry | None) -> type[Backend]:
    if isinstance(backend, str):
        try:
            return (registry if registry is not None else Registry())[backend]
        except (UnknownBackend, BrokenBackend) as error:
            raise ContractBroken(f"the entry point has to lead to a backend: {error}") from error
    if not (isinstance(backend, type) and issubclass(backend, Backend)):
        raise ContractBroken(f"{backend!r} has to be a subclass of kubevip.plugin.Backend")
    return backend


def _check_facts(backend: type[Backend]) -> None:
    name = backend.__name__
    if inspect.isabstract(backend):
        missing = ", ".join(sorted(backend.__abstractmethods__))
        raise ContractBroken(f"{name} has to define announce() and withdraw(); it lacks {missing}")
    if not backend.families or not all(isinstance(family, Family) for family in backend.families):
        raise ContractBroken(f"{name}.families is {backend.families!r}; it has to be a set of Family, not empty")
    cadence = backend.cadence
    times = (*cadence.burst, cadence.period) if isinstance(cadence, Cadence) else (0.0,)
    if not all(time is None or time > 0 for time in times):
        raise ContractBroken(f"{name}.cadence is {cadence!r}; it has to be a Cadence of times above 0")


@attrs.frozen(eq=False)
class _Subject:
    """What is checked: *backend* on the machine *here*; *there* is another one on the same segment."""

    backend: type[Backend]
    segment: Segment
    here: FakeHost
    there: FakeHost
    vips: Sequence[Vip]
    within: float

    @asynccontextmanager
    async def opened(self, host: FakeHost) -> AsyncIterator[Backend]:
        sent = len(self.segment.sent)
        try:
            backend = self.backend(host)
        except Exception as error:
            raise ContractBroken(f"__init__(host) has to take a Host and no more; it raised {error!r}") from error
        self.expect_no_frames(sent, "__init__()")
        await self._timed(backend.__aenter__(), "__aenter__()")
        try:
            yield backend
        finally:
            await self._timed(backend.__aexit__(None, None, None), "__aexit__()")

    async def call(self, backend: Backend, verb: str, vip: Vip, *, when: str = "", may_fail: bool = False) -> object:
        sent, result = len(self.segment.sent), None
        try:
            arguments = (vip, WITNESS[vip.family]) if verb == "inquire" else (vip,)
            result = await self._timed(getattr(backend, verb)(*arguments), f"{verb}({vip}){when}", keep=(NetworkError,))
        except NetworkError as error:
            if not may_fail:
                raise ContractBroken(f"{verb}({vip}){when} has to succeed; it raised {error!r}") from error
        for frame in self.segment.sent[sent:]:
            if frame.interface != vip.interface:
                raise ContractBroken(
                    f"{verb}({vip}){when} has to send on {vip.interface} alone; it sent a frame on {frame.interface}"
                )
        return result

    async def _timed(self, call: object, what: str, keep: tuple[type[Exception], ...] = ()) -> object:
        if not inspect.isawaitable(call):
            raise ContractBroken(f"{what} has to be a coroutine function; it returned {call!r}")
        try:
            async with asyncio.timeout(self.within) as scope:
                return await call
        except keep:
            raise
        except Exception as error:
            if scope.expired():
                raise ContractBroken(f"{what} has to return within {self.within:g} s: the core waits for it") from error
            allowed = "may raise nothing but NetworkError" if keep else "has to succeed"
            raise ContractBroken(f"{what} {allowed}; it raised {error!r}") from error

    def expect_no_frames(self, since: int, what: str) -> None:
        if len(self.segment.sent) > since:
            raise ContractBroken(f"{what} has to send nothing; it sent {len(self.segment.sent) - since} frames")


async def _check_orders(subject: _Subject) -> None:
    """Every order of the two verbs is right, and each may come again."""
    first, last = subject.vips[0], subject.vips[-1]
    async with subject.opened(subject.here) as backend:
        await subject.call(backend, "withdraw", first, when=" of what was never announced")
        for when in ("", " again"):
            await subject.call(backend, "announce", first, when=when)
        await subject.call(backend, "announce", last, when=" beside another one")
        for when in ("", " again"):
            await subject.call(backend, "withdraw", first, when=when)
        await subject.call(backend, "announce", first, when=" after it was withdrawn")
        for vip in (last, first):
            await subject.call(backend, "withdraw", vip)


async def _check_silence(subject: _Subject) -> None:
    """What is withdrawn isn't announced any more, and neither is anything after the end."""
    async with subject.opened(subject.here) as backend:
        for verb in ("announce", "withdraw"):
            for vip in subject.vips:
                await subject.call(backend, verb, vip)
        sent = len(subject.segment.sent)
        await asyncio.sleep(SETTLE)
        subject.expect_no_frames(sent, "after withdraw() a backend")
        for vip in subject.vips:
            await subject.call(backend, "announce", vip)
    sent = len(subject.segment.sent)
    await asyncio.sleep(SETTLE)
    subject.expect_no_frames(sent, "after __aexit__() a backend")


async def _check_restart(subject: _Subject) -> None:
    """A new instance, as after a crash, knows nothing of what the last one announced."""
    vip = subject.vips[0]
    async with subject.opened(subject.here) as backend:
        await subject.call(backend, "announce", vip)
    async with subject.opened(subject.here) as backend:
        await subject.call(backend, "withdraw", vip, when=" by a new instance")
        await subject.call(backend, "announce", vip, when=" by a new instance")
        await subject.call(backend, "withdraw", vip, when=" by a new instance")


async def _check_missing_link(subject: _Subject) -> None:
    """While the interface is down or gone a call may fail with NetworkError; afterwards it succeeds."""
    vip, links = subject.vips[0], subject.here.links
    async with subject.opened(subject.here) as backend:
        links.set_up(vip.interface, False)
        for verb in ("announce", "probe", "inquire", "withdraw"):
            await subject.call(backend, verb, vip, when=" while the interface is down", may_fail=True)
        link, networks = links.get(vip.interface), links.networks()[vip.interface]
        links.remove(vip.interface)
        for verb in ("announce", "probe", "inquire", "withdraw"):
            await subject.call(backend, verb, vip, when=" while the interface is gone", may_fail=True)
        links.add(vip.interface, mac=link.mac, networks=map(str, networks))
        await subject.call(backend, "announce", vip, when=" when the interface is back")
        await subject.call(backend, "withdraw", vip, when=" when the interface is back")


async def _check_sightings(subject: _Subject) -> None:
    """A backend that sees claims sees those that its own kind makes on another machine."""
    if subject.backend.sightings is Backend.sightings:
        return
    mac = subject.there.link(INTERFACE).mac.hex(":")
    seen: list[Sighting] = []
    async with subject.opened(subject.here) as backend, subject.opened(subject.there) as other:
        for vip in subject.vips:
            with backend.sightings(vip.interface, seen.append):
                await subject.call(other, "announce", vip)
                await asyncio.sleep(SETTLE)
            if Sighting(vip.address, mac, announcing=True) not in seen:
                raise ContractBroken(
                    f"sightings() has to report that {mac} announced {vip}, as another machine did; it reported {seen}"
                )
            seen.clear()
            await subject.call(other, "announce", vip)
            await asyncio.sleep(SETTLE)
            if seen:
                raise ContractBroken("sightings() has to report nothing after its context was closed")


async def _check_probe(subject: _Subject) -> None:
    """To ask who has an address claims nothing, and its holder's answer is seen."""
    if subject.backend.probe is Backend.probe:
        return
    holder, client = subject.there.link(INTERFACE).mac, FakeHost("client", subject.segment)
    seen: list[Sighting] = []
    async with subject.opened(subject.here) as backend:
        for vip in subject.vips:
            await subject.there.addresses.put([(vip, 60)], not_after=subject.there.now() + subject.within)
            client.neighbours[vip.address] = holder
            with backend.sightings(vip.interface, seen.append):
                await subject.call(backend, "probe", vip)
                await asyncio.sleep(SETTLE)
            subject.there.addresses.delete(vip)
            if client.neighbours[vip.address] != holder:
                raise ContractBroken(f"probe({vip}) has to claim nothing; a client now believes that we have it")
            overrides = subject.backend.sightings is not Backend.sightings
            if overrides and not any((each.address, each.mac) == (vip.address, holder.hex(":")) for each in seen):
                raise ContractBroken(f"probe({vip}) has to bring out who has it; sightings() reported {seen}")


async def _check_claims(subject: _Subject) -> None:
    """A backend that watches addresses sees claims to them, and those that it doesn't see can't be told."""
    if subject.backend.claims is Backend.claims:
        return
    mac, vip, more = (
        subject.there.link(INTERFACE).mac.hex(":"),
        subject.vips[0],
        {each.address for each in subject.vips},
    )
    seen: list[Sighting] = []
    async with subject.opened(subject.here) as backend, subject.opened(subject.there) as other:
        for addresses in ({vip.address}, more):
            with backend.claims(vip.interface, addresses, seen.append):
                await subject.call(other, "announce", vip)
                await asyncio.sleep(SETTLE)
            if (vip.address, mac) not in {(each.address, each.mac) for each in seen}:
                raise ContractBroken(
                    f"claims() has to report that {mac} announced {vip}, which is watched; it reported {seen}"
                )
            seen.clear()


async def _check_inquiry(subject: _Subject) -> None:
    """Who is asked from a VIP learns its place, and the answer is seen."""
    if subject.backend.inquire is Backend.inquire:
        return
    heard: list[Answer] = []
    mac = subject.there.link(INTERFACE).mac.hex(":")
    async with subject.opened(subject.here) as backend:
        for vip in subject.vips:
            witness = WITNESS[vip.family]
            subject.there.neighbours[vip.address] = b""
            with backend.answers(vip.interface, heard.append):
                asked = await subject.call(backend, "inquire", vip)
                await asyncio.sleep(SETTLE)
            if asked is False:
                continue
            if Answer(witness, vip.address, mac) not in heard:
                raise ContractBroken(
                    f"inquire({vip}, {witness}) has to bring out an answer; answers() reported {heard}"
                )
            if subject.there.neighbours[vip.address] != subject.here.link(INTERFACE).mac:
                raise ContractBroken(f"inquire({vip}, {witness}) has to teach the witness where {vip} is; it did not")


_STEPS = (
    _check_orders,
    _check_silence,
    _check_restart,
    _check_missing_link,
    _check_sightings,
    _check_probe,
    _check_claims,
    _check_inquiry,
)
