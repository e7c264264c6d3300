"""Whether a node that isn't heard is gone: what is asked on which link, and what an answer or silence says."""

import math
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import ip_address
from typing import Any

import anyio
import attrs
import pytest

from kubevip.errors import LinkNotFound
from kubevip.lookout import Lookout
from kubevip.model import Vip
from kubevip.runtime import inquest
from kubevip.runtime.inquest import Inquest, few_of_each
from kubevip.runtime.pulse import SAMPLE
from kubevip.testing import virtual
from tests.decide.test_lookout import frame, lease, record

HERE = [Vip(ip_address("10.0.0.1") + number, "eth0") for number in range(100)]
THERE = [Vip(ip_address("10.1.0.1") + number, "eth1") for number in range(100)]
SIX = [Vip(ip_address("fd00::1") + number, "eth0", 128) for number in range(3)]
GATEWAY = Vip(ip_address("10.1.0.254"), "eth1")


@attrs.frozen
class Port:
    up: bool = True


@attrs.define(eq=False)
class Scene:
    """Node b, which misses node a. *answers* tells for which of the addresses somebody answers at a time."""

    had: list[Vip]
    answers: Callable[[Vip, float], bool] = lambda _vip, _now: False
    heard_on: tuple[str, ...] = ("eth0", "eth1")
    links: dict[str, Port] = attrs.field(factory=lambda: {"eth0": Port(), "eth1": Port()})
    witnesses: tuple[Vip, ...] = ()
    asked: list[Vip] = attrs.field(factory=list)
    lookout: Lookout = attrs.field(factory=lambda: Lookout("b", lease))
    back_at: float = math.inf
    sequence: int = 1

    async def ask(self, vips: Collection[Vip], *_seams: Any, within: float) -> dict[Vip, str]:
        self.asked += vips
        found = {vip: "02:00:00:00:00:01" for vip in vips if self.answers(vip, anyio.current_time())}
        if len(found) < len(vips):
            await anyio.sleep(within)
        return found

    def link(self, name: str) -> Port:
        return self.links[name]

    def hear_company(self) -> None:
        self.sequence += 1
        for name in self.heard_on:
            self.lookout.hear(frame("c", self.sequence), name, anyio.current_time())
        if anyio.current_time() > self.back_at:
            self.lookout.hear(frame("a", self.sequence), "eth1", anyio.current_time())

    async def is_gone(self, monkeypatch: pytest.MonkeyPatch, *, within: float = 2.0) -> bool | None:
        """Return the verdict; ``None`` where there is none in time."""
        monkeypatch.setattr(inquest, "ask", self.ask)
        now = anyio.current_time()
        self.lookout.follow({name: record(name) for name in "abc"}, now)
        self.lookout.hear(frame("a", 1), "eth0", now)
        await anyio.sleep(0.25)
        self.hear_company()
        asking: Any = Inquest(
            *(self, {}, self.lookout, self.hear_company, lambda _node: self.had, 0.1), witnesses=lambda: self.witnesses
        )
        with anyio.move_on_after(within):
            verdict: bool = await asking.is_gone("a")
            return verdict
        return None


@virtual
async def test_nobody_answers_on_any_link(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([*HERE, *THERE, *SIX])
    began = anyio.current_time()
    assert await scene.is_gone(monkeypatch)
    # b's turn is the second one, behind c's.
    assert anyio.current_time() - began < 0.5


@virtual
async def test_few_are_asked_for_on_each_link_and_of_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([*HERE, *THERE, *SIX])
    assert await scene.is_gone(monkeypatch)
    rounds = set(Counter(scene.asked).values())
    assert len(rounds) == 1
    asked = Counter((vip.interface, vip.address.version) for vip in set(scene.asked))
    assert asked == {("eth0", 4): SAMPLE, ("eth1", 4): SAMPLE, ("eth0", 6): 3}


@pytest.mark.parametrize("who", [HERE[0], THERE[0], SIX[0]])
@virtual
async def test_an_answer_on_any_link_leaves_the_node_alone(who: Vip, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([*HERE, *THERE, *SIX], lambda vip, _now: vip == who)
    assert await scene.is_gone(monkeypatch) is None


@virtual
async def test_when_the_last_one_falls_silent_the_node_is_gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    until = anyio.current_time() + 1.5
    assert await Scene(HERE, lambda _vip, now: now < until).is_gone(monkeypatch)
    assert anyio.current_time() - until < 0.2


@virtual
async def test_without_company_on_one_of_the_links_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await Scene([*HERE, *THERE], heard_on=("eth0",)).is_gone(monkeypatch) is None
    assert await Scene(HERE, heard_on=("eth0",)).is_gone(monkeypatch)


@virtual
async def test_a_witness_on_the_link_is_as_good_as_company(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([*HERE, *THERE], lambda vip, _now: vip == GATEWAY, heard_on=("eth0",), witnesses=(GATEWAY,))
    assert await scene.is_gone(monkeypatch)
    there = Scene(HERE, lambda vip, _now: vip == GATEWAY, heard_on=("eth1",), witnesses=(GATEWAY,))
    assert await there.is_gone(monkeypatch) is None


@pytest.mark.parametrize("links", [{"eth0": Port()}, {"eth0": Port(), "eth1": Port(up=False)}])
@virtual
async def test_who_is_not_on_one_of_the_links_leaves_it_to_others(
    links: dict[str, Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Links(dict[str, Port]):
        def __missing__(self, name: str) -> Port:
            raise LinkNotFound(name)

    assert await Scene([*HERE, *THERE], links=Links(links)).is_gone(monkeypatch) is False


@virtual
async def test_a_node_that_has_nothing_is_left_to_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await Scene([]).is_gone(monkeypatch) is False


@virtual
async def test_a_node_that_is_heard_again_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await Scene(HERE, back_at=anyio.current_time() + 0.28).is_gone(monkeypatch) is False


def test_a_sample_has_a_few_of_each() -> None:
    found = few_of_each([*THERE, *HERE, *SIX])
    assert found == [*HERE[:SAMPLE], *SIX, *THERE[:SAMPLE]]
