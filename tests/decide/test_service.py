"""What a Service asks of us: which Services are ours, and which addresses they ask for."""

import ipaddress

import pytest

from kubevip.model import IPAddress, ServiceKey
from kubevip.service import (
    ADDRESSES,
    IGNORE,
    INTERFACE,
    WITHOUT_ENDPOINTS,
    ClassFilter,
    Endpoints,
    Ignored,
    Ingress,
    Reason,
    ServiceView,
    TrafficPolicy,
    Wanted,
    parse_addresses,
)

KEY = ServiceKey("default", "web")
OURS = "kube-vip.io/kube-vip-class"


def place(address: IPAddress, annotated: str) -> tuple[str, int]:
    return annotated or "eth0", 32 if address.version == 4 else 128


def wants(classes: ClassFilter | None = None, **parts: object) -> Wanted | Ignored:
    return ServiceView(key=KEY, **parts).wants(classes or ClassFilter(), place)


def addresses(**parts: object) -> list[str]:
    outcome = wants(**parts)
    assert isinstance(outcome, Wanted), outcome
    return [str(vip) for vip in outcome.vips]


def reason(**parts: object) -> Reason:
    outcome = wants(**parts)
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def ingress(*texts: str) -> tuple[Ingress, ...]:
    return tuple(Ingress(ip=text) for text in texts)


# Which addresses, in kube-vip's order


def test_the_annotation_goes_before_everything() -> None:
    assert addresses(annotations={ADDRESSES: "10.0.0.1"}, ingress=ingress("10.0.0.2"), load_balancer_ip="10.0.0.3") == [
        "10.0.0.1"
    ]


def test_the_annotation_may_name_several_with_spaces_and_empty_parts() -> None:
    assert addresses(annotations={ADDRESSES: " 10.0.0.1, fd00::1 ,,10.0.0.2"}) == ["10.0.0.1", "fd00::1", "10.0.0.2"]


def test_an_empty_annotation_asks_for_nothing_though_the_status_has_an_address() -> None:
    assert reason(annotations={ADDRESSES: " "}, ingress=ingress("10.0.0.2")) is Reason.NO_ADDRESS


def test_the_status_goes_before_the_spec() -> None:
    assert addresses(ingress=ingress("10.0.0.2", "fd00::2"), load_balancer_ip="10.0.0.2") == ["10.0.0.2", "fd00::2"]


def test_a_spec_that_differs_from_the_status_of_its_family_is_an_edit_and_the_only_address() -> None:
    assert addresses(ingress=ingress("10.0.0.2", "fd00::2"), load_balancer_ip="10.0.0.3") == ["10.0.0.3"]


def test_a_spec_of_a_family_that_the_status_lacks_does_not_displace_it() -> None:
    assert addresses(ingress=ingress("10.0.0.2"), load_balancer_ip="fd00::3") == ["10.0.0.2"]


def test_a_spec_that_is_no_address_does_not_displace_the_status() -> None:
    assert addresses(ingress=ingress("10.0.0.2"), load_balancer_ip="web.example") == ["10.0.0.2"]


def test_without_a_status_the_spec_counts() -> None:
    assert addresses(load_balancer_ip="10.0.0.3") == ["10.0.0.3"]


def test_without_any_address_there_is_nothing_to_serve_yet() -> None:
    assert reason() is Reason.NO_ADDRESS


def test_an_address_that_is_named_twice_is_wanted_once() -> None:
    assert addresses(annotations={ADDRESSES: "fd00::1,FD00:0::1"}) == ["fd00::1"]


def test_the_interface_comes_from_the_annotation() -> None:
    outcome = wants(annotations={INTERFACE: " eth1 "}, load_balancer_ip="10.0.0.3")
    assert isinstance(outcome, Wanted)
    assert [(vip.interface, vip.prefix_length) for vip in outcome.vips] == [("eth1", 32)]


# What can't be used


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web.example", "'web.example' is not an IP address"),
        ("0.0.0.0", "0.0.0.0 asks for an address by DHCP, which is not there yet"),
        ("::", ":: asks for an address by DHCP, which is not there yet"),
        ("224.0.0.1", "224.0.0.1 is not an address that a Service can have"),
        ("127.0.0.1", "127.0.0.1 is not an address that a Service can have"),
        ("::1", "::1 is not an address that a Service can have"),
        ("fe80::1%eth0", "fe80::1%eth0 is not an address that a Service can have"),
        ("10.0.0.256", "'10.0.0.256' is not an IP address"),
        ("10.0.0.1/24", "'10.0.0.1/24' is not an IP address"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_with_what_would_be_right(text: str, said: str) -> None:
    outcome = wants(annotations={ADDRESSES: text})
    assert isinstance(outcome, Ignored)
    assert outcome.reason is Reason.BAD_ADDRESS
    assert said in str(outcome)


def test_usable_addresses_are_served_beside_unusable_ones() -> None:
    outcome = wants(annotations={ADDRESSES: "web.example,10.0.0.1,0.0.0.0"})
    assert isinstance(outcome, Wanted)
    assert [str(vip) for vip in outcome.vips] == ["10.0.0.1"]
    assert len(outcome.problems) == 2


def test_a_hostname_in_the_status_is_told_and_the_address_beside_it_is_served() -> None:
    outcome = wants(ingress=(Ingress(hostname="web.example"), Ingress(ip="10.0.0.2")))
    assert isinstance(outcome, Wanted)
    assert [str(vip) for vip in outcome.vips] == ["10.0.0.2"]
    assert "'web.example'" in outcome.problems[0]


def test_addresses_are_sorted_from_problems() -> None:
    usable, problems = parse_addresses(["10.0.0.1", "x", "10.0.0.1", "fd00::1"])
    assert usable == [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("fd00::1")]
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        ("kube-vip.io/egress", "true", True),
        ("kube-vip.io/egress", "false", False),
        ("kube-vip.io/egress", "", False),
        ("kube-vip.io/leaseName", "mine", True),
        ("kube-vip.io/serviceVLAN", "5", True),
        ("kube-vip.io/hwaddr", "x", False),
    ],
)
def test_what_is_asked_for_in_vain_is_told(annotation: str, value: str, told: bool) -> None:
    outcome = wants(annotations={annotation: value}, load_balancer_ip="10.0.0.3")
    assert isinstance(outcome, Wanted)
    assert any(annotation in problem for problem in outcome.problems) is told


# Which Services are ours


@pytest.mark.parametrize("other", ["ClusterIP", "NodePort", "ExternalName", ""])
def test_only_load_balancers_are_served(other: str) -> None:
    assert reason(type=other, load_balancer_ip="10.0.0.3") is Reason.OTHER_TYPE


def test_a_service_that_is_being_deleted_is_not_served() -> None:
    assert reason(deleting=True, load_balancer_ip="10.0.0.3") is Reason.DELETING


def test_what_the_settings_heed_is_not_told() -> None:
    view = ServiceView(key=KEY, annotations={"kube-vip.io/leaseName": "mine"}, load_balancer_ip="10.0.0.3")
    outcome = view.wants(ClassFilter(), place, {})
    assert isinstance(outcome, Wanted)
    assert outcome.problems == ()


def test_the_ignore_annotation_counts_only_as_true() -> None:
    assert reason(annotations={IGNORE: "true"}, load_balancer_ip="10.0.0.3") is Reason.ANNOTATION
    assert addresses(annotations={IGNORE: "false"}, load_balancer_ip="10.0.0.3") == ["10.0.0.3"]


def test_the_type_is_looked_at_before_all_else_and_the_address_last() -> None:
    parts = {"annotations": {IGNORE: "true", ADDRESSES: "x"}, "deleting": True, "load_balancer_class": "other"}
    assert reason(type="ClusterIP", **parts) is Reason.OTHER_TYPE
    assert reason(**parts) is Reason.DELETING
    assert reason(**parts | {"deleting": False}) is Reason.ANNOTATION
    assert reason(**parts | {"deleting": False, "annotations": {ADDRESSES: "x"}}) is Reason.OTHER_CLASS


@pytest.mark.parametrize(
    ("legacy", "only", "name", "load_balancer_class", "refused"),
    [
        (True, False, OURS, None, None),
        (True, False, OURS, OURS, None),
        (True, False, OURS, "other", Reason.OTHER_CLASS),
        (True, True, OURS, None, Reason.NO_CLASS),
        (True, True, OURS, OURS, None),
        (True, True, OURS, "other", Reason.OTHER_CLASS),
        (False, False, OURS, None, Reason.NO_CLASS),
        (False, False, OURS, OURS, None),
        (False, False, OURS, "other", Reason.OTHER_CLASS),
        (False, False, "", None, None),
        (False, False, "", OURS, Reason.OTHER_CLASS),
        (False, True, OURS, None, Reason.NO_CLASS),
    ],
)
def test_the_classes_that_are_served(
    legacy: bool, only: bool, name: str, load_balancer_class: str | None, refused: Reason | None
) -> None:
    assert ClassFilter(name=name, only=only, legacy=legacy).refuses(load_balancer_class) is refused


# Endpoints


@pytest.mark.parametrize(
    ("policy", "anywhere", "here", "enough"),
    [
        (TrafficPolicy.CLUSTER, 0, 0, False),
        (TrafficPolicy.CLUSTER, 1, 0, True),
        (TrafficPolicy.LOCAL, 1, 0, False),
        (TrafficPolicy.LOCAL, 1, 1, True),
    ],
)
def test_a_service_needs_an_endpoint_and_with_local_policy_one_here(
    policy: TrafficPolicy, anywhere: int, here: int, enough: bool
) -> None:
    outcome = wants(policy=policy, load_balancer_ip="10.0.0.3")
    assert isinstance(outcome, Wanted)
    assert Endpoints(anywhere, here).suffice(outcome) is enough


@pytest.mark.parametrize(
    ("policy", "value", "needs"),
    [
        (TrafficPolicy.CLUSTER, "true", False),
        (TrafficPolicy.CLUSTER, "false", True),
        (TrafficPolicy.LOCAL, "true", True),
    ],
)
def test_the_annotation_frees_cluster_services_from_endpoints(policy: TrafficPolicy, value: str, needs: bool) -> None:
    outcome = wants(policy=policy, annotations={WITHOUT_ENDPOINTS: value}, load_balancer_ip="10.0.0.3")
    assert isinstance(outcome, Wanted)
    assert outcome.needs_endpoints is needs
    assert Endpoints().suffice(outcome) is not needs


def test_endpoints_of_slices_add_up() -> None:
    assert Endpoints(2, 1) + Endpoints(3, 0) == Endpoints(5, 1)
