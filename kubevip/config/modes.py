"""The settings of routing-table mode; and of WireGuard and balancing, which are not there yet (see ``features``)."""

from pathlib import Path

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import NotYet, setting

_MODE = "use vip_arp=true, bgp_enable=true or vip_routingtable=true, or stay with kube-vip on these nodes"
_BALANCER = NotYet("balancing the API servers by IPVS", "leave lb_enable out")
_WIREGUARD = NotYet("WireGuard mode", _MODE)


@attrs.frozen(kw_only=True)
class RoutingTable:
    """A routing daemon on the node takes the addresses from a table."""

    enable: bool = setting(
        env="vip_routingtable",
        flags=("--table",),
        keys=("EnableRoutingTable",),
        form=form.BOOLEAN,
        default=False,
        since="0.5.0",
        help="announce addresses by routes in a table, from which a routing daemon on the node takes them; every node "
        "announces, without an election",
    )
    table: int = setting(
        env="vip_routingtableid",
        flags=("--tableID",),
        keys=("RoutingTableID",),
        form=form.integer(0, 2**32 - 1),
        default=198,
        needs=("vip_routingtable",),
        since="0.6.4",
        help="number of the table that the routes are put into",
    )
    kind: int = setting(
        env="vip_routingtabletype",
        flags=("--tableType",),
        keys=("RoutingTableType",),
        form=form.integer(0, 255),
        default=1,
        needs=("vip_routingtable",),
        since="0.6.4",
        help="type of the routes: 1 unicast, 2 local, 6 blackhole, 7 unreachable, 8 prohibit",
    )
    protocol: int = setting(
        env="vip_routingprotocol",
        flags=("--routingProtocol",),
        keys=("RoutingProtocol",),
        form=form.integer(0, 255),
        default=248,
        needs=("vip_routingtable",),
        since="0.7.1",
        help="protocol number of the routes, which marks them as ours",
    )
    clean: bool = setting(
        env="vip_cleanroutingtable",
        flags=("--cleanRoutingTable",),
        keys=("CleanRoutingTable",),
        form=form.BOOLEAN,
        default=False,
        needs=("vip_routingtable",),
        since="0.7.1",
        help="remove what is left of our protocol in the table: 10 s after the start, and at the end",
    )


@attrs.frozen(kw_only=True)
class Wireguard:
    """Traffic for the addresses comes through tunnels."""

    enable: bool = setting(
        env="vip_wireguard",
        flags=("--wireguard",),
        keys=("EnableWireguard",),
        form=form.BOOLEAN,
        default=False,
        since="0.5.0",
        support=_WIREGUARD,
        help="carry addresses through WireGuard tunnels",
    )


@attrs.frozen(kw_only=True)
class Balancer:
    """Connections to the control plane's address are spread over all API servers by IPVS."""

    enable: bool = setting(
        env="lb_enable",
        flags=("--enableLoadBalancer",),
        keys=("EnableLoadBalancer",),
        form=form.BOOLEAN,
        default=False,
        since="0.1.6",
        support=_BALANCER,
        help="balance API servers by IPVS",
    )
    port: int = setting(
        env="lb_port",
        flags=("--lbPort",),
        keys=("LoadBalancerPort",),
        form=form.PORT,
        default=6443,
        needs=("lb_enable",),
        since="0.1.5",
        support=_BALANCER,
        help="port that is balanced",
    )
    method: str = setting(
        env="lb_fwdmethod",
        flags=("--lbForwardingMethod",),
        keys=("LoadBalancerForwardingMethod",),
        form=form.TEXT,
        default="local",
        needs=("lb_enable",),
        since="0.4.1",
        support=_BALANCER,
        help="local, masquerade, tunnel, directroute or bypass",
    )
    interval: float = setting(
        env="backend_health_check_interval",
        keys=("BackendHealthCheckInterval",),
        form=form.seconds(0),
        default=5.0,
        needs=("lb_enable", "vip_routingtable"),
        since="0.8.0",
        help="seconds between looks at the routing table, to put again what somebody has removed; 0 means 5",
    )


@attrs.frozen(kw_only=True)
class ControlPlaneHealth:
    """Whether this node announces the control plane, where every node does so: as its own API server is healthy."""

    url: str = setting(
        env="control_plane_health_check_address",
        flags=("--controlPlaneHealthCheckAddress",),
        form=net.HTTP_URL,
        default="",
        needs=("cp_enable",),
        since="1.2.0",
        help="URL that tells by the status 200 that this node's own API server is healthy; without an election, the "
        "control plane's address is announced only while it does",
    )
    period: float = setting(
        env="control_plane_health_check_period_seconds",
        flags=("--controlPlaneHealthCheckPeriodSeconds",),
        form=form.SECONDS,
        default=5.0,
        needs=("control_plane_health_check_address",),
        since="1.2.0",
        help="seconds from the start of a check to that of the next one",
    )
    timeout: float = setting(
        env="control_plane_health_check_timeout_seconds",
        flags=("--controlPlaneHealthCheckTimeoutSeconds",),
        form=form.SECONDS,
        default=3.0,
        needs=("control_plane_health_check_address",),
        since="1.2.0",
        help="seconds that one check may take; then it has failed",
    )
    failures: int = setting(
        env="control_plane_health_check_failure_threshold",
        flags=("--controlPlaneHealthCheckFailureThreshold",),
        form=form.integer(1),
        default=3,
        needs=("control_plane_health_check_address",),
        since="1.2.0",
        help="failures in a row after which the address is withdrawn; one success announces it again",
    )
    ca: Path | None = setting(
        env="control_plane_health_check_ca_path",
        flags=("--controlPlaneHealthCheckCAPath",),
        form=form.PATH,
        needs=("control_plane_health_check_address",),
        since="1.2.0",
        help="certificate authorities that the API server's certificate is verified with; unless set the system's",
    )
