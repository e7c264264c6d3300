"""What becomes of Services under an edited ConfigMap."""

import hypothesis
import msgspec
from hypothesis import strategies as st

from kubevip.ipam import FamilyPolicy, read
from kubevip.kube.editing import edited
from kubevip.kube.provided import read_service
from kubevip.provision.edits import Edits
from kubevip.provision.inventory import opened
from kubevip.provision.replan import Outcome, replan, written
from kubevip.provision.verdict import FINALIZER, Classes
from tests.ipam_cli.services import IPV4, IPV6, PREFER, REQUIRE, ips, service

CLASSES = Classes()


def pools(data):
    return None if data is None else read(data)


def plan(services, old, new, nodes=None):
    """Return the fates by the Services' names."""
    fates = replan(services, nodes or {}, pools(old), pools(new), CLASSES)
    return {fate.key.name: fate for fate in fates}


def outcomes(services, old, new, nodes=None):
    return {name: fate.outcome for name, fate in plan(services, old, new, nodes).items()}


A = {"range-global": "10.0.0.1-10.0.0.9"}
B = {"range-global": "10.0.1.1-10.0.1.9"}


# Who keeps


def test_an_unchanged_config_map_changes_nothing():
    fate = plan([service("a", "10.0.0.1", "range-global")], A, A)["a"]
    assert (fate.outcome, fate.before, fate.after, fate.why) == (Outcome.KEEPS, *2 * [ips("10.0.0.1")], "")
    assert fate.origin == "range-global"


def test_who_is_in_the_new_pool_keeps():
    wider = {"range-global": "10.0.0.1-10.0.0.90"}
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, wider) == {"a": Outcome.KEEPS}


def test_who_moves_to_another_key_with_the_same_address_keeps():
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, {"cidr-default": "10.0.0.0/29"}) == {
        "a": Outcome.KEEPS
    }


def test_who_has_an_address_from_kube_vip_cloud_provider_keeps():
    old = service("a", "10.0.0.1", labels={"implementation": "kube-vip"}, load_balancer_ip="10.0.0.1")
    assert outcomes([old], A, A) == {"a": Outcome.KEEPS}


def test_an_address_that_its_user_wrote_is_kept_outside_of_pools():
    services = [service("a", "10.9.9.9", "annotation"), service("b", "10.9.9.8")]
    assert outcomes(services, A, B) == {"a": Outcome.KEEPS, "b": Outcome.KEEPS}


def test_an_address_that_its_user_wrote_may_lose_its_pool():
    assert outcomes([service("a", "10.0.0.5", "annotation"), service("b", "10.0.0.6", "spec")], A, B) == {
        "a": Outcome.KEEPS,
        "b": Outcome.KEEPS,
    }


def test_without_any_pool_everybody_keeps_what_they_have():
    fates = plan([service("a", "10.0.0.1", "range-global"), service("b", "10.9.9.9", "annotation")], A, None)
    assert {name: fate.after for name, fate in fates.items()} == {"a": ips("10.0.0.1"), "b": ips("10.9.9.9")}


# Who is left outside


def test_who_is_in_no_pool_any_more_is_left_outside_and_keeps_it_for_now():
    fate = plan([service("a", "10.0.0.1", "range-global")], A, B)["a"]
    assert (fate.outcome, fate.after) == (Outcome.OUTSIDE, ips("10.0.0.1"))
    assert "10.0.0.1 is in no pool for default any more" in fate.why
    assert fate.outcome.does_harm


def test_who_got_its_address_from_kube_vip_cloud_provider_is_left_outside_too():
    old = service("a", "10.0.0.1", labels={"implementation": "kube-vip"}, load_balancer_ip="10.0.0.1")
    assert outcomes([old], A, B) == {"a": Outcome.OUTSIDE}


def test_who_was_outside_already_keeps_and_is_told_so():
    fate = plan([service("a", "10.5.5.5", "range-global")], A, B)["a"]
    assert fate.outcome is Outcome.KEEPS
    assert "as before" in fate.why


def test_an_address_in_another_namespaces_pool_is_outside():
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, {"range-web": "10.0.0.1-10.0.0.9", **B}) == {
        "a": Outcome.OUTSIDE
    }


def test_a_pool_that_hides_the_present_one_leaves_outside():
    new = {**A, "cidr-default": "10.0.1.0/29"}
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, new) == {"a": Outcome.OUTSIDE}
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, {**new, "fallback-default": "true"}) == {
        "a": Outcome.KEEPS
    }


def test_an_address_that_is_reserved_from_now_on_is_outside():
    services = [service("a", "10.0.0.1", "range-global"), service("b", "10.0.0.2", "range-global")]
    assert outcomes(services, A, {**A, "reserved": "10.0.0.1"}) == {"a": Outcome.OUTSIDE, "b": Outcome.KEEPS}


def test_a_pool_that_breaks_leaves_outside():
    assert outcomes([service("a", "10.0.0.1", "range-global")], A, {"range-global": "10.0.0.1"}) == {
        "a": Outcome.OUTSIDE
    }


def test_one_of_two_families_outside_is_named():
    old = {"cidr-default": "10.0.0.8/29,fd00::/64"}
    services = [service("a", "10.0.0.9,fd00::9", "cidr-default", policy=PREFER, families=(IPV4, IPV6))]
    fate = plan(services, old, {"cidr-default": "10.0.0.8/29,fd01::/64"})["a"]
    assert fate.outcome is Outcome.OUTSIDE
    assert fate.why.startswith("fd00::9 is in no pool")


def test_dhcp_that_ends_leaves_outside():
    marked = service("a", "0.0.0.0", "cidr-global")
    assert outcomes([marked], {"cidr-global": "0.0.0.0/32"}, {"cidr-global": "0.0.0.0/32"}) == {"a": Outcome.KEEPS}
    assert outcomes([marked], {"cidr-global": "0.0.0.0/32"}, {"cidr-global": "10.0.0.8/29"}) == {"a": Outcome.OUTSIDE}


# Who gets one, who waits


def test_a_new_pool_serves_those_that_wait():
    fate = plan([service("a")], {"range-web": "10.0.0.1-10.0.0.9"}, A)["a"]
    assert (fate.outcome, fate.before, fate.after, fate.origin) == (Outcome.GETS, (), ips("10.0.0.1"), "range-global")


def test_a_wider_pool_serves_the_next_one():
    old, new = {"range-global": "10.0.0.1-10.0.0.1"}, {"range-global": "10.0.0.1-10.0.0.2"}
    services = [service("a", "10.0.0.1", "range-global"), service("b")]
    assert outcomes(services, old, old) == {"a": Outcome.KEEPS, "b": Outcome.PENDING}
    assert plan(services, old, new)["b"].after == ips("10.0.0.2")


def test_who_waits_still_is_told_why():
    fate = plan([service("a")], None, {"range-web": "10.0.0.1-10.0.0.9"})["a"]
    assert (fate.outcome, fate.after) == (Outcome.PENDING, ())
    assert "range-default" in fate.why


def test_who_would_have_got_another_address_is_told():
    assert plan([service("a")], A, B)["a"].why == "under the present ConfigMap it gets 10.0.0.1"
    assert plan([service("a")], A, A)["a"].why == "under the present ConfigMap too"


def test_an_address_of_a_node_is_not_given_out():
    assert plan([service("a")], None, A, {"node1": ips("10.0.0.1")})["a"].after == ips("10.0.0.2")


def test_no_two_services_get_the_same_address():
    fates = plan([service(f"s{number}") for number in range(9)], None, A)
    assert len({fate.after for fate in fates.values()}) == 9


def test_a_second_family_is_gained():
    services = [service("a", "10.0.0.9", "cidr-default", policy=REQUIRE, families=(IPV4, IPV6))]
    fate = plan(services, {"cidr-default": "10.0.0.8/29"}, {"cidr-default": "10.0.0.8/29,fd00::8/125"})["a"]
    assert (fate.outcome, fate.before, fate.after) == (Outcome.GETS, ips("10.0.0.9"), ips("10.0.0.9", "fd00::8"))


def test_another_ipam_is_not_asked():
    fate = plan([service("a")], A, {"source-global": "acme"})["a"]
    assert fate.outcome is Outcome.PENDING
    assert "'acme'" in fate.why


def test_what_another_ipam_gave_is_in_its_pool():
    had = [service("a", "10.7.7.7", "source-global")]
    source = {"source-global": "acme"}
    assert outcomes(had, source, source) == {"a": Outcome.KEEPS}
    assert outcomes(had, source, A) == {"a": Outcome.OUTSIDE}


# Who loses


def test_a_shared_address_that_was_only_asked_for_is_lost_without_sharing():
    both = [
        service("a", "10.0.0.1", ports=frozenset({(80, "TCP")})),
        service("b", "10.0.0.1", ports=frozenset({(81, "TCP")})),
    ]
    fates = plan(both, {**A, "allow-share-global": "true"}, A)
    assert {name: fate.outcome for name, fate in fates.items()} == {"a": Outcome.KEEPS, "b": Outcome.LOSES}
    assert "in use by default/a" in fates["b"].why
    assert fates["b"].outcome.does_harm


def test_who_shares_already_keeps_without_sharing_and_is_told():
    both = [
        service("a", "10.0.0.1", "range-global", ports=frozenset({(80, "TCP")})),
        service("b", "10.0.0.1", "range-global", ports=frozenset({(81, "TCP")})),
    ]
    fate = plan(both, {**A, "allow-share-global": "true"}, A)["b"]
    assert fate.outcome is Outcome.KEEPS
    assert "in use by default/a" in fate.why


# Who counts


def test_services_of_others_have_no_fate_and_keep_their_addresses_from_being_given():
    services = [
        service("other", load_balancer_class="acme.io/x", load_balancer_ip="10.0.0.1"),
        service("inner", type="ClusterIP"),
        service("gone", "10.0.0.2", "range-global", deleting=True, finalizers=("acme.io/keep",)),
        service("new"),
    ]
    fates = plan(services, None, A)
    assert {name: fate.after for name, fate in fates.items()} == {"new": ips("10.0.0.3")}


def test_what_is_written_wrongly_stays_as_it_is():
    fate = plan([service("a", "10.0.0.01")], A, B)["a"]
    assert (fate.outcome, fate.before, fate.after) == (Outcome.PENDING, (), ())
    assert "10.0.0.01" in fate.why


def test_the_worst_comes_first():
    services = [service("a"), service("b", "10.0.0.1", "range-global"), service("c", "10.1.0.1", "range-global")]
    fates = replan(services, {}, read(A), read({"range-global": "10.1.0.1-10.1.0.9"}), CLASSES)
    assert [fate.key.name for fate in fates] == ["b", "a", "c"]


def test_many_services_are_planned_for():
    pool = {"cidr-global": "10.0.0.0/16"}
    services = [
        service(f"s{number}", f"10.0.{number >> 7}.{1 + (number & 127)}", "cidr-global") for number in range(5000)
    ]
    fates = replan([*services, *(service(f"n{number}") for number in range(500))], {}, read(pool), read(pool), CLASSES)
    assert [fate.outcome for fate in fates].count(Outcome.KEEPS) == 5000
    assert len({fate.after for fate in fates}) == 5500


# The same as the provider does

POOLS = st.dictionaries(
    st.sampled_from(["range-global", "range-default", "cidr-default", "cidr-web", "cidr-global"]),
    st.sampled_from(
        ["10.0.0.0/29", "10.0.0.4/30", "10.0.0.8/29,fd00::/125", "fd00::4/126", "10.0.0.2/32", "x", "0.0.0.0/32"]
    ),
    max_size=4,
)
SETTINGS = st.dictionaries(
    st.sampled_from(["allow-share-global", "fallback-global", "use-0-and-255", "allow-share-web"]), st.just("true")
)
MAPS = st.none() | st.builds(lambda pools, settings: pools | settings, POOLS, SETTINGS)
SERVICES = st.lists(
    st.builds(
        service,
        st.builds("{}/{}".format, st.sampled_from(["default", "web"]), st.sampled_from("abcdefgh")),
        st.sampled_from(["", "", "", "10.0.0.1", "10.0.0.5", "10.0.0.9,fd00::5", "fd00::5", "0.0.0.0", "x"]),
        ports=st.sampled_from([frozenset({(80, "TCP")}), frozenset({(81, "TCP")})]),
        policy=st.sampled_from(FamilyPolicy),
        families=st.sampled_from([(), (IPV4,), (IPV6,), (IPV4, IPV6)]),
        load_balancer_ip=st.sampled_from(["", "", "10.0.0.3"]),
        labels=st.sampled_from([{}, {"implementation": "kube-vip"}]),
        finalizers=st.sampled_from([(), (FINALIZER,)]),
        type=st.sampled_from(["LoadBalancer"] * 5 + ["ClusterIP"]),
        deleting=st.sampled_from([False] * 5 + [True]),
    ),
    max_size=8,
    unique_by=lambda facts: facts.key,
)


def rest(accounts, services):
    """Do what the provider does until there is nothing to do; return the addresses, and what the Services became.

    The API server removes what is being deleted when its last finalizer goes.
    """
    facts = {each.key: each for each in services}
    addresses = {}
    while (due := accounts.next_due()) is not None:
        decision = accounts.decide(due)
        if decision is not None:
            addresses[due] = decision.addresses
            facts[due] = written(decision.facts, decision.edits)
            if decision.edits:
                accounts.wrote(facts[due])
                if facts[due].deleting and not facts[due].finalizers:
                    del facts[due], addresses[due]
    return addresses, sorted(facts.values(), key=lambda each: each.key)


ONE_THAT_GOES = [
    service("b", ports=frozenset({(81, "TCP")}), load_balancer_ip="10.0.0.3"),
    service("c", load_balancer_ip="10.0.0.3"),
    service("d", load_balancer_ip="10.0.0.3", finalizers=(FINALIZER,), deleting=True),
]


@hypothesis.example(ONE_THAT_GOES, None, {"allow-share-global": "true"})
@hypothesis.given(SERVICES, MAPS, MAPS)
def test_the_plan_is_what_the_provider_then_does(services, old, new):
    services = sorted(services, key=lambda each: each.key)
    accounts = opened(services, {}, pools(old), CLASSES)
    _, settled = rest(accounts, services)
    planned = {fate.key: fate.after for fate in replan(settled, {}, pools(old), pools(new), CLASSES)}
    accounts.configure(pools(new))
    accounts.look_at(facts.key for facts in settled)
    then, _ = rest(accounts, settled)
    assert planned == {key: then[key] for key in planned}


@hypothesis.given(SERVICES, MAPS, MAPS)
def test_who_is_settled_loses_nothing_and_is_listed_once(services, old, new):
    _, settled = rest(opened(services, {}, pools(old), CLASSES), services)
    fates = replan(settled, {}, pools(old), pools(new), CLASSES)
    assert len({fate.key for fate in fates}) == len(fates)
    assert all(set(fate.before) <= set(fate.after) for fate in fates)


TEXTS = st.sampled_from(["a", "b", "c"])


@hypothesis.given(
    st.dictionaries(TEXTS, TEXTS),
    st.dictionaries(TEXTS, TEXTS | st.none()),
    st.sampled_from([None, "", "10.0.0.1"]),
    st.sampled_from([None, True, False]),
    st.lists(st.sampled_from([FINALIZER, "acme.io/keep"]), unique=True),
)
def test_edits_come_to_the_same_as_in_the_object_itself(present, changes, load_balancer_ip, finalizer, finalizers):
    document = {
        "metadata": {
            "name": "a",
            "namespace": "default",
            "annotations": present,
            "labels": present,
            "finalizers": finalizers,
        },
        "spec": {"type": "LoadBalancer", "loadBalancerIP": "10.9.9.9", "ports": []},
    }
    edits = Edits(annotations=changes, labels=changes, load_balancer_ip=load_balancer_ip, finalizer=finalizer)
    facts = read_service(msgspec.json.encode(document)).facts
    assert written(facts, edits) == read_service(msgspec.json.encode(edited(document, edits))).facts


def test_an_edit_that_clears_the_status_clears_it():
    facts = service("a", ingress=("10.0.0.1",))
    assert written(facts, Edits(clear_ingress=True)).ingress == ()
    assert written(facts, Edits()) == facts
