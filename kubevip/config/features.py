"""The settings of kube-vip's features that kubevip doesn't have yet.

They are parsed and typed like all others, so that a wrong value is named now. What would switch such a
feature on is refused; what only shapes it is accepted, as long as the feature is off. A feature that
arrives changes its ``support`` here, nothing else.
"""

from pathlib import Path

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.parse_network import Network
from kubevip.config.setting import Alias, NoEffect, NotYet, setting

_EGRESS = NotYet("egress from a Service's address", "stay with kube-vip where Services ask for it")
_NAMES = NoEffect("DNS names and DHCP are not there yet")
_ETCD = NotYet("election by etcd", "leave it out to elect by Leases")
_LOSE = NoEffect("a node whose interface is down gives its addresses up at once in any case")


@attrs.frozen(kw_only=True)
class Egress:
    """Traffic of Pods that leaves with a Service's address, for Services that are annotated for it."""

    pod_networks: tuple[Network, ...] = setting(
        env="egress_podcidr",
        keys=("EgressPodCidr",),
        form=net.NETWORKS,
        default=(),
        since="0.5.6",
        support=_EGRESS,
        help="networks of Pods, reached with the Pod's own address",
    )
    service_networks: tuple[Network, ...] = setting(
        env="egress_servicecidr",
        keys=("EgressServiceCidr",),
        form=net.NETWORKS,
        default=(),
        since="0.5.6",
        support=_EGRESS,
        help="networks of Services, reached with the Pod's own address",
    )
    nftables: bool = setting(
        env="egress_withnftables",
        flags=("--egressWithNftables",),
        keys=("EgressWithNftables",),
        form=form.BOOLEAN,
        default=True,
        since="0.5.12",
        support=NoEffect("egress is not there yet"),
        help="use nftables, not iptables",
    )
    internal_snat: bool = setting(
        env="egress_enableinternalsnat",
        form=form.BOOLEAN,
        default=False,
        since="1.2.2",
        support=_EGRESS,
        help="for traffic inside the cluster too",
    )
    clean: bool = setting(
        env="egress_clean",
        aliases=(Alias(env="EGRESS_CLEAN"),),
        keys=("EgressClean",),
        form=form.BOOLEAN,
        default=False,
        since="0.5.6",
        support=_EGRESS,
        help="remove rules of an earlier run at the start",
    )
    instance: str = setting(
        env="instance_name",
        flags=("--instanceName",),
        aliases=(Alias(env="INSTANCE_NAME"),),
        form=form.INSTANCE_NAME,
        default="",
        since="1.2.2",
        support=NoEffect("egress, whose tables it names, is not there yet"),
        help="tells apart the tables of several agents on one node",
    )


@attrs.frozen(kw_only=True)
class Naming:
    """Addresses that come from DNS and DHCP."""

    dns: str = setting(
        env="dns_mode",
        flags=("--dnsMode",),
        keys=("DNSMode",),
        form=form.choice("first", "ipv4", "ipv6", "dual"),
        default="first",
        since="0.7.0",
        support=_NAMES,
        help="which of a name's addresses are taken",
    )
    dhcp: str = setting(
        env="dhcp_mode",
        flags=("--dhcpMode",),
        form=form.choice("ipv4", "ipv6", "dual"),
        default="ipv4",
        since="1.0.3",
        support=_NAMES,
        help="families to request by DHCP",
    )
    attempts: int = setting(
        env="dhcp_backoff_attempts",
        flags=("--dhcpBackoffAttempts",),
        form=form.integer(0),
        default=3,
        since="1.0.4",
        support=_NAMES,
        help="DHCP requests before giving up; 0: for ever",
    )


@attrs.frozen(kw_only=True)
class Extras:
    """Smaller features of the node."""

    labels: bool = setting(
        env="enable_node_labeling",
        flags=("--enableNodeLabeling",),
        keys=("EnableNodeLabeling",),
        form=form.BOOLEAN,
        default=False,
        since="0.6.3",
        support=NotYet("labelling nodes", "see the Lease's holder for the node of an address"),
        help="label the node with the addresses that it holds",
    )
    upnp: bool = setting(
        env="enable_upnp",
        keys=("EnableUPNP",),
        form=form.BOOLEAN,
        default=False,
        since="1.0.0",
        support=NotYet("UPnP", "forward the ports on the router"),
        help="open a router's ports for Services by UPnP",
    )
    mirror: str | None = setting(
        env="mirror_dest_interface",
        flags=("--mirrorDestInterface",),
        keys=("MirrorDestInterface",),
        form=form.INTERFACE,
        since="0.8.0",
        support=NotYet("mirroring traffic", "set up a mirror with tc"),
        help="interface that traffic of Services is copied to",
    )
    lose_leadership: bool = setting(
        env="vip_loseleadership",
        flags=("--loseLeadership",),
        form=form.BOOLEAN,
        default=False,
        since="1.2.2",
        support=NoEffect(_LOSE.why, silent=True),
        help="give up when the interface stays down",
    )
    lose_leadership_timeout: float = setting(
        env="vip_loseleadership_timeout_seconds",
        flags=("--loseLeadershiptTimeoutSeconds", "--loseLeadershipTimeoutSeconds"),
        form=form.seconds(0),
        default=30.0,
        since="1.2.2",
        support=_LOSE,
        help="seconds that the interface may be down",
    )


@attrs.frozen(kw_only=True)
class Etcd:
    """Elections held by etcd."""

    election: str = setting(
        env="",
        flags=("--leaderElectionType",),
        keys=("LeaderElectionType",),
        form=form.choice("kubernetes", "etcd"),
        default="kubernetes",
        support=_ETCD,
        help="where elections are held",
    )
    ca: Path | None = setting(
        env="",
        flags=("--etcdCACert",),
        form=form.PATH,
        needs=("leaderElectionType",),
        support=_ETCD,
        help="etcd's CA certificate",
    )
    certificate: Path | None = setting(
        env="",
        flags=("--etcdCert",),
        form=form.PATH,
        needs=("leaderElectionType",),
        support=_ETCD,
        help="client certificate for etcd",
    )
    key: Path | None = setting(
        env="",
        flags=("--etcdKey",),
        form=form.PATH,
        needs=("leaderElectionType",),
        support=_ETCD,
        help="client key for etcd",
    )
    endpoints: str = setting(
        env="",
        flags=("--etcdEndpoints",),
        form=form.TEXT,
        default="",
        needs=("leaderElectionType",),
        many=True,
        support=_ETCD,
        help="etcd's members",
    )
