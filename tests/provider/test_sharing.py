"""Addresses that Services share, and those that another IPAM gives."""

import pytest

from kubevip.ipam import Pool, read
from kubevip.provision.accounts import Accounts
from kubevip.provision.decision import Decision
from kubevip.provision.verdict import Classes, Facts
from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.services import (
    DNS,
    DUAL,
    HTTP,
    HTTPS,
    ip,
    ips,
    note,
    recorded_as,
    service,
)

SHARED = {"range-global": "10.0.0.1-10.0.0.3", "allow-share-global": "true"}
EXTERNAL = {"source-global": "netbox prefix 7"}


# Sharing


def test_an_address_is_shared_by_those_whose_ports_are_others() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]), service("b", ports=[HTTPS]), service("c", ports=[HTTP]))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2"}
    assert desk.used("range-global") == 2


def test_it_is_free_when_the_last_of_them_is_gone() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]), service("b", ports=[HTTPS]))
    desk.delete("a")
    desk.serve(service("c", ports=[HTTPS, HTTP]))
    assert desk.has("c") == "10.0.0.2"
    desk.delete("b")
    desk.work()
    assert desk.accounts.holders(ip("10.0.0.1")) == ()


def test_a_user_may_write_an_address_that_can_be_shared() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]), service("b", ports=[HTTPS], spec="10.0.0.1"))
    assert desk.has("b") == "10.0.0.1"
    desk.serve(service("c", ports=[DNS, HTTP], spec="10.0.0.1"))
    assert desk.waiting("c") == "10.0.0.1 is in use by default/a, default/b"


def test_ports_that_come_to_clash_are_told_and_nothing_is_changed() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]), service("b", ports=[HTTPS]))
    desk.edit("b", ports=frozenset([HTTP]))
    desk.work()
    assert desk.has("b") == "10.0.0.1"
    assert desk.told("b") == "10.0.0.1 is in use by default/a; nothing is changed"


def test_who_was_about_to_share_and_gets_other_ports_gets_another_address() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]))
    desk.create(service("b", ports=[HTTPS]))
    desk.see()
    first = desk.decide("b")
    assert first is not None
    assert first.addresses == ips("10.0.0.1")
    desk.accounts.failed(key_of("b"), certainly=False)
    desk.edit("b", ports=frozenset([HTTP]))
    desk.work()
    assert desk.has("b") == "10.0.0.2"


def test_nobody_loses_a_shared_address_when_sharing_ends() -> None:
    desk = serve(SHARED, service("a", ports=[HTTP]), service("b", ports=[HTTPS]))
    desk.configure(GLOBAL)
    desk.serve(service("c", ports=[DNS]))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.1", "c": "10.0.0.2"}


# Pools of other IPAMs


def asking(desk: Desk, name: str) -> Decision:
    desk.see()
    decision = desk.decide(name)
    assert decision is not None
    return decision


def external() -> Pool:
    return read(EXTERNAL).pools["source-global"]


def test_a_pool_of_another_ipam_has_to_be_asked() -> None:
    desk = Desk(EXTERNAL)
    desk.create(service("a"))
    decision = asking(desk, "a")
    assert decision.source == external()
    assert (decision.edits, decision.waiting) == (decision.edits, "asking netbox")
    assert not decision.edits


def test_what_it_gives_is_written() -> None:
    desk = Desk(EXTERNAL)
    desk.create(service("a"))
    asking(desk, "a")
    assert desk.accounts.granted(key_of("a"), external(), ips("192.0.2.1")) == ()
    desk.work()
    assert desk.has("a") == "192.0.2.1"
    assert note(desk.service("a")) == "source-global 192.0.2.1"
    assert list(desk.accounts.present(external())) == [("default/a", ips("192.0.2.1"))]


def test_what_it_gives_is_reserved_from_then_on() -> None:
    desk = Desk({**EXTERNAL, "range-web": "192.0.2.1-192.0.2.2"})
    desk.create(service("a"), service("web/b"))
    asking(desk, "a")
    desk.accounts.granted(key_of("a"), external(), ips("192.0.2.1"))
    assert asking(desk, "web/b").addresses == ips("192.0.2.2")


@pytest.mark.parametrize("holder", [service("b", spec="192.0.2.1"), recorded_as("source-global", "192.0.2.1", "b")])
def test_what_somebody_has_isnt_taken_from_it(holder: Facts) -> None:
    desk = serve(EXTERNAL, holder)
    desk.create(service("a"))
    asking(desk, "a")
    assert desk.accounts.granted(key_of("a"), external(), ips("192.0.2.1,192.0.2.7")) == ips("192.0.2.1")
    assert asking(desk, "a").source == external()
    assert desk.accounts.holders(ip("192.0.2.7")) == ()


def test_nor_what_a_user_has_written_and_hasnt_got_yet() -> None:
    desk = Desk(EXTERNAL)
    desk.create(service("a"), service("z", spec="192.0.2.1"))
    asking(desk, "a")
    assert desk.accounts.granted(key_of("a"), external(), ips("192.0.2.1")) == ips("192.0.2.1")


def test_what_is_given_to_one_that_is_gone_is_nobodys() -> None:
    accounts = Accounts(Classes())
    accounts.configure(read(EXTERNAL))
    assert accounts.granted(key_of("a"), external(), ips("192.0.2.1")) == ()
    assert accounts.holders(ip("192.0.2.1")) == ()


def test_the_pool_that_a_record_names_is_found() -> None:
    desk = Desk({**EXTERNAL, **GLOBAL})
    named = [desk.accounts.pool_named(recorded_as(origin, "10.0.0.1")) for origin in ("source-global", "range-global")]
    assert named == [external(), None]
    assert desk.accounts.pool_named(service()) is None


def test_a_second_family_of_another_ipam_is_asked_for() -> None:
    desk = serve(EXTERNAL, recorded_as("source-global", "192.0.2.1", "a", **DUAL))
    assert asking(desk, "a").source == external()
    desk.accounts.granted(key_of("a"), external(), ips("192.0.2.1,2001:db8::1"))
    desk.work()
    assert desk.has("a") == "192.0.2.1,2001:db8::1"
