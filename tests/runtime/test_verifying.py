"""Takeovers are verified: asked from the VIP, repeated until somebody answers, and told when nobody does."""

import contextlib
import ipaddress
import itertools
import logging
from collections.abc import AsyncIterator

import anyio
import attrs
import pytest

from kubevip.model import Family, LeaseKey, Vip
from kubevip.runtime.offering import Offers
from kubevip.runtime.trial import Place
from kubevip.runtime.verifying import NOBODY_PAUSE, Verifier, Verify
from kubevip.runtime.witnesses import Source, Witnesses
from kubevip.testing import FakeHost, MemoryNeighbourhood, Segment, virtual
from tests.runtime.keeping import LEASE, VIP, VIP2, VIP6, Keeping, keeping, now

both = pytest.mark.parametrize("vip", [VIP, VIP6], ids=["arp", "ndp"])
# The first on the segment is the node of ``keeping``, the second the gateway.
GATEWAY = {Family.IPV4: ipaddress.ip_address("10.0.0.12"), Family.IPV6: ipaddress.ip_address("fd00::12")}
ABSENT = ipaddress.ip_address("10.0.0.77")


class Campaigns(dict[LeaseKey, "Campaigns"]):
    """Notes what becomes of a Lease."""

    def __init__(self) -> None:
        super().__init__({LEASE: self})
        self.calls: list[tuple[str, float, float]] = []

    def offer(self, hold_back: float) -> None:
        self.calls.append(("offer", now(), hold_back))

    def hold_back(self, seconds: float) -> None:
        self.calls.append(("hold back", now(), seconds))


@attrs.define(eq=False)
class Verifying:
    a: Keeping
    gateway: FakeHost
    verifier: Verifier
    campaigns: Campaigns
    hood: MemoryNeighbourhood

    def asked(self) -> list[tuple[Vip, float]]:
        return self.questions

    questions: list[tuple[Vip, float]] = attrs.field(factory=list)

    def state(self, vip: Vip = VIP) -> bool | None:
        (trial,) = [each for each in self.verifier.statistics().trials if each.place.family is vip.family]
        return trial.verified

    async def hold(self, seconds: float) -> None:
        """Renew the Lease for so long."""
        until = now() + seconds
        while now() < until:
            await anyio.sleep(min(1.0, until - now()))
            self.a.renew()


@contextlib.asynccontextmanager
async def verifying(
    segment: Segment,
    *vips: Vip,
    given: tuple[str, ...] = (),
    gateways: bool = True,
    neighbours: tuple[str, ...] = (),
    verify: Verify = Verify.WARN,
) -> AsyncIterator[Verifying]:
    """Run a keeper and a verifier; a gateway is plugged in."""
    async with keeping(segment, *vips) as a:
        gateway = FakeHost("gateway", segment)
        hood = MemoryNeighbourhood(
            routes={"eth0": tuple(GATEWAY.values())} if gateways else {},
            reachable={"eth0": tuple(map(ipaddress.ip_address, neighbours))},
        )
        campaigns = Campaigns()
        witnesses = Witnesses(tuple(map(ipaddress.ip_address, given)), a.host.links, hood)
        verifier = Verifier(
            a.keeper, a.announcers, a.host.links, witnesses, Offers(a.keeper, campaigns), verify=verify, timeout=10.0
        )
        made = Verifying(a, gateway, verifier, campaigns, hood)
        for backend in a.backends.values():
            noted = backend.note

            def note(verb: str, vip: Vip, noted: object = noted) -> None:
                noted(verb, vip)
                if verb == "inquire":
                    made.questions.append((vip, now()))

            backend.note = note
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(verifier.run)
            yield made
            tasks.cancel_scope.cancel()


def cut(segment: Segment, *nodes: str) -> None:
    segment.cut_off(*nodes)


@both
@virtual
async def test_an_answer_verifies_a_takeover_at_once(segment: Segment, vip: Vip) -> None:
    async with verifying(segment, vip) as here:
        here.gateway.neighbours[vip.address] = b"it was elsewhere"
        here.a.lead()
        await anyio.sleep(0.05)
        assert here.state(vip) is True
        assert here.gateway.neighbours[vip.address] == here.a.host.link("eth0").mac
        (durations,) = here.verifier.statistics().durations.values()
        assert 0 < durations.total < 0.01


@virtual
async def test_the_question_comes_after_the_announcement(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        here.a.lead()
        await anyio.sleep(0.05)
        assert here.a.verbs(VIP)[:2] == ["announce", "inquire"]


@virtual
async def test_who_gives_the_lease_up_asks_nobody_from_its_addresses_any_more(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        cut(segment, "gateway")
        here.a.lead()
        await anyio.sleep(1)
        here.a.keeper.expect_successor(LEASE)
        asked = len(here.questions)
        assert asked
        await anyio.sleep(5)
        assert len(here.questions) == asked


@virtual
async def test_of_many_addresses_few_ask_and_once(segment: Segment) -> None:
    vips = [Vip.parse(f"10.0.1.{number}", interface="eth0") for number in range(1, 200)]
    async with verifying(segment, *vips) as here:
        here.a.lead()
        await here.hold(5)
        assert here.state() is True
        assert len(here.asked()) <= 2


@virtual
async def test_without_an_answer_it_is_asked_again_with_growing_pauses(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(100)
        times = [time for _vip, time in here.asked()]
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert len(times) < 16
        assert all(pause <= 30.001 for pause in pauses)
        # But for the look at the clock when the time is up.
        assert pauses[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6], abs=0.01)
        assert here.state() is False


@virtual
async def test_the_announcement_is_repeated_with_the_late_questions(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        for announcer in here.a.announcers.values():
            # Nothing is repeated by itself.
            announcer.cadence = type(announcer.cadence)()
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(60)
        verbs = here.a.verbs(VIP)
        assert verbs.count("announce") >= 4


@virtual
async def test_whoever_is_heard_late_is_told_at_once(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        for announcer in here.a.announcers.values():
            announcer.cadence = type(announcer.cadence)()
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(40)
        cut(segment)
        await here.hold(40)
        assert here.state() is True
        assert here.a.verbs(VIP)[-1] == "announce"
        assert here.a.announced(VIP)


@virtual
async def test_nobody_answering_in_time_is_told_once_with_the_names(
    segment: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    async with verifying(segment, VIP) as here:
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(9.9)
        assert not caplog.records or all(each.message != "no witness answers" for each in caplog.records)
        await here.hold(60)
        (line,) = [each for each in caplog.records if each.message == "no witness answers"]
        assert (line.witness, line.source, line.interface) == ("10.0.0.12", "gateways", "eth0")
        assert "silent for 10 s" in line.reason
        assert here.verifier.statistics().timeouts == {Place(LEASE, "eth0", Family.IPV4): 1}
        assert here.a.announced(VIP)
        assert here.campaigns.calls == []


@virtual
async def test_the_named_witness_goes_before_the_gateways(segment: Segment) -> None:
    async with verifying(segment, VIP, given=("10.0.0.77",)) as here:
        here.a.lead()
        await here.hold(1)
        assert here.state() is False


@virtual
async def test_a_named_witness_of_another_interface_is_not_asked_here(segment: Segment) -> None:
    async with verifying(segment, VIP, given=("10.1.0.5",)) as here:
        here.a.host.links.add("eth1", networks=("10.1.0.1/24",))
        here.a.lead()
        await here.hold(1)
        assert here.state() is True
        assert here.verifier.statistics().trials[0].witnesses == "10.0.0.12"


@virtual
async def test_a_named_witness_of_the_other_family_leaves_the_gateways(segment: Segment) -> None:
    async with verifying(segment, VIP, VIP6, given=("10.0.0.12",)) as here:
        here.a.lead()
        await here.hold(1)
        assert here.state(VIP) is True
        assert here.state(VIP6) is True


@virtual
async def test_without_gateways_a_neighbour_is_asked(segment: Segment) -> None:
    async with verifying(segment, VIP, gateways=False, neighbours=("10.0.0.12",)) as here:
        here.a.lead()
        await here.hold(1)
        assert here.state() is True


@virtual
async def test_with_nobody_to_ask_nothing_is_said_but_once(segment: Segment, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with verifying(segment, VIP, gateways=False, verify=Verify.RESIGN) as here:
        here.a.lead()
        await here.hold(3 * NOBODY_PAUSE)
        assert here.state() is None
        (line,) = [each for each in caplog.records if each.message == "takeovers can't be verified"]
        assert "vip_witnesses" in line.reason
        assert here.campaigns.calls == []
        assert here.verifier.statistics().timeouts == {}


@virtual
async def test_a_gateway_that_appears_later_is_asked(segment: Segment) -> None:
    async with verifying(segment, VIP, gateways=False) as here:
        here.a.lead()
        await here.hold(5)
        here.hood.routes["eth0"] = tuple(GATEWAY.values())
        await here.hold(NOBODY_PAUSE)
        assert here.state() is True


@virtual
async def test_our_own_addresses_are_no_witnesses(segment: Segment) -> None:
    async with verifying(segment, VIP, VIP2, given=("10.0.0.11", "10.0.0.98")) as here:
        here.a.lead()
        await here.hold(1)
        assert here.verifier.statistics().trials[0].witnesses == "10.0.0.12"


@virtual
async def test_a_backend_that_cannot_ask_is_told_once(segment: Segment, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:

        async def unable(*_arguments: object) -> bool:
            return False

        here.a.backends[Family.IPV4].inquire = unable
        here.a.lead()
        await here.hold(3 * NOBODY_PAUSE)
        assert here.state() is None
        (line,) = [each for each in caplog.records if each.message == "takeovers can't be verified"]
        assert line.reason == "backend 'ArpBackend' can't ask"
        assert here.campaigns.calls == []


@virtual
async def test_a_backend_that_is_ill_does_not_end_it(segment: Segment) -> None:
    async with verifying(segment, VIP, VIP6) as here:

        async def ill(*_arguments: object) -> bool:
            raise RuntimeError("the plugin is ill")

        here.a.backends[Family.IPV4].inquire = ill
        here.a.lead()
        await here.hold(20)
        assert here.state(VIP) is False
        assert here.state(VIP6) is True


@virtual
async def test_an_answer_to_somebody_else_counts_for_nothing(segment: Segment) -> None:
    async with verifying(segment, VIP, given=("10.0.0.77",)) as here:
        here.a.lead()
        await here.hold(1)
        await here.a.backends[Family.IPV4].inner.inquire(VIP, GATEWAY[Family.IPV4])
        await here.hold(1)
        assert here.state() is False


@virtual
async def test_what_is_released_is_asked_for_no_more(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(5)
        here.a.follow()
        await anyio.sleep(0.1)
        before = len(here.asked())
        await anyio.sleep(60)
        assert len(here.asked()) == before
        assert here.verifier.statistics().trials == ()


@virtual
async def test_after_the_link_has_changed_it_is_verified_anew_but_not_measured(segment: Segment) -> None:
    async with verifying(segment, VIP) as here:
        here.a.lead()
        await here.hold(5)
        (durations,) = here.verifier.statistics().durations.values()
        measured = durations.buckets()[-1]
        before = len(here.asked())
        here.a.host.links.set_up("eth0", False)
        await here.hold(1)
        here.a.host.links.set_up("eth0", True)
        await here.hold(5)
        assert len(here.asked()) > before
        assert here.state() is True
        assert durations.buckets()[-1] == measured


# Giving up


@virtual
async def test_a_node_that_nobody_answers_offers_its_lease_when_time_is_up(segment: Segment) -> None:
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(20)
        ((what, when, hold_back),) = here.campaigns.calls
        assert what == "offer"
        assert when == pytest.approx(10, abs=0.05)
        assert 2 <= hold_back < 3
        assert here.verifier.statistics().resignations == {LEASE: 1}


@virtual
async def test_a_lease_that_nobody_took_is_offered_again_with_growing_pauses(segment: Segment) -> None:
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:
        cut(segment, "gateway")
        here.a.lead()
        for _minute in range(30):
            await here.hold(60)
            # As it is when nobody else takes it.
            here.a.follow()
            here.a.lead()
        times = [when for what, when, _ in here.campaigns.calls if what == "offer"]
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert 3 <= len(pauses) <= 6
        assert all(after > 1.5 * before for before, after in itertools.pairwise(pauses))


@virtual
async def test_an_answer_at_last_ends_the_holding_back(segment: Segment) -> None:
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:
        cut(segment, "gateway")
        here.a.lead()
        await here.hold(20)
        # As it is when nobody else takes it.
        here.a.follow()
        here.a.lead()
        cut(segment)
        await here.hold(40)
        assert [(what, value) for what, _when, value in here.campaigns.calls][1:] == [("hold back", 0.0)]


@virtual
async def test_one_family_that_is_answered_vouches_for_the_interface(segment: Segment) -> None:
    async with verifying(segment, VIP, VIP6, given=("10.0.0.77",), verify=Verify.RESIGN) as here:
        here.a.lead()
        await here.hold(60)
        assert here.state(VIP) is False
        assert here.campaigns.calls == []


@virtual
async def test_the_silence_of_a_neighbour_is_no_reason_to_give_up(segment: Segment) -> None:
    async with verifying(segment, VIP, gateways=False, neighbours=(str(ABSENT),), verify=Verify.RESIGN) as here:
        here.a.lead()
        await here.hold(60)
        assert here.state() is False
        assert here.campaigns.calls == []
        found = await here.verifier._witnesses.find("eth0", Family.IPV4)
        assert found.source is Source.NEIGHBOURS


@virtual
async def test_what_was_heard_long_ago_does_not_vouch_for_the_interface(segment: Segment) -> None:
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:
        here.a.lead()
        await here.hold(100)
        cut(segment, "gateway")
        here.a.keeper.want(VIP6, LEASE)
        await here.hold(9)
        assert here.campaigns.calls == []
        await here.hold(11)
        assert [what for what, _when, _ in here.campaigns.calls] == ["offer"]
        assert here.state(VIP) is False


@virtual
async def test_what_still_answers_vouches_for_the_interface_though_it_was_heard_long_ago(segment: Segment) -> None:
    async with verifying(segment, VIP, verify=Verify.RESIGN) as here:
        here.a.lead()
        await here.hold(100)
        here.hood.routes["eth0"] = (GATEWAY[Family.IPV4], ipaddress.ip_address("fd00::77"))
        here.a.keeper.want(VIP6, LEASE)
        await here.hold(100)
        assert here.campaigns.calls == []
        assert (here.state(VIP), here.state(VIP6)) == (True, False)


@virtual
async def test_a_backend_that_is_stuck_does_not_keep_others_from_being_verified(segment: Segment) -> None:
    async with verifying(segment, VIP, VIP6) as here:

        async def stuck(*_arguments: object) -> bool:
            await anyio.sleep_forever()
            return True

        here.a.backends[Family.IPV4].inquire = stuck
        here.a.lead()
        await here.hold(15)
        assert here.state(VIP) is False
        assert here.state(VIP6) is True
