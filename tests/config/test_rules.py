"""What settings have to be to each other."""

import pytest

from kubevip.config import Prefixes, load
from kubevip.errors import ConfigError

SERVICES = {"vip_arp": "true", "svc_enable": "true"}
CONTROL_PLANE = {"vip_arp": "true", "cp_enable": "true", "address": "10.0.0.1"}


def problem(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ)
    (sentence,) = caught.value.problems
    return sentence


def test_a_mode_is_needed() -> None:
    assert problem({"svc_enable": "true"}) == "vip_arp (not set): no mode is on; write vip_arp=true"


def test_modes_exclude_each_other() -> None:
    with pytest.raises(ConfigError) as caught:
        load(SERVICES | {"bgp_enable": "true"})
    assert "vip_arp='true', bgp_enable='true': these exclude each other; leave one of them" in caught.value.problems


def test_another_mode_is_refused_only_because_it_is_not_there() -> None:
    told = problem({"svc_enable": "true", "vip_wireguard": "true"})
    assert told.startswith("vip_wireguard='true': WireGuard mode is not there")


BGP = {"bgp_enable": "true", "svc_enable": "true"}


def test_bgp_mode_needs_a_peer() -> None:
    assert problem(BGP) == "bgp_enable='true' needs a peer; write bgp_peers=<address>:<AS>"


@pytest.mark.parametrize(
    "peer", [{"bgp_peers": "10.0.0.1:65000"}, {"bgp_peeraddress": "10.0.0.1"}, {"annotation": "example.com"}]
)
def test_one_peer_is_enough_for_bgp_mode(peer: dict[str, str]) -> None:
    loaded = load(BGP | peer)
    assert loaded.settings.bgp.enable
    assert loaded.notices == ()


def test_annotations_and_an_interface_can_not_both_name_the_source() -> None:
    told = problem(BGP | {"annotation": "example.com", "bgp_sourceif": "eth0"})
    assert told.startswith("bgp_sourceif='eth0': with annotation, sessions start from the address in src-ip")


def test_heartbeats_have_no_effect_in_bgp_mode() -> None:
    (notice,) = load(BGP | {"bgp_peers": "10.0.0.1:65000", "vip_failover": "fast"}).notices
    assert notice.startswith("vip_failover='fast' has no effect in BGP mode")


ROUTES = {"vip_routingtable": "true", "svc_enable": "true"}


def test_routing_table_mode_needs_nothing_more() -> None:
    loaded = load(ROUTES)
    assert (loaded.notices, loaded.settings.routing_table.table) == ((), 198)


@pytest.mark.parametrize(
    ("name", "text"), [("vip_failover", "fast"), ("vip_on_api_loss", "hold"), ("vip_leaderelection", "true")]
)
def test_what_has_no_effect_in_routing_table_mode_is_told(name: str, text: str) -> None:
    (notice,) = load(ROUTES | {name: text}).notices
    assert notice.startswith(f"{name}='{text}' has no effect in routing-table mode: ")


def test_routing_table_mode_excludes_others() -> None:
    with pytest.raises(ConfigError) as caught:
        load(ROUTES | {"vip_arp": "true"})
    assert "these exclude each other" in caught.value.problems[0]


def test_what_bgp_mode_lacks_is_refused() -> None:
    assert "is not there yet" in problem(BGP | {"bgp_peers": "10.0.0.1:65000", "zebra_enable": "true"})


def test_there_has_to_be_something_to_do() -> None:
    assert problem({"vip_arp": "true", "cp_enable": "false"}) == (
        "cp_enable='false', svc_enable (not set): there is nothing to do; write cp_enable=true, svc_enable=true or both"
    )


def test_the_control_plane_needs_an_address() -> None:
    assert problem({"vip_arp": "true", "cp_enable": "true"}) == (
        "cp_enable='true' needs address; write address=<the control plane's IP address>"
    )


def test_dns_names_are_not_there_yet() -> None:
    assert problem(CONTROL_PLANE | {"address": "10.0.0.1,api.example.com"}) == (
        "address='10.0.0.1,api.example.com': api.example.com: DNS names are not there yet; write IP addresses"
    )


def test_an_automatic_prefix_works_for_services() -> None:
    assert load(SERVICES | {"vip_subnet": "auto"}).settings.node.prefixes == Prefixes(None, None)


def test_an_automatic_prefix_excludes_an_address() -> None:
    assert problem(CONTROL_PLANE | {"vip_subnet": "auto"}) == (
        "vip_subnet='auto', address='10.0.0.1': auto works in ARP mode without address only; "
        "write the prefix length, such as 32"
    )


@pytest.mark.parametrize(("duration", "deadline", "retry"), [("15", "10", "2"), ("5", "3", "1"), ("3", "2", "1")])
def test_right_lease_times_are_accepted(duration: str, deadline: str, retry: str) -> None:
    environ = {"vip_leaseduration": duration, "vip_renewdeadline": deadline, "vip_retryperiod": retry}
    assert load(SERVICES | environ).settings.election.duration == float(duration)


@pytest.mark.parametrize(("duration", "deadline", "retry"), [("5", "5", "1"), ("15", "6", "5"), ("15", "12", "10")])
def test_wrong_lease_times_name_all_three_with_an_example(duration: str, deadline: str, retry: str) -> None:
    environ = {"vip_leaseduration": duration, "vip_renewdeadline": deadline, "vip_retryperiod": retry}
    assert problem(SERVICES | environ) == (
        f"vip_leaseduration='{duration}', vip_renewdeadline='{deadline}', vip_retryperiod='{retry}': the duration "
        "must be above the renew deadline, and that above 1.2 retry periods; for example "
        "vip_leaseduration=15 vip_renewdeadline=10 vip_retryperiod=2"
    )


def test_lease_times_that_are_not_set_are_shown_too() -> None:
    assert problem(SERVICES | {"vip_leaseduration": "8"}).startswith(
        "vip_leaseduration='8', vip_renewdeadline=10 (not set), vip_retryperiod=2 (not set): "
    )


def test_a_lease_lasts_three_seconds_at_least() -> None:
    with pytest.raises(ConfigError) as caught:
        load(SERVICES | {"vip_leaseduration": "2", "vip_renewdeadline": "1", "vip_retryperiod": "1"})
    assert caught.value.problems[-1] == (
        "vip_leaseduration='2': write at least 3, because the kernel counts an address's lifetime in whole "
        "seconds and one of them is kept as a guard"
    )


def test_a_quorum_needs_heartbeats() -> None:
    assert problem(SERVICES | {"vip_on_api_loss": "quorum"}) == (
        "vip_on_api_loss='quorum' needs the heartbeats of vip_failover=fast; vip_failover (not set)"
    )
    assert (
        load(SERVICES | {"vip_on_api_loss": "quorum", "vip_failover": "fast"}).settings.election.on_api_loss == "quorum"
    )


SPREAD = SERVICES | {"svc_placement": "spread"}


def test_spreading_needs_nothing_more() -> None:
    loaded = load(SPREAD | {"svc_weight": "2.5", "svc_zone": "rack-1"})
    assert (loaded.notices, loaded.settings.services.weight) == ((), 2.5)


def test_routers_spread_traffic_by_themselves() -> None:
    told = problem(ROUTES | {"svc_placement": "spread"})
    assert told == "svc_placement='spread' works in ARP mode; where routers spread the traffic, leave it out"


def test_spreading_and_an_election_for_each_service_exclude_each_other() -> None:
    with pytest.raises(ConfigError) as caught:
        load(SPREAD | {"svc_election": "true"})
    assert any("svc_election" in each for each in caught.value.problems)


def test_what_spread_services_do_without_is_told() -> None:
    (notice,) = load(SPREAD | {"vip_on_api_loss": "hold"}).notices
    assert notice == "vip_on_api_loss='hold': with svc_placement=spread for the control plane's address alone"


def test_weight_and_zone_mean_nothing_where_one_node_has_all() -> None:
    (notice,) = load(SERVICES | {"svc_weight": "2", "svc_zone": "rack-1"}).notices
    assert notice == "svc_weight='2', svc_zone='rack-1': no effect without svc_placement=spread"


def test_spread_services_have_heartbeats() -> None:
    assert load(SPREAD | {"vip_failover": "fast"}).notices == ()


@pytest.mark.parametrize("weight", ["0", "-1", "many", "1001", "1e3"])
def test_a_weight_is_a_number_above_0(weight: str) -> None:
    told = problem(SPREAD | {"svc_weight": weight})
    assert told == f"svc_weight='{weight}': write a number from 0.01 to 1000, such as 2 or 0.5"


def test_heartbeats_need_a_lease_that_is_not_of_a_single_service() -> None:
    told = problem(SERVICES | {"svc_election": "true", "vip_failover": "fast"})
    assert told.startswith("vip_failover='fast', svc_election='true': there are no heartbeats for the Leases of single")


def test_beside_the_control_plane_heartbeats_are_for_that_alone() -> None:
    (notice,) = load(CONTROL_PLANE | SERVICES | {"svc_election": "true", "vip_failover": "fast"}).notices
    assert notice.startswith("vip_failover='fast' counts for the control plane's Lease alone")


def test_an_election_on_demand_adds_nothing_to_one_for_every_service() -> None:
    demanded = {"svc_election": "true", "per_service_election_on_demand": "true"}
    (notice,) = load(SERVICES | demanded).notices
    assert notice.startswith("per_service_election_on_demand='true' has no effect: every Service has its own Lease")


@pytest.mark.parametrize("name", ["svc_election", "per_service_election_on_demand"])
def test_an_election_for_each_service_needs_nothing_more(name: str) -> None:
    assert load(SERVICES | {name: "true"}).notices == ()


def test_metrics_and_health_need_two_ports() -> None:
    assert problem(SERVICES | {"health_check_port": "2112"}) == (
        "health_check_port='2112': prometheus_server=:2112 has that port; write another"
    )


def test_metrics_that_are_off_leave_their_port() -> None:
    environ = SERVICES | {"health_check_port": "2112", "prometheus_server": "off"}
    assert load(environ).settings.serving.health_check_port == 2112


CHECKED = {
    "cp_enable": "true",
    "address": "10.0.0.1",
    "control_plane_health_check_address": "https://localhost:6443/livez",
}
ROUTED = {"bgp_enable": "true", "bgp_peers": "10.0.0.9:65001"}


@pytest.mark.parametrize("mode", [{"vip_arp": "true"}, ROUTED | {"vip_leaderelection": "true"}])
def test_own_api_server_has_no_say_in_an_election(mode: dict[str, str]) -> None:
    (notice,) = load(CHECKED | mode).notices
    assert notice == (
        "control_plane_health_check_address='https://localhost:6443/livez' has no effect where the control plane's "
        "address has one holder; use vip_check_http"
    )


@pytest.mark.parametrize("mode", [ROUTED, {"vip_routingtable": "true"}])
def test_own_api_server_is_asked_where_every_node_announces(mode: dict[str, str]) -> None:
    assert load(CHECKED | mode).notices == ()


def test_arp_mode_elects_whatever_is_set() -> None:
    assert load(SERVICES | {"vip_leaderelection": "false"}).notices == (
        "vip_leaderelection='false' has no effect: ARP mode always elects",
    )


@pytest.mark.parametrize("text", ["499", "0", "-1"])
def test_an_arp_rate_below_the_floor_is_told(text: str) -> None:
    loaded = load(SERVICES | {"vip_arpRate": text})
    assert loaded.settings.arp.rate == 3.0
    assert loaded.notices == (f"vip_arpRate='{text}' is below 500: it counts as 3000",)


@pytest.mark.parametrize("text", ["500", "3000", "+3000"])
def test_an_arp_rate_above_the_floor_is_silent(text: str) -> None:
    assert load(SERVICES | {"vip_arpRate": text}).notices == ()


def test_the_old_number_for_debug_is_told() -> None:
    assert load(SERVICES | {"vip_loglevel": "5"}).notices == (
        "vip_loglevel='5' logs errors only; write -4 for debug, which 5 was before kube-vip 0.8.10",
    )
