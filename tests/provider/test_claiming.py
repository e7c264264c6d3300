"""Providers beside each other: an address is claimed first, and whose claim was first counts for all."""

import attrs
import pytest

from kubevip.provision.accounts import Accounts
from kubevip.provision.ledger import CLAIM_PATIENCE
from kubevip.provision.replan import written
from kubevip.provision.verdict import CLAIM, RECORD, Classes
from tests.provider.desk import GLOBAL, Desk, key_of
from tests.provider.services import DUAL, ONLY_V4, PREFERS_DUAL, ip, labelled, service

ONE = {"range-global": "10.0.0.1-10.0.0.1"}
A, X = key_of("a"), ip("10.0.0.1")


class Rivals:
    """Two providers on one server that both are told of everything in order, when they ask."""

    def __init__(self, data: dict[str, str] = GLOBAL) -> None:
        self.one = Desk(data, identity="one")
        self.two = Desk(data, identity="two", server=self.one.server)


def test_beside_others_an_address_is_claimed_first_and_counts_when_the_claim_is_seen() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    claim = desk.decide("a")
    assert claim is not None
    assert claim.edits.annotations == {CLAIM: "one 10.0.0.1"}
    assert (claim.addresses, claim.waiting) == ((), "claiming an address")
    desk.accounts.wrote(desk.write(claim))
    unseen = desk.decide("a")
    assert unseen is not None
    assert unseen.addresses == ()
    desk.see()
    served = desk.decide("a")
    assert served is not None
    assert served.addresses == (X,)
    assert written(served.facts, served.edits).annotations.keys() == {"kube-vip.io/loadbalancerIPs", RECORD}


def test_each_service_takes_two_writes() -> None:
    desk = Rivals().one
    desk.serve(service("a"), service("b"))
    assert desk.all() == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert desk.writes == 4


def claim_the_same(rivals: Rivals) -> None:
    """*one* claims an address for *a*, and *two*, which hasn't seen that, the same for *b*."""
    rivals.one.create(service("a"), service("b"))
    rivals.one.see()
    rivals.two.see()
    claims = [rivals.one.decide("a"), rivals.two.decide("b")]
    for desk, claim in zip((rivals.one, rivals.two), claims, strict=True):
        desk.accounts.wrote(desk.write(claim))


@pytest.mark.parametrize("first", ["one", "two"])
def test_of_two_claims_of_one_address_the_first_in_the_log_counts_whoever_sees_them_first(first: str) -> None:
    rivals = Rivals()
    claim_the_same(rivals)
    desks = (rivals.one, rivals.two) if first == "one" else (rivals.two, rivals.one)
    for desk in desks:
        desk.see()
    a, b = rivals.one.decide("a"), rivals.two.decide("b")
    assert a is not None
    assert b is not None
    assert a.addresses == (X,)
    assert b.edits.annotations == {CLAIM: "two 10.0.0.2"}


def test_a_list_doesnt_say_which_claim_was_first() -> None:
    rivals = Rivals()
    claim_the_same(rivals)
    for facts in rivals.one.server.objects.values():
        rivals.one.accounts.applied(facts, in_order=False)
        early = rivals.one.decide("a")
        assert early is not None
        assert early.addresses == ()
    rivals.one.accounts.listed()
    decision = rivals.one.decide("a")
    assert decision is not None
    assert decision.edits.annotations == {CLAIM: "one 10.0.0.2"}


def test_after_a_list_a_claim_counts_that_nobody_else_has_made() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("a")))
    desk.accounts.applied(desk.service("a"), in_order=False)
    desk.accounts.listed()
    decision = desk.decide("a")
    assert decision is not None
    assert decision.addresses == (X,)


def test_a_claim_that_was_read_ahead_of_the_watch_doesnt_count_yet() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    desk.write(desk.decide("a"))
    desk.accounts.failed(A, certainly=False)
    desk.accounts.applied(desk.service("a"), in_order=False)
    early = desk.decide("a")
    assert early is not None
    assert (early.addresses, bool(early.edits)) == ((), False)
    desk.work()
    assert desk.has("a") == "10.0.0.1"


def test_a_users_address_that_was_there_before_the_claim_counts_whatever_its_name() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    claim = desk.decide("a")
    desk.create(service("z", spec="10.0.0.1"))
    desk.accounts.wrote(desk.write(claim))
    desk.work()
    assert desk.all() == {"a": "10.0.0.2", "z": "10.0.0.1"}


def test_a_users_address_that_comes_after_the_claim_is_refused() -> None:
    desk = Rivals().one
    desk.create(service("z"))
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("z")))
    desk.create(service("a", spec="10.0.0.1"))
    desk.work()
    assert desk.has("z") == "10.0.0.1"
    assert desk.waiting("a") == "10.0.0.1 is in use by default/z"


def test_a_claim_that_its_user_has_removed_counts_no_more() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("a")))
    desk.see()
    desk.edit("a", annotations={})
    desk.see()
    decision = desk.decide("a")
    assert decision is not None
    assert decision.edits.annotations == {CLAIM: "one 10.0.0.1"}


def test_a_claim_survives_an_edit_that_has_nothing_to_do_with_it() -> None:
    desk = Rivals().one
    desk.create(service("a"))
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("a")))
    desk.edit("a", labels={"tier": "web"})
    desk.see()
    decision = desk.decide("a")
    assert decision is not None
    assert decision.addresses == (X,)


def test_a_service_that_another_one_has_claimed_for_is_left_to_it_for_a_while() -> None:
    rivals = Rivals()
    rivals.one.create(service("a"))
    rivals.one.see()
    rivals.one.accounts.wrote(rivals.one.write(rivals.one.decide("a")))
    rivals.two.work()
    assert rivals.two.waiting("a") == "another provider is about to give it an address"
    assert rivals.two.accounts.look_again(1000.0) == 1000.0 + CLAIM_PATIENCE
    rivals.two.now = 1000.0 + CLAIM_PATIENCE
    rivals.two.accounts.look_again(rivals.two.now)
    rivals.two.work()
    assert rivals.two.has("a") == "10.0.0.1"


def test_whose_claim_was_taken_over_starts_anew() -> None:
    rivals = Rivals()
    rivals.one.create(service("a"))
    rivals.one.see()
    rivals.one.accounts.wrote(rivals.one.write(rivals.one.decide("a")))
    rivals.one.see()
    facts = rivals.one.service("a")
    rivals.one.server.update(attrs.evolve(facts, annotations={CLAIM: "two 10.0.0.2"}), facts.version)
    rivals.one.see()
    decision = rivals.one.decide("a")
    assert decision is not None
    assert decision.waiting == "another provider is about to give it an address"
    assert rivals.one.accounts.holders(X) == ()


@pytest.mark.parametrize("identity", ["one", "two"])
def test_a_claim_that_is_left_over_doesnt_stand_in_its_own_services_way(identity: str) -> None:
    desk = Desk(ONE, identity=identity)
    desk.create(service("a", annotations={CLAIM: "one 10.0.0.1"}))
    desk.work()
    desk.now += CLAIM_PATIENCE
    desk.accounts.look_again(desk.now)
    desk.work()
    assert desk.has("a") == "10.0.0.1"


def test_a_claim_that_came_to_nothing_is_taken_back() -> None:
    desk = Desk(ONE, identity="one")
    desk.create(service("a", annotations={CLAIM: "one 10.0.0.9"}), service("b", spec="10.0.0.1"))
    desk.work()
    assert CLAIM not in desk.service("a").annotations
    assert desk.accounts.holders(ip("10.0.0.9")) == ()


@pytest.mark.parametrize("wrong", [{"text": "rubbish"}, {"spec": "10.0.0.1"}])
def test_a_claim_of_one_that_is_refused_is_taken_back(wrong: dict[str, str]) -> None:
    desk = Desk(ONE, identity="one")
    desk.create(service("b", text="10.0.0.1"))
    desk.work()
    desk.create(service("c", annotations={CLAIM: "one 10.0.0.9"}, **wrong))
    desk.work()
    assert CLAIM not in desk.service("c").annotations


def test_a_second_family_that_another_one_claims_is_left_to_it() -> None:
    data = {"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}
    rivals = Rivals(data)
    rivals.one.create(service("a", **ONLY_V4))
    rivals.one.work()
    rivals.one.edit("a", **DUAL)
    rivals.one.see()
    rivals.one.accounts.wrote(rivals.one.write(rivals.one.decide("a")))
    rivals.two.work()
    assert rivals.two.writes == 0
    rivals.one.work()
    assert rivals.one.has("a") == "10.0.0.1,fd00::1"


def test_a_provider_that_is_gone_without_a_claim_leaves_nothing_behind() -> None:
    accounts = Accounts(Classes(), identity="one")
    accounts.applied(service("a"))
    accounts.listed()
    accounts.deleted(A)
    accounts.listed()
    assert list(accounts.keys) == []


def test_an_address_that_somebody_has_by_now_isnt_claimed_once_more() -> None:
    desk = Desk(identity="one")
    desk.create(service("a"))
    desk.see()
    desk.decide("a")
    desk.accounts.failed(A, certainly=False)
    desk.create(service("b", spec="10.0.0.1"))
    desk.see()
    again = desk.decide("a")
    assert again is not None
    assert again.edits.annotations == {CLAIM: "one 10.0.0.2"}


def test_a_claim_of_two_families_isnt_used_when_one_is_asked_for() -> None:
    desk = Desk({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}, identity="one")
    desk.create(service("a", **DUAL))
    desk.see()
    desk.accounts.wrote(desk.write(desk.decide("a")))
    desk.edit("a", **ONLY_V4)
    desk.see()
    decision = desk.decide("a")
    assert decision is not None
    assert decision.edits.annotations == {CLAIM: "one 10.0.0.1"}


def test_an_address_that_two_have_already_doesnt_keep_one_from_a_second_family() -> None:
    desk = Desk({"range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::3"}, identity="one")
    desk.create(labelled("a", "10.0.0.1", **PREFERS_DUAL), labelled("b", "10.0.0.1"))
    desk.work()
    assert desk.has("a") == "10.0.0.1,fd00::1"


def test_a_claim_that_came_to_nothing_is_looked_at_once() -> None:
    desk = Desk(identity="one")
    desk.create(
        service("a", annotations={CLAIM: "two 10.0.0.1"}, load_balancer_class="x"), service("b", spec="rubbish")
    )
    desk.work()
    desk.accounts.look_again(1000.0 + CLAIM_PATIENCE)
    assert desk.accounts.next_due() == A
    assert desk.accounts.next_due() is None
    assert desk.accounts.look_again(1001.0 + CLAIM_PATIENCE) is None
    assert desk.accounts.next_due() is None
