"""Which Lease governs an address where Services have Leases of their own."""

import ipaddress
import random
from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.claims import Changes, Claims
from kubevip.governance import OfPrimary, Rules, own_lease
from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip
from kubevip.service import FORCE_ELECTION, LEASE_NAME, ServiceView, TrafficPolicy

CP, SVCS = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
A, B, C = (ipaddress.ip_address(text) for text in ("10.0.0.1", "10.0.0.2", "fd00::1"))
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def view(
    name: str = "web",
    *,
    annotations: Mapping[str, str] | None = None,
    created: str = EARLY,
    policy: TrafficPolicy = TrafficPolicy.CLUSTER,
    namespace: str = "shop",
) -> ServiceView:
    return ServiceView(key=ServiceKey(namespace, name), annotations=annotations or {}, created=created, policy=policy)


def rules(*, every: bool = True, control_plane: Mapping[IPAddress, LeaseKey] | None = None) -> Rules:
    return Rules(common=SVCS, every=every, control_plane=control_plane or {})


def of_primary() -> OfPrimary:
    return OfPrimary(rules(control_plane={C: CP}))


def ask(governance: OfPrimary, found: ServiceView, *addresses: IPAddress) -> set[IPAddress]:
    return set(governance.asks(found.key, found, [Vip(address, "eth0") for address in addresses]))


# The Lease of a Service


def test_the_lease_of_a_service_has_kube_vips_name_in_its_namespace() -> None:
    assert rules().lease(view()) == LeaseKey("shop", "kubevip-web")


def test_a_named_lease_is_in_the_services_namespace() -> None:
    assert rules().lease(view(annotations={LEASE_NAME: "ours"})) == LeaseKey("shop", "ours")


def test_a_named_lease_may_be_in_another_namespace() -> None:
    assert rules().lease(view(annotations={LEASE_NAME: "infra/ours"})) == LeaseKey("infra", "ours")


def test_an_empty_name_is_none() -> None:
    assert rules().lease(view(annotations={LEASE_NAME: " "})) == own_lease(ServiceKey("shop", "web"))


def test_on_demand_only_annotated_services_have_their_own() -> None:
    assert rules(every=False).lease(view()) == SVCS
    assert rules(every=False).lease(view(annotations={FORCE_ELECTION: "true"})) == LeaseKey("shop", "kubevip-web")


def test_on_demand_a_name_counts_only_for_annotated_services() -> None:
    assert rules(every=False).lease(view(annotations={LEASE_NAME: "ours"})) == SVCS
    assert rules(every=False).lease(view(annotations={LEASE_NAME: "ours", FORCE_ELECTION: "true"})).name == "ours"


@pytest.mark.parametrize("text", ["Ours", "a/b/c", "/x", "a b", "-x", "x/", "UP/x", "x" * 254])
def test_a_name_that_no_lease_can_have_is_objected_to_with_what_is_right(text: str) -> None:
    told = rules().objection(view(annotations={LEASE_NAME: text}))
    assert text in told
    assert "write name, or namespace/name" in told


def test_a_shared_lease_needs_the_policy_cluster() -> None:
    told = rules().objection(view(annotations={LEASE_NAME: "ours"}, policy=TrafficPolicy.LOCAL))
    assert "needs externalTrafficPolicy Cluster, and it is Local" in told


def test_a_service_with_its_own_lease_may_be_local() -> None:
    assert rules().objection(view(policy=TrafficPolicy.LOCAL)) == ""


def test_on_demand_nobody_objects_to_the_name_in_a_service_that_is_not_annotated() -> None:
    found = view(annotations={LEASE_NAME: "ours"}, policy=TrafficPolicy.LOCAL)
    assert rules(every=False).objection(found) == ""


# The Lease of an address


def test_the_oldest_user_of_an_address_is_its_primary() -> None:
    governance = of_primary()
    ask(governance, view("new", created=LATE), A)
    assert ask(governance, view("old"), A) == {A}
    assert governance.lease(A) == LeaseKey("shop", "kubevip-old")


def test_of_two_of_the_same_age_the_first_by_name_is_the_primary() -> None:
    governance = of_primary()
    ask(governance, view("b"), A)
    ask(governance, view("a"), A)
    assert governance.lease(A) == LeaseKey("shop", "kubevip-a")


def test_a_younger_user_changes_nothing() -> None:
    governance = of_primary()
    ask(governance, view("old"), A)
    assert ask(governance, view("new", created=LATE), A, B) == {B}


def test_when_the_primary_goes_the_next_one_governs() -> None:
    governance = of_primary()
    old, new = view("old"), view("new", created=LATE)
    ask(governance, old, A)
    ask(governance, new, A)
    assert set(governance.asks(old.key, None, ())) == {A}
    assert governance.lease(A) == LeaseKey("shop", "kubevip-new")


def test_an_annotation_changes_the_lease_of_the_primarys_addresses() -> None:
    governance = of_primary()
    ask(governance, view(), A, B)
    assert ask(governance, view(annotations={LEASE_NAME: "ours"}), A, B) == {A, B}
    assert governance.lease(B) == LeaseKey("shop", "ours")


def test_the_control_plane_goes_before_all_services() -> None:
    governance = of_primary()
    assert ask(governance, view(), C) == set()
    assert governance.lease(C) == CP


def test_an_address_that_nobody_asks_for_has_no_lease() -> None:
    governance = of_primary()
    ask(governance, view(), A)
    ask(governance, view())
    assert governance.lease(A) is None


# Whatever comes and goes

NAMES = ("a", "b", "c", "d")
ADDRESSES = (A, B, C)


@attrs.frozen
class Step:
    """One thing that happens to a Service: it asks for some addresses, under a name or not; or it is gone."""

    name: str
    addresses: frozenset[IPAddress]
    shared: bool
    served: bool


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(NAMES),
        st.frozensets(st.sampled_from(ADDRESSES)),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
)


def created(name: str) -> str:
    return LATE if name in ("a", "c") else EARLY


def seen(step: Step) -> ServiceView:
    return view(step.name, created=created(step.name), annotations={LEASE_NAME: "ours"} if step.shared else {})


@given(steps, st.randoms(use_true_random=False))
def test_all_who_know_the_same_agree_whatever_they_saw_on_the_way(history: list[Step], chance: random.Random) -> None:
    one, other = of_primary(), of_primary()
    for step in history:
        ask(one, seen(step), *step.addresses)
    last = list({step.name: step for step in history}.values())
    chance.shuffle(last)
    for step in last:
        ask(other, seen(step), *step.addresses)
    assert [one.lease(each) for each in ADDRESSES] == [other.lease(each) for each in ADDRESSES]


@given(steps)
def test_all_that_moves_is_told_to_move(history: list[Step]) -> None:
    governance = of_primary()
    for step in history:
        before = {each: governance.lease(each) for each in ADDRESSES}
        told = ask(governance, seen(step), *step.addresses)
        assert told >= {each for each in ADDRESSES if governance.lease(each) != before[each]}
        assert C not in told


@given(steps)
def test_claims_want_each_address_whose_primary_is_served_here_and_no_other(history: list[Step]) -> None:
    governance = of_primary()
    claims = Claims(governance)
    governance.served = lambda key, address: Vip(address, "eth0") in claims.of(key)
    wanted: dict[Vip, LeaseKey] = {}

    def apply(changes: Changes) -> None:
        for vip in changes.unwant:
            del wanted[vip]
        wanted.update(changes.want)

    for step in history:
        vips = [Vip(address, "eth0") for address in step.addresses]
        found = seen(step)
        touched = {*governance.asks(found.key, found, vips), *claims.note(found.key, vips if step.served else ())}
        apply(claims.regovern(touched))
        used = {each for each in ADDRESSES if claims.users(each) and governance.lease(each) is not None}
        assert wanted == {Vip(each, "eth0"): governance.lease(each) for each in used}
