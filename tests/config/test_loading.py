"""What ``load`` makes of an environment: settings and notices, or every problem at once."""

from ipaddress import ip_address

import pytest

from kubevip.config import Listen, Loaded, Prefixes, load
from kubevip.config.table import NAMES
from kubevip.errors import ConfigError
from kubevip.model import Family, LeaseKey

BASE = {"vip_arp": "true", "svc_enable": "true"}
CONTROL_PLANE = {"vip_arp": "true", "cp_enable": "true", "address": "10.0.0.1"}
OPERATOR = {
    "vip_arp": "true",
    "vip_interface": "eth0",
    "vip_cidr": "32",
    "vipSubnet": "",
    "cp_enable": "true",
    "cp_namespace": "kube-system",
    "vip_ddns": "false",
    "svc_enable": "true",
    "vip_leaderelection": "true",
    "vip_leaseduration": "5",
    "vip_renewdeadline": "3",
    "vip_retryperiod": "1",
    "address": "172.31.0.99",
}


def with_base(**environ: str) -> Loaded:
    return load(BASE | environ)


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return caught.value.problems


def test_the_operators_environment_is_accepted_and_only_vip_cidr_is_told_about() -> None:
    assert load(OPERATOR).notices == (
        "vip_cidr='32' has no effect: kube-vip has ignored it since 0.9.0; vip_subnet sets the prefix",
    )


def test_the_operators_environment_means_what_it_meant() -> None:
    settings = load(OPERATOR).settings
    assert settings.arp.enable
    assert settings.node.interface == "eth0"
    assert settings.node.prefixes == Prefixes(32, 128)
    assert settings.control_plane.enable
    assert settings.control_plane.addresses == (ip_address("172.31.0.99"),)
    assert settings.control_plane.families == {Family.IPV4}
    assert settings.control_plane.lease == LeaseKey("kube-system", "plndr-cp-lock")
    assert settings.services.enable
    assert settings.services_lease == LeaseKey("kube-system", "plndr-svcs-lock")
    assert (settings.election.duration, settings.election.renew_deadline, settings.election.retry_period) == (5, 3, 1)


def test_defaults_are_those_of_kube_vip() -> None:
    settings = load(BASE).settings
    election = settings.election
    assert (election.duration, election.renew_deadline, election.retry_period, election.linger) == (15, 10, 2, 3)
    assert settings.arp.rate == 3.0
    assert settings.control_plane.port == 6443
    assert settings.services.class_name == "kube-vip.io/kube-vip-class"
    assert settings.serving.prometheus == Listen(None, 2112)
    assert settings.serving.health_check_port is None


def test_the_node_is_named_after_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "Node-1")
    assert load(BASE).settings.node.name == "node-1"


def test_a_lease_may_name_its_namespace() -> None:
    environ = CONTROL_PLANE | {"vip_leasename": "other/lock", "cp_namespace": "vips"}
    assert load(environ).settings.control_plane.lease == LeaseKey("other", "lock")


def test_every_problem_is_told_at_once_with_name_value_and_remedy() -> None:
    told = problems({"vip_arp": "maybe", "port": "99999", "vip_subnet": "/24", "vip_leaseduration": "x"})
    assert [sentence.partition(":")[0] for sentence in told] == [
        "vip_subnet='/24'",
        "vip_arp='maybe'",
        "port='99999'",
        "vip_leaseduration='x'",
        "cp_enable (not set), svc_enable (not set)",
    ]
    assert all("write" in sentence for sentence in told)


def test_a_wrong_value_causes_no_second_problem() -> None:
    assert problems(CONTROL_PLANE | {"address": "10.0.0.999"}) == (
        "address='10.0.0.999': write IP addresses, separated by commas",
    )


def test_a_password_is_never_shown() -> None:
    told = problems({"bgp_enable": "true", "bgp_peers": "10.0.0.1:65000:hush", "bgp_peerpass": "hush"})
    loaded = with_base(bgp_peers="10.0.0.1:65000:hush", bgp_peerpas="hush")
    assert "hush" not in " ".join((*told, *loaded.notices))


def test_a_refusal_carries_the_notices() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"vip_arp": "true", "svc_enabel": "true"})
    assert caught.value.__notes__ == ["svc_enabel is ignored: there is no setting of that name; is svc_enable meant?"]


def test_what_was_given_can_be_shown() -> None:
    assert str(load(OPERATOR).given["vip_interface"]) == "vip_interface='eth0'"


EMPTY = NAMES - {"vip_arp", "svc_enable", "lb_class_name"}


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_an_empty_value_means_not_set(name: str) -> None:
    loaded = with_base(**{name: ""})
    assert loaded.settings == load(BASE).settings
    assert loaded.notices == ()


def test_an_empty_switch_means_not_set() -> None:
    assert not load(CONTROL_PLANE | {"svc_enable": ""}).settings.services.enable


def test_the_class_name_counts_by_presence() -> None:
    assert with_base(lb_class_name="").settings.services.class_name == ""


GATED = {
    "svc_election": "maybe",
    "lb_class_only": "maybe",
    "lb_class_name": "x",
    "lb_class_legacy_handling": "maybe",
    "svc_namespace": "Wrong!",
    "svc_leasename": "Wrong!",
}


@pytest.mark.parametrize(("name", "text"), GATED.items())
def test_a_services_setting_is_not_even_parsed_without_svc_enable(name: str, text: str) -> None:
    assert load(CONTROL_PLANE | {name: text}).notices == (f"{name}='{text}' has no effect without svc_enable",)


@pytest.mark.parametrize("name", [name for name in GATED if name != "lb_class_name"])
def test_a_services_setting_is_parsed_where_svc_enable_is_present(name: str) -> None:
    (problem,) = problems(CONTROL_PLANE | {"svc_enable": "false", name: GATED[name]})
    assert problem.startswith(f"{name}=")


def test_a_services_setting_has_no_effect_while_services_are_off() -> None:
    loaded = load(CONTROL_PLANE | {"svc_enable": "false", "svc_election": "true"})
    assert loaded.notices == ("svc_election='true' has no effect without svc_enable",)
    assert loaded.settings.services.election


def test_an_address_has_no_effect_without_the_control_plane() -> None:
    assert with_base(address="10.0.0.1").notices == ("address='10.0.0.1' has no effect without cp_enable",)


REFUSED = {
    "vip_wireguard": "true",
    "lb_enable": "true",
    "vip_ddns": "true",
    "cp_detect": "true",
    "enable_service_security": "true",
    "enable_node_labeling": "true",
    "enable_upnp": "true",
    "mirror_dest_interface": "eth1",
    "egress_podcidr": "10.0.0.0/16",
    "egress_servicecidr": "10.96.0.0/12",
    "egress_enableinternalsnat": "true",
    "egress_clean": "true",
    "EGRESS_CLEAN": "true",
}


@pytest.mark.parametrize(("name", "text"), REFUSED.items())
def test_what_is_not_there_yet_is_refused_by_name(name: str, text: str) -> None:
    told = problems(BASE | CONTROL_PLANE | {name: text})
    assert told[0].startswith(f"{name}='{text}': ")
    assert " is not there yet; " in told[0]


OFF = {
    "vip_ddns": "false",
    "bgp_enable": "false",
    "dns_mode": "first",
    "dhcp_mode": "ipv4",
    "dhcp_backoff_attempts": "3",
    "lb_enable": "0",
    "lb_port": "6443",
    "vip_wireguard": "F",
    "bgp_as": "65000",
    "egress_withnftables": "true",
    "vip_preserve_on_leadership_loss": "false",
    "enable_endpoints": "false",
    "prometheus_server": ":2112",
    "vip_leasename": "plndr-cp-lock",
}


@pytest.mark.parametrize(("name", "text"), OFF.items())
def test_a_feature_that_is_off_is_accepted_in_silence(name: str, text: str) -> None:
    loaded = with_base(**{name: text})
    assert loaded.notices == ()
    assert loaded.settings == load(BASE).settings


SHAPES = {
    "bgp_as": ("65001", "bgp_enable"),
    "bgp_peeraddress": ("10.0.0.1", "bgp_enable"),
    "zebra_enable": ("true", "bgp_enable"),
    "vip_routingtableid": ("100", "vip_routingtable"),
    "lb_fwdmethod": ("masquerade", "lb_enable"),
    "backend_health_check_interval": ("9", "lb_enable or vip_routingtable"),
    "control_plane_health_check_failure_threshold": ("9", "control_plane_health_check_address"),
}


@pytest.mark.parametrize(("name", "facts"), SHAPES.items())
def test_what_shapes_a_feature_that_is_off_gets_one_notice(name: str, facts: tuple[str, str]) -> None:
    text, needed = facts
    assert with_base(**{name: text}).notices == (f"{name}='{text}' has no effect without {needed}",)


def test_what_shapes_a_refused_feature_is_no_problem_of_its_own() -> None:
    told = problems(BASE | {"lb_enable": "true", "lb_port": "7000", "cp_enable": "true", "address": "10.0.0.1"})
    assert len(told) == 1


def test_a_value_of_a_feature_that_is_off_has_to_be_right_all_the_same() -> None:
    assert problems(BASE | {"bgp_as": "x"}) == ("bgp_as='x': write a whole number from 1 to 4294967295",)


NO_EFFECT = {
    "vip_loseleadership_timeout_seconds": "10",
    "vip_cidr": "24",
    "vipSubnet": "24",
    "vip_preserve_on_leadership_loss": "true",
    "enable_endpointslices": "false",
    "enableUPNP": "true",
    "vip_packet": "anything",
    "provider_config": "/etc/cloud",
    "vip_peers": "a:b:c",
    "bgp_source_if": "eth0",
    "vip_leaseannotations": "{not json",
    "vip_startleader": "true",
    "iptables_backend": "nft",
    "debounce_time": "1s",
    "dns_mode": "dual",
    "INSTANCE_NAME": "one",
}


@pytest.mark.parametrize(("name", "text"), NO_EFFECT.items())
def test_a_name_without_effect_is_accepted_and_told_why(name: str, text: str) -> None:
    (notice,) = with_base(**{name: text}).notices
    assert notice.startswith(f"{name}='{text}' has no effect: ")


@pytest.mark.parametrize(
    ("name", "guess"),
    [("vip_arprate", "vip_arpRate"), ("lb_clas_name", "lb_class_name"), ("VIP_INTERFACE", "vip_interface")],
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, guess: str) -> None:
    assert with_base(**{name: "x"}).notices == (
        f"{name} is ignored: there is no setting of that name; is {guess} meant?",
    )


def test_the_surroundings_are_not_told_about() -> None:
    surroundings = {"PATH": "/bin", "HOME": "/root", "HOSTNAME": "n1", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    services = {"LB_API_SERVICE_HOST": "10.96.0.7", "SVC_PORT": "tcp://10.96.0.8:80"}
    assert with_base(**surroundings, **services).notices == ()


def test_the_old_name_of_the_address_counts() -> None:
    loaded = load({"vip_arp": "true", "cp_enable": "true", "vip_address": "10.0.0.7"})
    assert loaded.settings.control_plane.addresses == (ip_address("10.0.0.7"),)
    assert loaded.notices == ("vip_address='10.0.0.7' still counts, but address is the name to use",)


def test_the_old_name_of_the_address_is_ignored_where_the_new_one_is_set() -> None:
    loaded = load(CONTROL_PLANE | {"vip_address": "10.0.0.7"})
    assert loaded.settings.control_plane.addresses == (ip_address("10.0.0.1"),)
    assert loaded.notices == ("vip_address='10.0.0.7' is ignored, because of address='10.0.0.1'",)


def test_both_names_of_the_address_may_say_the_same() -> None:
    assert load(CONTROL_PLANE | {"vip_address": "10.0.0.1"}).notices == ()


def test_the_lower_case_name_wins_over_the_upper_case_one() -> None:
    assert with_base(instance_name="low", INSTANCE_NAME="up").settings.egress.instance == "low"


def test_leaving_when_the_link_is_down_is_what_happens_anyway() -> None:
    assert with_base(vip_loseleadership="true").notices == ()


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("vip_check_command", "sh -c 'x", "write a program and its arguments as for a shell: No closing quotation"),
        ("vip_check_http", "localhost:6443/readyz", "write an http:// or https:// URL"),
        ("vip_check_interval", "0", "write seconds from 0.1 to 3600, such as 3 or 0.5"),
        ("vip_check_timeout", "2s", "write seconds from 0.1 to 3600, such as 3 or 0.5"),
        ("vip_check_fall", "0", "write a whole number from 1 to 1000"),
        ("vip_check_gates", "cp", "write all, controlplane or services"),
        ("vip_preferred_nodes", "a, b c", "write the Kubernetes node's name, without spaces and slashes"),
        ("vip_preferred_nodes", "a,,b", "write the Kubernetes node's name, without spaces and slashes"),
    ],
)
def test_a_wrong_setting_of_fitness_is_told_what_would_be_right(name: str, text: str, right: str) -> None:
    assert problems(BASE | {"vip_check_command": "true", name: text}) == (f"{name}={text!r}: {right}",)


def test_a_check_is_split_into_words_as_by_a_shell() -> None:
    assert with_base(vip_check_command="sh -c 'exit 1' \"a b\"").settings.fitness.command == (
        "sh",
        "-c",
        "exit 1",
        "a b",
    )


def test_preferred_nodes_are_named_as_nodes_are() -> None:
    assert with_base(vip_preferred_nodes="Node1, node2,node1").settings.fitness.preferred == ("node1", "node2")


def test_what_shapes_a_check_without_one_has_no_effect() -> None:
    (notice,) = with_base(vip_check_fall="9").notices
    assert notice == "vip_check_fall='9' has no effect without vip_check_command or vip_check_http"


def test_failing_back_to_nobody_has_no_effect() -> None:
    assert with_base(vip_failback="true").notices == ("vip_failback='true' has no effect without vip_preferred_nodes",)
