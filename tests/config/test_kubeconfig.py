"""Where the API server's credentials are looked for, in order."""

from pathlib import Path

from kubevip.config import ADMIN_CONF, InCluster, Kubeconfig, Server, kubeconfig_candidates, load

SERVICES = {"vip_arp": "true", "svc_enable": "true"}
CONTROL_PLANE = {"vip_arp": "true", "cp_enable": "true", "address": "10.0.0.1"}
POD = {"HOME": "/home/of/pod", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}


def candidates(environ: dict[str, str]) -> tuple[Kubeconfig | InCluster, ...]:
    return kubeconfig_candidates(load(environ).settings, environ)


def files(environ: dict[str, str]) -> list[tuple[str, ...]]:
    return [tuple(map(str, one.paths)) for one in candidates(environ) if isinstance(one, Kubeconfig)]


def admin_server(environ: dict[str, str]) -> Server | None:
    (one,) = [one for one in candidates(environ) if isinstance(one, Kubeconfig) and one.paths == (ADMIN_CONF,)]
    return one.server


def test_the_order_is_what_is_named_then_the_well_known_then_the_pods_own() -> None:
    environ = SERVICES | POD | {"KUBECONFIG": "/a:/b", "k8s_config_file": "/c"}
    assert files(environ) == [("/a", "/b"), ("/c",), (str(ADMIN_CONF),), (f"{POD['HOME']}/.kube/config",)]
    assert isinstance(candidates(environ)[-1], InCluster)


def test_a_pod_without_mounts_is_left_with_its_account() -> None:
    found = [one for one in candidates(SERVICES | POD) if isinstance(one, InCluster) or one.required]
    assert found == [InCluster(reason="the Pod's ServiceAccount")]


def test_what_somebody_named_has_to_be_there() -> None:
    environ = SERVICES | {"KUBECONFIG": "/a", "k8s_config_file": "/c"}
    required = [one.paths for one in candidates(environ) if isinstance(one, Kubeconfig) and one.required]
    assert required == [(Path("/a"),), (Path("/c"),)]


def test_naming_the_well_known_file_changes_nothing() -> None:
    assert candidates(SERVICES | {"k8s_config_file": str(ADMIN_CONF)}) == candidates(SERVICES)


def test_empty_parts_of_kubeconfig_are_skipped() -> None:
    assert files(SERVICES | {"KUBECONFIG": ":/a:"})[0] == ("/a",)


def test_without_a_home_there_is_no_file_of_the_user() -> None:
    assert files(SERVICES) == [(str(ADMIN_CONF),)]


def test_every_candidate_says_why_it_is_tried() -> None:
    environ = SERVICES | POD | {"KUBECONFIG": "/a", "k8s_config_file": "/c"}
    assert all(one.reason for one in candidates(environ))


def test_the_control_plane_talks_to_the_api_server_beside_it_where_that_has_a_name() -> None:
    assert admin_server(CONTROL_PLANE | {"port": "7443"}) == Server(
        url="https://kubernetes:7443", if_resolves="kubernetes"
    )


def test_services_alone_talk_to_the_server_of_the_file() -> None:
    assert admin_server(SERVICES) is None


def test_kubernetes_addr_wins_without_a_condition() -> None:
    assert admin_server(CONTROL_PLANE | {"kubernetes_addr": "10.0.0.9:6443"}) == Server(url="https://10.0.0.9:6443")


def test_only_the_well_known_file_gets_another_server() -> None:
    environ = CONTROL_PLANE | POD | {"KUBECONFIG": "/a", "k8s_config_file": "/c"}
    replaced = [one.paths for one in candidates(environ) if isinstance(one, Kubeconfig) and one.server]
    assert replaced == [(ADMIN_CONF,)]
