"""Settings are written as the environment that gives them back."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubevip.config import load
from kubevip.config.setting import Supported
from kubevip.config.table import SETTINGS
from kubevip.manifest import environment

BOOLEANS = st.sampled_from(["true", "false"])
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
V4 = st.ip_addresses(v=4, network="10.0.0.0/8").map(str)
V6 = st.ip_addresses(v=6, network="fd00::/8").map(str)
TEXTS = {
    "boolean": BOOLEANS,
    "port": st.integers(1024, 65535).map(str),
    "integer": st.integers(-8, 8).map(str),
    "milliseconds": st.integers(0, 10_000).map(str),
    "heartbeat": st.integers(10, 1000).map(str),
    "off|warn|resign": st.sampled_from(["off", "warn", "resign"]),
    "alarm|defend|yield": st.sampled_from(["alarm", "defend", "yield"]),
    "seconds": st.integers(1, 60).map(str),
    "IP addresses": st.lists(V4 | V6, min_size=1, max_size=3).map(",".join),
    "off|fast": st.sampled_from(["off", "fast"]),
    "fence|hold|quorum": st.sampled_from(["fence", "hold"]),  # quorum needs heartbeats
    "namespace": NAMES,
    "Lease": NAMES | st.tuples(NAMES, NAMES).map("/".join),
    "interface": st.sampled_from(["eth0", "bond0.100", "auto", "lo"]),
    "prefix lengths": st.sampled_from(["32", "24", "64", "24,64", "auto"]),
    "host:port": st.sampled_from([":2112", "off", "127.0.0.1:9", "[::1]:9"]),
    "path": st.sampled_from(["/etc/kubernetes/pki/ca.crt"]),
    "URL": st.sampled_from(["10.0.0.1", "https://api:6443"]),
    "names": st.lists(NAMES, min_size=1, max_size=3).map(",".join),
    "text": st.text("abc./-", min_size=0, max_size=12),
    "command": st.sampled_from(["/bin/true", "sh -c 'exit 1; :'", "check --port 6443"]),
    "http URL": st.sampled_from(["https://localhost:6443/readyz", "http://127.0.0.1:10256/healthz"]),
    "together|spread": st.sampled_from(["together", "spread"]),
    "weight": st.sampled_from(["0.01", "0.5", "2", "1000"]),
    "zone": st.sampled_from(["a", "eu-west-1a", "rack_7.b"]),
    "all|controlplane|services": st.sampled_from(["all", "controlplane", "services"]),
    "node names": st.lists(NAMES, min_size=1, max_size=3).map(",".join),
    "AS number": st.integers(1, 2**32 - 1).map(str),
    "number": st.integers(0, 2**32 - 1).map(str),
    "restart time": st.integers(0, 4095).map(str),
    "prepend": st.integers(0, 20).map(str),
    "active|passive|both": st.sampled_from(["active", "passive", "both"]),
    "fixed|auto_sourceip|auto_sourceif": st.sampled_from(["fixed", "auto_sourceip", "auto_sourceif"]),
    "address": V4 | V6,
    "auto|text|json": st.sampled_from(["auto", "text", "json"]),
}
APART = {"vip_nodename", "k8s_config_file", "config_file"}  # from the Pod, a volume and the place of the values
TIMES = ("vip_leaseduration", "vip_renewdeadline", "vip_retryperiod")
SECONDS = {
    "vip_linger": ["0", "0.25", "60"],
    "vip_check_interval": ["0.1", "5"],
    "vip_check_timeout": ["0.25", "30"],
    "vip_failback_delay": ["0", "300"],
    "vip_routingtableid": ["0", "198", "70000"],
    "vip_routingtabletype": ["1", "6"],
    "vip_routingprotocol": ["5", "255"],
}
COUNTS = ("vip_check_fall", "vip_check_rise", "control_plane_health_check_failure_threshold")
SWITCHES = ("vip_arp", "bgp_enable", "vip_routingtable", "cp_enable", "svc_enable")
SETTLED = {*SWITCHES, "address", "health_check_port", *SECONDS, *COUNTS, *APART, *TIMES}
OPTIONAL = {
    setting.env: TEXTS[setting.form.name]
    for setting in SETTINGS
    if isinstance(setting.support, Supported) and setting.env not in SETTLED
} | {
    "health_check_port": st.integers(3000, 65535).map(str),
    **{name: st.sampled_from(texts) for name, texts in SECONDS.items()},
    **{name: st.integers(1, 1000).map(str) for name in COUNTS},
}
# There are no heartbeats for the Leases of single Services, and here are no others.
SERVICES = st.fixed_dictionaries(
    {"vip_arp": st.just("true"), "svc_enable": st.just("true"), "vip_nodename": st.just("n1")}, optional=OPTIONAL
).filter(lambda texts: (texts.get("svc_election"), texts.get("vip_failover")) != ("true", "fast"))
BOTH = st.fixed_dictionaries(
    {
        "vip_arp": st.just("true"),
        "cp_enable": st.just("true"),
        "vip_nodename": st.just("n1"),
        "address": st.lists(V4 | V6, min_size=1, max_size=3).map(",".join),
    },
    optional=OPTIONAL | {"svc_enable": BOOLEANS, "vip_subnet": st.sampled_from(["32", "24", "64", "24,64"])},
)
TIMINGS = st.sampled_from([{}, dict(zip(TIMES, ("5", "3", "1"), strict=True)), {"vip_leaseduration": "60"}])


@settings(max_examples=300, deadline=None)
@given(SERVICES | BOTH, TIMINGS)
def test_the_environment_of_settings_gives_them_back(environ: dict[str, str], timing: dict[str, str]) -> None:
    wanted = load(environ | timing).settings
    texts = environment(wanted)
    assert len({name for name, _ in texts}) == len(texts)
    assert load({"vip_nodename": "n1"} | dict(texts)).settings == wanted


def written(**environ: str) -> dict[str, str]:
    return dict(environment(load(environ).settings))


CONTROL_PLANE = {"vip_arp": "true", "cp_enable": "true", "address": "10.0.0.1"}


def test_only_what_kube_vip_shows_and_what_differs_is_written() -> None:
    assert written(**CONTROL_PLANE) == {
        "vip_arp": "true",
        "port": "6443",
        "vip_subnet": "32",
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "address": "10.0.0.1",
        "prometheus_server": ":2112",
    }


def test_the_order_is_that_of_kube_vip() -> None:
    names = [*written(**CONTROL_PLANE, svc_enable="true", vip_leaderelection="true", vip_interface="eth0")]
    assert names == [
        "vip_arp",
        "port",
        "vip_interface",
        "vip_subnet",
        "cp_enable",
        "cp_namespace",
        "svc_enable",
        "svc_leasename",
        "vip_leaderelection",
        "vip_leasename",
        "vip_leaseduration",
        "vip_renewdeadline",
        "vip_retryperiod",
        "address",
        "prometheus_server",
    ]


def test_kubevips_own_settings_come_last() -> None:
    assert [*written(**CONTROL_PLANE, vip_linger="1.5")][-1] == "vip_linger"


@pytest.mark.parametrize(
    ("address", "subnet"), [("10.0.0.1", "32"), ("fd00::1", "128"), ("fd00::1,10.0.0.1", "32,128")]
)
def test_the_prefix_of_the_address_is_written(address: str, subnet: str) -> None:
    assert written(vip_arp="true", cp_enable="true", address=address)["vip_subnet"] == subnet


def test_the_old_name_of_the_address_is_written_as_the_new_one() -> None:
    texts = written(vip_arp="true", cp_enable="true", vip_address="10.0.0.1")
    assert (texts["address"], texts["vip_subnet"], "vip_address" in texts) == ("10.0.0.1", "32", False)


def test_a_services_setting_brings_its_gate() -> None:
    assert written(**CONTROL_PLANE, svc_enable="false", svc_election="true")["svc_enable"] == "false"


def test_an_empty_class_name_is_written() -> None:
    assert written(vip_arp="true", svc_enable="true", lb_class_name="")["lb_class_name"] == ""


def test_settings_made_by_hand_are_written_too() -> None:
    made = load(CONTROL_PLANE).settings
    made = attrs.evolve(made, serving=attrs.evolve(made.serving, prometheus=None))
    assert dict(environment(made))["prometheus_server"] == "off"
