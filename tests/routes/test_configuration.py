"""What the settings of routing-table mode may be."""

import pytest
from kubevip_routes.configuration import Configuration, read_configuration

from kubevip.plugin import ConfigError


def problem(**texts):
    with pytest.raises(ConfigError) as caught:
        read_configuration(texts)
    (found,) = caught.value.problems
    return found


def test_defaults_are_those_of_kube_vip():
    assert read_configuration({}) == Configuration(table=198, kind=1, protocol=248, clean=False)


def test_zero_means_what_it_means_to_kube_vip():
    texts = dict.fromkeys(("vip_routingtableid", "vip_routingtabletype", "vip_routingprotocol"), "0")
    assert read_configuration(texts) == Configuration(table=254, kind=1, protocol=1)


@pytest.mark.parametrize(
    ("name", "text", "high"),
    [("vip_routingtableid", "4294967296", 4294967295), ("vip_routingprotocol", "256", 255)],
)
def test_number_that_the_kernel_has_no_room_for_is_refused(name, text, high):
    assert problem(**{name: text}) == f"{name}='{text}': write a number from 0 to {high}"


def test_type_that_no_daemon_imports_is_refused_with_those_that_are_right():
    assert problem(vip_routingtabletype="5").startswith("vip_routingtabletype='5': write one of 1 (unicast), 2 (local)")


@pytest.mark.parametrize("protocol", ["0", "2", "3", "4"])
def test_routes_of_the_kernel_and_of_administrators_can_not_be_cleaned_up(protocol):
    assert "write a protocol from 5 to 255" in problem(vip_cleanroutingtable="true", vip_routingprotocol=protocol)
    assert read_configuration({"vip_routingprotocol": protocol}).clean is False
