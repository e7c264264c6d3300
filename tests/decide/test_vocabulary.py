"""Annotations of Services that mean nothing are told, with what may have been meant; all others are left in peace."""

import pytest

from kubevip.config import Settings
from kubevip.config.services import Services
from kubevip.persevice import unheeded
from kubevip.service import FORCE_ELECTION, LEASE_NAME
from kubevip.vocabulary import KNOWN, is_of_concern, objections


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kubevip.io/grp", "; is kubevip.io/group meant?"),
        ("kube-vip.io/loadBalancerIPs", "; is kube-vip.io/loadbalancerIPs meant?"),
        ("kubevip.io/loadbalancerIPs", "; is kube-vip.io/loadbalancerIPs meant?"),
        ("kube-vip.io/nothing-of-that-kind", ""),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_nearest(name: str, meant: str) -> None:
    assert objections({name: "x"}) == [f"annotation {name} means nothing{meant}"]


def test_what_is_known_or_of_others_is_not_told() -> None:
    assert objections(dict.fromkeys((*KNOWN, "example.com/kubevip.io", "kubevip.iox/group"), "a")) == []


@pytest.mark.parametrize("zone", ["bad zone!", "-a", "z" * 64])
def test_a_zone_that_no_node_can_have_is_told(zone: str) -> None:
    (told,) = objections({"kubevip.io/zone": zone})
    assert told.startswith(f"annotation kubevip.io/zone={zone!r} can be no node's zone: write a name as in a label")


def test_what_agents_write_is_not_kept() -> None:
    kept = {name for name in ("kubevip.io/holder", "kubevip.io/assigned", "kubevip.io/group") if is_of_concern(name)}
    assert kept == {"kubevip.io/group"}


@pytest.mark.parametrize(
    ("services", "names"),
    [
        (Services(enable=True), {LEASE_NAME, FORCE_ELECTION, "kubevip.io/group", "kubevip.io/zone"}),
        (Services(enable=True, election=True), {"kubevip.io/group", "kubevip.io/zone"}),
        (Services(enable=True, placement="spread"), {LEASE_NAME, FORCE_ELECTION}),
    ],
)
def test_what_the_settings_leave_without_effect_is_told(services: Services, names: set[str]) -> None:
    assert set(unheeded(Settings(services=services))) == names
