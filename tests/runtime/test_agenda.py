"""The agenda of a keeper: what has changed doesn't wait for thousands of renewals."""

from ipaddress import IPv4Address

from kubevip.model import Vip
from kubevip.runtime.agenda import LOT, Agenda

VIPS = [Vip(IPv4Address("10.0.0.0") + number, "eth0") for number in range(3 * LOT)]
NEW = Vip(IPv4Address("10.9.0.1"), "eth0")


def test_few_are_all_looked_at_together() -> None:
    agenda = Agenda(lambda _vip: True)
    agenda.add(VIPS[:LOT])
    assert agenda.take() == set(VIPS[:LOT])
    assert agenda.take() == set()


def test_renewals_come_lot_by_lot_and_each_once() -> None:
    agenda = Agenda(lambda _vip: True)
    agenda.add(VIPS)
    lots = [agenda.take() for _ in range(4)]
    assert [len(lot) for lot in lots] == [LOT, LOT, LOT, 0]
    assert set().union(*lots) == set(VIPS)


def test_what_is_new_goes_before_the_renewals_that_are_left() -> None:
    agenda = Agenda(lambda vip: vip is not NEW)
    agenda.add(VIPS)
    agenda.take()
    agenda.add([NEW])
    assert NEW in agenda.take()


def test_all_that_is_more_than_a_renewal_is_looked_at_at_once() -> None:
    agenda = Agenda(lambda _vip: False)
    agenda.add(VIPS)
    assert agenda.take() == set(VIPS)


def test_a_renewal_that_has_become_more_is_looked_at_at_once() -> None:
    held = set(VIPS)
    agenda = Agenda(lambda vip: vip in held)
    agenda.add(VIPS)
    rest = held - agenda.take()
    held.clear()
    agenda.add(rest)
    assert agenda.take() == rest


async def test_who_waits_goes_on_while_something_is_left() -> None:
    agenda = Agenda(lambda _vip: True)
    agenda.add(VIPS)
    agenda.clear()
    agenda.take()
    await agenda.wait()
