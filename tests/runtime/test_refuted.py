"""What a backend says to be announced no more: it counts as that at once, and is announced anew."""

import anyio
import pytest

from kubevip.errors import NetworkError
from kubevip.model import Family, Vip
from kubevip.testing import Segment, virtual
from tests.runtime.keeping import ASKED, VIP, VIP2, VIP6, Keeping, keeping

GONE = NetworkError("there is no session")


async def held(here: Keeping) -> None:
    here.lead()
    await anyio.sleep(ASKED)
    assert here.announced(VIP)
    here.calls.clear()
    here.changed.clear()


@virtual
async def test_what_is_refuted_is_announced_again_at_once() -> None:
    async with keeping(Segment(), VIP) as here:
        await held(here)
        here.keeper.reannounce([VIP])
        assert not here.announced(VIP)
        await anyio.sleep(0.001)
        assert here.announced(VIP)
        assert here.verbs(VIP) == ["announce"]
        # The address has stayed on its link.
        assert [present for _verb, _vip, present in here.calls] == [True]
        assert [announced for _at, _vip, announced in here.changed] == [False, True]


@virtual
async def test_what_can_not_be_announced_again_is_told_with_the_reason_until_it_can() -> None:
    async with keeping(Segment(), VIP) as here:
        await held(here)
        here.backends[Family.IPV4].errors[VIP] = GONE
        here.keeper.reannounce([VIP])
        await anyio.sleep(0.001)
        assert not here.announced(VIP)
        assert [(vip, reason) for _at, vip, reason in here.failing] == [(VIP, "there is no session")]
        assert here.keeper.statistics().announced == 0
        assert VIP in here.present
        here.backends[Family.IPV4].errors.clear()
        here.keeper.hurry()
        await anyio.sleep(0.001)
        assert here.announced(VIP)


@virtual
async def test_what_is_not_held_is_passed_over() -> None:
    async with keeping(Segment(), VIP) as here:
        await held(here)
        here.keeper.reannounce([VIP2, VIP6])
        await anyio.sleep(0.01)
        assert here.calls == []
        assert here.changed == []


@virtual
async def test_what_is_refuted_while_others_are_still_announced_is_not_believed() -> None:
    async with keeping(Segment(), VIP, VIP2) as here:
        backend = here.backends[Family.IPV4]
        first: list[Vip] = []
        inner = backend.announce

        async def announce(vip: Vip) -> None:
            await inner(vip)
            if not first:
                # Its session ends before the next one is told.
                first.append(vip)
            elif len(first) == 1:
                here.keeper.reannounce(first)
                first.append(vip)

        backend.announce = announce  # type: ignore[method-assign]
        here.lead()
        await anyio.sleep(ASKED)
        assert here.verbs(first[0]).count("announce") == 2
        assert here.announced(VIP)
        assert here.announced(VIP2)


@virtual
async def test_what_is_being_handed_over_is_left_alone() -> None:
    async with keeping(Segment(), VIP) as here:
        await held(here)
        here.release()
        here.calls.clear()
        here.keeper.reannounce([VIP])
        await anyio.sleep(0.01)
        assert "announce" not in here.verbs(VIP)
        assert not here.announced(VIP)


@virtual
async def test_a_repetition_that_fails_counts_where_nobody_is_asked_for_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with keeping(Segment(), VIP) as here:
        monkeypatch.setattr(type(here.backends[Family.IPV4]), "exclusive", False)
        await held(here)
        here.backends[Family.IPV4].errors[VIP] = GONE
        await anyio.sleep(2)
        assert not here.announced(VIP)
        assert [reason for _at, _vip, reason in here.failing] == ["there is no session"]
        here.backends[Family.IPV4].errors.clear()
        await anyio.sleep(5)
        assert here.announced(VIP)


@virtual
async def test_a_repetition_that_fails_does_not_count_where_the_holder_answers_for_its_address() -> None:
    async with keeping(Segment(), VIP) as here:
        await held(here)
        here.backends[Family.IPV4].errors[VIP] = GONE
        await anyio.sleep(9)
        assert here.announced(VIP)
        assert here.failing == []
