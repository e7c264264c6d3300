"""The agenda of a keeper: nothing that has changed waits for thousands of others."""

from ipaddress import IPv4Address

import attrs

from kubevip.model import Vip
from kubevip.runtime.agenda import ARRIVALS, FEW, RENEWALS, Agenda

VIPS = [Vip(IPv4Address("10.0.0.0") + number, "eth0") for number in range(3 * RENEWALS)]
NEW = Vip(IPv4Address("10.9.0.1"), "eth0")


@attrs.define(eq=False)
class Links:
    """What is held, and what is wanted."""

    held: set[Vip] = attrs.field(factory=set)
    wanted: set[Vip] = attrs.field(factory=set)

    def agenda(self) -> Agenda:
        return Agenda(lambda vips: vips & self.held & self.wanted, lambda vips: vips & (self.wanted - self.held))


def renewals(*more: Vip) -> tuple[Links, Agenda]:
    links = Links(held=set(VIPS), wanted={*VIPS, *more})
    agenda = links.agenda()
    agenda.add(VIPS)
    return links, agenda


def test_few_are_all_looked_at_together() -> None:
    agenda = Links(held=set(VIPS), wanted=set(VIPS)).agenda()
    agenda.add(VIPS[:ARRIVALS])
    assert agenda.take() == set(VIPS[:ARRIVALS])
    assert agenda.take() == set()


def test_renewals_come_lot_by_lot_and_each_once() -> None:
    _links, agenda = renewals()
    lots = [agenda.take() for _ in range(4)]
    assert [len(lot) for lot in lots] == [RENEWALS, RENEWALS, RENEWALS, 0]
    assert set().union(*lots) == set(VIPS)


def test_what_is_new_does_not_wait_for_the_renewals_that_are_left() -> None:
    _links, agenda = renewals(NEW)
    agenda.take()
    agenda.add([NEW])
    assert NEW in agenda.take()


def test_renewals_do_not_wait_for_all_that_is_new() -> None:
    links = Links(wanted=set(VIPS))
    agenda = links.agenda()
    agenda.add(VIPS)
    links.held = agenda.take()
    assert len(links.held) == ARRIVALS
    agenda.add(links.held)
    assert links.held < agenda.take()


def test_who_is_late_with_renewals_takes_few_that_are_new() -> None:
    more = [Vip(IPv4Address("10.9.0.0") + number, "eth0") for number in range(ARRIVALS)]
    _links, agenda = renewals(*more)
    agenda.add(more)
    assert len(agenda.take()) == RENEWALS + FEW


def test_all_that_is_not_wanted_any_more_is_looked_at_at_once() -> None:
    agenda = Links(held=set(VIPS)).agenda()
    agenda.add(VIPS)
    assert agenda.take() == set(VIPS)


def test_a_renewal_that_is_not_wanted_any_more_is_looked_at_at_once() -> None:
    links, agenda = renewals()
    rest = set(VIPS) - agenda.take()
    links.wanted.clear()
    agenda.add(rest)
    assert agenda.take() == rest


async def test_who_waits_goes_on_while_something_is_left() -> None:
    _links, agenda = renewals()
    agenda.clear()
    agenda.take()
    await agenda.wait()
