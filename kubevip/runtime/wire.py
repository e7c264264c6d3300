"""What can be learnt on the wire about who holds an address: before taking it, and while handing it over."""

import asyncio
import contextlib
import functools
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import anyio
import anyio.lowlevel

from kubevip.backend import Link, Sighting
from kubevip.errors import KubeVipError
from kubevip.model import Family, Vip
from kubevip.runtime.announcer import CHUNK, Announcer, attempt

log = logging.getLogger(__name__)

# How long an answer to a probe may take. A kernel on the same segment needs well below a millisecond.
ANSWER_WITHIN = 0.015

LinkOf = Callable[[str], Link]


@contextlib.contextmanager
def watching(
    vips: Collection[Vip],
    announcers: Mapping[Family, Announcer],
    link_of: LinkOf,
    report: Callable[[Vip, Sighting], None],
) -> Iterator[None]:
    """*report* each claim that another machine makes to one of *vips* while the context is open.

    Our own frames are passed over. An interface that is gone is not watched.
    """
    wanted = {(vip.address, vip.interface): vip for vip in vips}

    def seen(interface: str, sighting: Sighting) -> None:
        vip = wanted.get((sighting.address, interface))
        if vip is not None:
            report(vip, sighting)

    with contextlib.ExitStack() as stack:
        for family, interface in sorted({(vip.family, vip.interface) for vip in vips}):
            stack.enter_context(listening(family, interface, announcers, link_of, functools.partial(seen, interface)))
        yield


@contextlib.contextmanager
def listening(
    family: Family,
    interface: str,
    announcers: Mapping[Family, Announcer],
    link_of: LinkOf,
    report: Callable[[Sighting], None],
) -> Iterator[None]:
    """*report* each claim that another machine makes to any address while the context is open; see ``watching``."""
    ours = _mac(link_of, interface)

    def seen(sighting: Sighting) -> None:
        if sighting.mac != ours:
            report(sighting)

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(announcers[family].backend.sightings(interface, seen))
        except KubeVipError:
            # Announcing fails too, and says why.
            pass
        except Exception as error:
            extra = {"interface": interface, "backend": announcers[family].name, "reason": str(error)}
            log.warning("can't see who else claims addresses", extra=extra)
        yield


async def ask(
    vips: Collection[Vip],
    announcers: Mapping[Family, Announcer],
    link_of: LinkOf,
    *,
    within: float = ANSWER_WITHIN,
) -> dict[Vip, str]:
    """Ask on the wire who holds *vips*; return the MAC address of each that another machine answered for.

    It takes *within* seconds, for one and for a thousand.
    """
    answered: dict[Vip, str] = {}
    silent = set(vips)
    all_answered = asyncio.Event()

    def report(vip: Vip, sighting: Sighting) -> None:
        answered[vip] = sighting.mac
        silent.discard(vip)
        if not silent:
            all_answered.set()

    with watching(vips, announcers, link_of, report):
        await _probe(vips, announcers)
        with anyio.move_on_after(within):
            await all_answered.wait()
    return answered


async def _probe(vips: Iterable[Vip], announcers: Mapping[Family, Announcer]) -> None:
    iterator = iter(vips)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        for vip in chunk:
            # A probe that can't be sent finds nobody; announcing will fail too, and says why.
            await attempt(announcers[vip.family].backend.probe, vip)
        await anyio.lowlevel.checkpoint()


def _mac(link_of: LinkOf, interface: str) -> str:
    with contextlib.suppress(KubeVipError):
        return link_of(interface).mac.hex(":")
    return ""
