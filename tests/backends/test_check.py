"""``check_backend``: it lets good backends pass, and names what is wrong with others."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from typing import ClassVar, Self

import pytest

from kubevip.plugin import Backend, Cadence, Family, Host, IPAddress, NetworkError, Sighting, Vip
from kubevip.registry import Registry
from kubevip.testing import ContractBroken, check_backend, virtual

FRAME = b"\xff" * 6 + b"\2\0\0\0\0\x0b" + b"\x88\xb5" + bytes(46)


class Good(Backend):
    """Announces nothing by any frame, as one that calls a web hook does."""

    families: ClassVar[frozenset[Family]] = frozenset({Family.IPV4})

    async def announce(self, vip: Vip) -> None:
        """Do nothing."""

    async def withdraw(self, vip: Vip) -> None:
        """Do nothing."""


class Sends(Good):
    async def announce(self, vip: Vip) -> None:
        self.host.send(vip.interface, FRAME)


@pytest.mark.parametrize("backend", [Good, Sends])
@virtual
async def test_good_backends_pass(backend: type[Backend]) -> None:
    await check_backend(backend)


class NoFamilies(Good):
    families: ClassVar[frozenset[Family]] = frozenset()


class NegativeCadence(Good):
    cadence: ClassVar[Cadence] = Cadence(period=-1)


class Abstract(Backend):
    async def announce(self, vip: Vip) -> None:
        """Do nothing."""


class WantsMore(Good):
    def __init__(self, host: Host, more: int) -> None:
        super().__init__(host)


class SpeaksBeforeItIsOpen(Good):
    def __init__(self, host: Host) -> None:
        super().__init__(host)
        host.send("eth0", FRAME)


class NotACoroutine(Good):
    def announce(self, vip: Vip) -> None:  # type: ignore[override]
        """Do nothing."""


class RaisesOnItsOwn(Good):
    async def announce(self, vip: Vip) -> None:
        raise ValueError("oh")


class NeverReturns(Good):
    async def announce(self, vip: Vip) -> None:
        await asyncio.Event().wait()


class Counts(Good):
    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.announced: set[Vip] = set()


class AnnouncesOnce(Counts):
    async def announce(self, vip: Vip) -> None:
        if vip in self.announced:
            raise NetworkError("it is announced already")
        self.announced.add(vip)

    async def withdraw(self, vip: Vip) -> None:
        self.announced.discard(vip)


class WithdrawsOnlyItsOwn(Counts):
    async def announce(self, vip: Vip) -> None:
        self.announced.add(vip)

    async def withdraw(self, vip: Vip) -> None:
        self.announced.remove(vip)


class NeverRecovers(Counts):
    broken = False

    async def announce(self, vip: Vip) -> None:
        self.broken = self.broken or not self.host.link("eth0").up
        if self.broken:
            raise NetworkError("the link was down once")


class GoesOnAnnouncing(Good):
    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.tasks: set[asyncio.Task[None]] = set()

    async def announce(self, vip: Vip) -> None:
        self.tasks.add(asyncio.create_task(self._repeat(vip)))

    async def _repeat(self, vip: Vip) -> None:
        while True:
            await asyncio.sleep(0.001)
            with contextlib.suppress(NetworkError):
                self.host.send(vip.interface, FRAME)


class LeavesATask(GoesOnAnnouncing):
    async def _repeat(self, vip: Vip) -> None:
        await asyncio.Event().wait()


class DoesNotOpen(Good):
    async def __aenter__(self) -> Self:
        raise NetworkError("no")


class SeesNobody(Good):
    def sightings(self, interface: str, report: Callable[[Sighting], None]) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class ProbesByClaiming(Good):
    async def probe(self, vip: Vip) -> None:
        link = self.host.link(vip.interface)
        body = bytes.fromhex("0001080006040001") + (link.mac + vip.address.packed) * 2
        self.host.send(vip.interface, b"\xff" * 6 + link.mac + b"\x08\x06" + body)


class WatchesNobody(Good):
    def claims(
        self, interface: str, addresses: Collection[IPAddress], report: Callable[[Sighting], None]
    ) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class AsksNobody(Good):
    async def inquire(self, vip: Vip, witness: IPAddress) -> bool:
        return True


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (object, "has to be a subclass of kubevip.plugin.Backend"),
        (NoFamilies, "NoFamilies.families is frozenset()"),
        (NegativeCadence, "NegativeCadence.cadence is"),
        (Abstract, "it lacks withdraw"),
        (WantsMore, "__init__(host) has to take a Host and no more"),
        (SpeaksBeforeItIsOpen, "__init__() has to send nothing; it sent 1 frames"),
        (NotACoroutine, "announce(10.0.0.201) has to be a coroutine function"),
        (RaisesOnItsOwn, "announce(10.0.0.201) may raise nothing but NetworkError; it raised ValueError('oh')"),
        (NeverReturns, "announce(10.0.0.201) has to return within 5 s"),
        (AnnouncesOnce, "announce(10.0.0.201) again has to succeed"),
        (WithdrawsOnlyItsOwn, "withdraw(10.0.0.201) of what was never announced may raise nothing but NetworkError"),
        (NeverRecovers, "announce(10.0.0.201) when the interface is back has to succeed"),
        (GoesOnAnnouncing, "after withdraw() a backend has to send nothing"),
        (LeavesATask, "__aexit__() left tasks behind"),
        (DoesNotOpen, "__aenter__() has to succeed; it raised NetworkError('no')"),
        (SeesNobody, "sightings() has to report that 02:00:00:00:00:0c announced 10.0.0.201"),
        (ProbesByClaiming, "probe(10.0.0.201) has to claim nothing"),
        (WatchesNobody, "claims() has to report that 02:00:00:00:00:0c announced 10.0.0.201"),
        (AsksNobody, "inquire(10.0.0.201, 10.0.0.12) has to bring out an answer"),
    ],
)
def test_what_is_wrong_is_named(backend: type[Backend], said: str) -> None:
    @virtual
    async def check() -> None:
        try:
            with pytest.raises(ContractBroken) as caught:
                await check_backend(backend)
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        assert said in str(caught.value)

    check()


@virtual
async def test_a_name_that_leads_nowhere_is_told() -> None:
    with pytest.raises(ContractBroken, match="the entry point has to lead to a backend: no backend 'x' is installed"):
        await check_backend("x", registry=Registry([EntryPoint("y", "a:B", "kubevip.backends")]))
