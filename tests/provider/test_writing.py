"""Writes that fail, or of which nobody knows the end, and news that come late or twice."""

import pytest

from tests.provider.desk import GLOBAL, Desk, key_of, serve
from tests.provider.server import Conflicted
from tests.provider.services import DUAL, ONLY_V4, ip, ips, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}
A, X = key_of("a"), ip("10.0.0.1")


def decided(data: dict[str, str] = GLOBAL) -> Desk:
    """A desk that has decided on a Service *a*, and written nothing."""
    desk = Desk(data)
    desk.create(service("a"))
    desk.see()
    desk.decide("a")
    return desk


# Failures


def test_what_certainly_failed_is_free_again() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=True)
    assert desk.accounts.holders(X) == ()


def test_what_may_have_been_written_is_in_use() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=False)
    assert desk.accounts.holders(X) == ("default/a",)


def test_tried_again_it_is_the_same_address() -> None:
    desk = decided()
    first = desk.decisions["a"]
    desk.accounts.failed(A, certainly=False)
    assert desk.decide("a") == first


def test_a_conflict_after_a_lost_answer_doesnt_free_what_the_first_write_may_have_written() -> None:
    desk = decided(ONE)
    desk.write(desk.decisions["a"])
    desk.accounts.failed(A, certainly=False)
    with pytest.raises(Conflicted):
        desk.write(desk.decide("a"))
    desk.accounts.failed(A, certainly=True)
    desk.accounts.applied(service("b"))
    other = desk.decide("b")
    assert other is not None
    assert other.addresses == ()


def test_seen_at_a_new_version_what_may_have_been_written_was_written_or_wasnt() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=False)
    desk.edit("a", type="ClusterIP")
    desk.see()
    assert desk.accounts.holders(X) == ()


def test_seen_at_the_same_version_it_may_come_yet() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=False)
    desk.accounts.applied(desk.service("a"), in_order=False)
    assert desk.accounts.holders(X) == ("default/a",)


def test_gone_it_cant_come_any_more() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=False)
    desk.accounts.deleted(A)
    assert desk.accounts.holders(X) == ()


def test_chosen_anew_what_may_have_been_written_stays_in_use() -> None:
    desk = decided()
    desk.accounts.failed(A, certainly=False)
    desk.configure({"range-global": "192.0.2.1-192.0.2.9"})
    decision = desk.decide("a")
    assert decision is not None
    assert decision.addresses == ips("192.0.2.1")
    assert desk.accounts.holders(X) == ("default/a",)
    desk.accounts.failed(A, certainly=False)
    desk.configure({"range-global": "10.0.0.9-10.0.0.9"})
    desk.decide("a")
    for address in ips("10.0.0.1,192.0.2.1,10.0.0.9"):
        assert desk.accounts.holders(address) == ("default/a",)


def test_a_failed_write_of_two_families_leaves_what_was_there() -> None:
    data = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}
    desk = serve(data, service("a", **ONLY_V4))
    desk.edit("a", **DUAL)
    desk.see()
    desk.decide("a")
    desk.accounts.failed(A, certainly=True)
    assert desk.accounts.holders(X) == ("default/a",)
    assert desk.accounts.holders(ip("fd00::1")) == ()


def test_a_write_for_an_older_version_fails_and_the_address_is_the_users_then() -> None:
    desk = decided()
    desk.edit("a", "10.0.0.3")
    with pytest.raises(Conflicted):
        desk.write(desk.decisions["a"])
    desk.accounts.failed(A, certainly=True)
    desk.work()
    assert desk.has("a") == "10.0.0.3"


def test_a_failed_removal_of_the_finalizer_is_tried_again() -> None:
    desk = serve(GLOBAL, "a")
    desk.delete("a")
    desk.see()
    first = desk.decide("a")
    desk.accounts.failed(A, certainly=True)
    assert desk.decide("a") == first


# News that come late


def test_an_answer_that_comes_after_newer_news_changes_nothing() -> None:
    desk = decided()
    written = desk.write(desk.decisions["a"])
    desk.edit("a", "10.0.0.3")
    desk.see()
    desk.accounts.wrote(written)
    assert desk.accounts.holders(X) == ("default/a",)  # in its spec
    assert desk.accounts.holders(ip("10.0.0.3")) == ("default/a",)


def test_an_answer_that_comes_after_the_end_changes_nothing() -> None:
    desk = decided()
    written = desk.write(desk.decisions["a"])
    desk.accounts.deleted(A)
    desk.accounts.wrote(written)
    assert desk.accounts.holders(X) == ()
    assert list(desk.accounts.keys) == []


def test_news_that_are_older_than_what_is_known_change_nothing_and_it_is_told() -> None:
    desk = serve(GLOBAL, "a")
    first, second = (facts for _, facts in desk.server.log)
    assert not desk.accounts.applied(first)
    assert desk.accounts.applied(second)
    assert desk.accounts.holders(X) == ("default/a",)


def test_what_is_unchanged_counts_as_news() -> None:
    desk = serve(GLOBAL, "a")
    assert desk.accounts.applied(desk.service("a"))
    assert desk.accounts.next_due() == A


def test_what_is_known_again_at_the_same_version_doesnt_lose_what_is_reserved() -> None:
    desk = Desk(ONE)
    desk.create(service("b", spec="10.0.0.1"))
    desk.see()
    desk.decide("b")
    desk.accounts.applied(desk.service("b"), in_order=False)
    desk.accounts.applied(service("a", spec="10.0.0.1"))
    late = desk.decide("a")
    assert late is not None
    assert late.waiting == "10.0.0.1 is in use by default/b"


def test_the_answer_to_the_last_write_of_a_deleted_service_frees_its_address_at_once() -> None:
    desk = serve(ONE, "a", "b")
    desk.delete("a")
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("a")))
    assert A not in desk.accounts.keys
    decision = desk.decide("b")
    assert decision is not None
    assert decision.addresses == (X,)


# Cooling down


def test_an_address_cools_down_after_a_deletion_and_then_serves_the_one_that_waits() -> None:
    desk = serve(ONE | {"cool-down": "60"}, "a", "b")
    desk.delete("a")
    desk.work()
    assert desk.has("b") == ""
    assert desk.accounts.look_again(desk.now) == 1060.0
    desk.now = 1059.0
    assert desk.accounts.look_again(desk.now) == 1060.0
    desk.work()
    assert desk.has("b") == ""
    desk.now = 1060.0
    desk.accounts.look_again(desk.now)
    desk.work()
    assert desk.has("b") == "10.0.0.1"


def test_an_address_cools_down_after_a_change_of_type_too() -> None:
    desk = serve(ONE | {"cool-down": "60"}, "a", "b")
    desk.edit("a", type="ClusterIP")
    desk.work()
    assert desk.has("b") == ""
    desk.now = 1060.0
    desk.accounts.look_again(desk.now)
    desk.work()
    assert desk.has("b") == "10.0.0.1"


def test_without_anything_that_time_changes_nobody_has_to_look_again() -> None:
    assert serve(ONE, "a", "b").accounts.look_again(1000.0) is None


def test_of_two_that_cool_down_the_second_is_waited_for_after_the_first() -> None:
    desk = serve({"range-global": "10.0.0.1-10.0.0.2", "cool-down": "60"}, "a", "b")
    desk.delete("a")
    desk.work()
    desk.now = 1010.0
    desk.delete("b")
    desk.work()
    assert [desk.accounts.look_again(now) for now in (1010.0, 1060.0, 1070.0)] == [1060.0, 1070.0, None]


def test_what_has_cooled_down_is_looked_at_once() -> None:
    desk = serve(ONE | {"cool-down": "60"}, "a", service("b", spec="224.0.0.1"))
    desk.delete("a")
    desk.work()
    desk.accounts.look_again(1060.0)
    assert desk.accounts.next_due() == key_of("b")
    desk.accounts.look_again(1061.0)
    assert desk.accounts.next_due() is None
