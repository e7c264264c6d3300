"""What is written into Services: nothing that is there already, and nothing that is a user's own."""

import itertools

import attrs
import pytest

from kubevip.provision.edits import Edits, claiming, clearing, settling, unclaiming, withdrawing
from kubevip.provision.replan import written
from kubevip.provision.verdict import (
    CLAIM,
    FINALIZER,
    LABEL,
    LABELLED,
    OLD_LABEL,
    RECORD,
    Classes,
    Facts,
    Foreign,
    Has,
    Lacks,
    Origin,
    examine,
)
from kubevip.service import ADDRESSES, INTERFACE
from tests.provider.services import ips, labelled, recorded_as, service

POOL = "range-global"
ONE, BOTH = ips("10.0.0.1"), ips("10.0.0.1,fd00::1")


def settled(facts: Facts, listed: str = "10.0.0.1", origin: str = POOL, interface: str = "") -> Facts:
    return written(facts, settling(facts, ips(listed), origin, interface))


def cleared(facts: Facts) -> Facts:
    return written(facts, clearing(facts))


# Settling


def test_all_that_kube_vip_and_its_cloud_provider_look_for_is_written() -> None:
    facts = settled(service(), "10.0.0.1,fd00::1")
    assert facts.annotations == {ADDRESSES: "10.0.0.1,fd00::1", RECORD: f"{POOL} 10.0.0.1,fd00::1"}
    assert facts.load_balancer_ip == "10.0.0.1"
    assert facts.labels == {LABEL: LABELLED}
    assert facts.finalizers == (FINALIZER,)


def test_the_first_of_the_families_goes_into_the_spec() -> None:
    assert settled(service(), "fd00::1,10.0.0.1").load_balancer_ip == "fd00::1"


@pytest.mark.parametrize("origin", [POOL, Origin.ANNOTATION, Origin.SPEC])
def test_what_was_settled_has_it_and_needs_no_edit(origin: str) -> None:
    facts = settled(service(annotations={"mine": "x"}, labels={"tier": "web"}), "10.0.0.1,fd00::1", origin)
    assert examine(facts, Classes()) == Has(BOTH, origin, settled=True)
    assert not settling(facts, BOTH, origin)


def test_others_annotations_labels_and_finalizers_stay() -> None:
    facts = settled(service(annotations={"mine": "x"}, labels={"tier": "web"}, finalizers=("example.com/x",)))
    assert facts.annotations["mine"] == "x"
    assert facts.labels["tier"] == "web"
    assert facts.finalizers == ("example.com/x", FINALIZER)


def test_no_more_is_written_than_what_is_missing() -> None:
    edits = settling(labelled(text="10.0.0.1"), ONE, POOL)
    assert edits == Edits(annotations={RECORD: f"{POOL} 10.0.0.1"})


def test_a_users_edit_is_taken_over_in_the_other_place() -> None:
    facts = settled(recorded_as(POOL, "10.0.0.1", spec="10.0.0.9"), "10.0.0.9", Origin.SPEC)
    assert facts.annotations[ADDRESSES] == "10.0.0.9"
    assert examine(facts, Classes()) == Has(ips("10.0.0.9"), Origin.SPEC, settled=True)


def test_the_interface_of_the_pool_is_written() -> None:
    assert settled(service(), interface="eth1").annotations[INTERFACE] == "eth1"


@pytest.mark.parametrize("own", ["eth7", ""])
def test_a_users_interface_stays(own: str) -> None:
    assert settled(service(annotations={INTERFACE: own}), interface="eth1").annotations[INTERFACE] == own


def test_no_interface_is_none() -> None:
    assert INTERFACE not in settled(service()).annotations


def test_the_label_of_old_versions_goes() -> None:
    assert OLD_LABEL not in settled(service(labels={OLD_LABEL: "10.0.0.1"})).labels


def test_the_claim_goes() -> None:
    assert CLAIM not in settled(service(annotations={CLAIM: "me 10.0.0.1"})).annotations


# Claiming


def test_a_claim_is_seen_by_providers_alone() -> None:
    facts = service()
    claimed = written(facts, claiming(facts, BOTH, "me"))
    assert claimed == attrs.evolve(facts, annotations={CLAIM: "me 10.0.0.1,fd00::1"})


def test_the_same_claim_isnt_written_twice() -> None:
    facts = written(service(), claiming(service(), ONE, "me"))
    assert not claiming(facts, ONE, "me")
    assert claiming(facts, ONE, "you")


def test_it_is_taken_back_without_a_trace() -> None:
    claimed = written(service(), claiming(service(), ONE, "me"))
    assert written(claimed, unclaiming(claimed)) == service()
    assert not unclaiming(service())


# Clearing, after the type has changed


def test_of_what_came_from_a_pool_nothing_is_left() -> None:
    facts = cleared(recorded_as(POOL, "10.0.0.1,fd00::1", type="ClusterIP"))
    assert facts == service(type="ClusterIP")


def test_of_what_kube_vip_cloud_provider_gave_nothing_is_left() -> None:
    assert cleared(labelled(text="10.0.0.1", type="ClusterIP")) == service(type="ClusterIP")


def test_the_status_goes_with_the_type() -> None:
    assert cleared(recorded_as(POOL, "10.0.0.1", type="NodePort", ingress=("10.0.0.1",))).ingress == ()


def test_what_a_user_wrote_into_the_annotation_stays_there_alone() -> None:
    facts = cleared(recorded_as(Origin.ANNOTATION, "10.0.0.1,fd00::1", type="ClusterIP"))
    assert facts == service(text="10.0.0.1,fd00::1", type="ClusterIP")


def test_what_a_user_wrote_into_the_spec_stays_there_alone() -> None:
    facts = cleared(recorded_as(Origin.SPEC, "10.0.0.1", type="ClusterIP"))
    assert facts == service(spec="10.0.0.1", type="ClusterIP")


def test_what_a_user_wrote_together_with_the_type_stays() -> None:
    facts = cleared(recorded_as(POOL, "10.0.0.1", text="10.0.0.9", type="ClusterIP"))
    assert facts == service(text="10.0.0.9", type="ClusterIP")
    facts = cleared(recorded_as(POOL, "10.0.0.1", spec="10.0.0.9", type="ClusterIP"))
    assert facts == service(spec="10.0.0.9", type="ClusterIP")


def test_others_marks_and_finalizers_stay() -> None:
    facts = recorded_as(
        POOL,
        "10.0.0.1",
        type="ClusterIP",
        annotations={"mine": "x"},
        labels={LABEL: "somebody-elses", "tier": "web"},
        finalizers=("example.com/x", FINALIZER),
    )
    after = cleared(facts)
    assert after.annotations == {"mine": "x"}
    assert after.labels == {LABEL: "somebody-elses", "tier": "web"}
    assert after.finalizers == ("example.com/x",)


def test_what_was_cleared_is_foreign_and_needs_no_edit() -> None:
    origins = (POOL, Origin.ANNOTATION, Origin.SPEC)
    edits = ({}, {"text": "10.0.0.9"}, {"text": None}, {"spec": ""}, {"spec": "10.0.0.9"}, {"labels": {}})
    for origin, edit in itertools.product(origins, edits):
        facts = cleared(recorded_as(origin, "10.0.0.1", type="ClusterIP", ingress=("10.0.0.1",), **edit))
        assert examine(facts, Classes()) == Foreign()
        assert not clearing(facts)


def test_as_a_load_balancer_again_it_gets_an_address_as_one_that_is_new() -> None:
    facts = attrs.evolve(cleared(recorded_as(POOL, "10.0.0.1", type="ClusterIP")), type="LoadBalancer")
    assert examine(facts, Classes()) == Lacks()


def test_as_a_load_balancer_again_it_has_what_its_user_wrote() -> None:
    facts = attrs.evolve(cleared(recorded_as(Origin.SPEC, "10.0.0.1", type="ClusterIP")), type="LoadBalancer")
    assert examine(facts, Classes()) == Has(ONE, Origin.SPEC, settled=False)


# Being deleted


def test_the_finalizer_goes_and_nothing_else() -> None:
    facts = recorded_as(POOL, "10.0.0.1", deleting=True, ingress=("10.0.0.1",))
    assert clearing(facts) == Edits(finalizer=False)


def test_somebody_elses_finalizer_stays() -> None:
    facts = recorded_as(POOL, "10.0.0.1", deleting=True, finalizers=("a", FINALIZER, "b"))
    assert cleared(facts).finalizers == ("a", "b")


def test_without_the_finalizer_there_is_nothing_to_do() -> None:
    assert not clearing(recorded_as(POOL, "10.0.0.1", deleting=True, finalizers=("a",)))


# Withdrawing: it is to have another address, and there is none


@pytest.mark.parametrize(
    "facts",
    [
        recorded_as(Origin.ANNOTATION, "10.0.0.1", text=None),
        recorded_as(Origin.SPEC, "10.0.0.1", spec=""),
        recorded_as(POOL, "10.0.0.1", text=None, spec=""),
    ],
)
def test_nothing_says_any_more_that_it_has_one(facts: Facts) -> None:
    after = written(facts, withdrawing(facts))
    assert after == service(finalizers=(FINALIZER,))
    assert examine(after, Classes()) == Lacks()
    assert not withdrawing(after)


def test_a_claim_goes() -> None:
    facts = service(annotations={CLAIM: "me 10.0.0.1"})
    assert written(facts, withdrawing(facts)) == service()


def test_one_that_has_never_had_any_is_left_alone() -> None:
    assert not withdrawing(service(text=" ", annotations={"mine": "x"}, labels={"tier": "web"}))


def test_edits_of_nothing_are_false_and_any_is_true() -> None:
    assert not Edits()
    some = (
        {"annotations": {"x": None}},
        {"labels": {"x": "y"}},
        {"load_balancer_ip": ""},
        {"finalizer": False},
        {"clear_ingress": True},
    )
    assert all(Edits(**each) for each in some)
