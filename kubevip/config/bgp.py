"""The settings of BGP mode, which kubevip doesn't have yet; see ``features`` for how that is told."""

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import NotYet, setting
from kubevip.model import IPAddress

_BGP = NotYet("BGP mode", "use vip_arp=true, or stay with kube-vip on these nodes")


@attrs.frozen(kw_only=True)
class Bgp:
    """Routers learn the addresses from sessions with the nodes."""

    enable: bool = setting(
        env="bgp_enable",
        flags=("--bgp",),
        keys=("EnableBGP",),
        form=form.BOOLEAN,
        default=False,
        since="0.1.8",
        support=_BGP,
        help="announce addresses by BGP",
    )
    attach: bool = setting(
        env="bgp_attach_ip_to_interface",
        flags=("--bgpAttachIPToInterface",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="1.2.2",
        support=_BGP,
        help="put the addresses of Services on the interface too",
    )
    router_id: IPAddress | None = setting(
        env="bgp_routerid",
        flags=("--bgpRouterID",),
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.1.8",
        support=_BGP,
        help="router id",
    )
    router_interface: str | None = setting(
        env="bgp_routerinterface",
        form=form.INTERFACE,
        needs=("bgp_enable",),
        since="0.2.2",
        support=_BGP,
        help="interface whose first address is the router id",
    )
    source_interface: str | None = setting(
        env="bgp_sourceif",
        flags=("--sourceIF",),
        form=form.INTERFACE,
        needs=("bgp_enable",),
        since="0.4.2",
        support=_BGP,
        help="interface that sessions start from",
    )
    source_address: IPAddress | None = setting(
        env="bgp_sourceip",
        flags=("--sourceIP",),
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.4.2",
        support=_BGP,
        help="address that sessions start from",
    )
    local_as: int = setting(
        env="bgp_as",
        flags=("--localAS",),
        form=form.integer(1, 2**32 - 1),
        default=65000,
        needs=("bgp_enable",),
        since="0.1.8",
        support=_BGP,
        help="AS number of this node",
    )
    peer_address: str = setting(
        env="bgp_peeraddress",
        flags=("--peerAddress",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        since="0.1.8",
        support=_BGP,
        help="address of one peer",
    )
    peer_as: int = setting(
        env="bgp_peeras",
        flags=("--peerAS",),
        form=form.integer(1, 2**32 - 1),
        default=65000,
        needs=("bgp_enable",),
        since="0.1.8",
        support=_BGP,
        help="AS number of that peer",
    )
    peer_password: str = setting(
        env="bgp_peerpass",
        flags=("--peerPass",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        secret=True,
        since="0.3.0",
        support=_BGP,
        help="TCP MD5 password of that peer",
    )
    multihop: bool = setting(
        env="bgp_multihop",
        flags=("--multihop",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="0.3.0",
        support=_BGP,
        help="that peer is more than one hop away",
    )
    peers: str = setting(
        env="bgp_peers",
        flags=("--bgppeers",),
        keys=("BGPPeers",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        secret=True,
        many=True,
        since="0.3.0",
        support=_BGP,
        help="peers, each address:AS:password:multihop, separated by commas",
    )
    hold_time: float = setting(
        env="bgp_hold_time",
        flags=("--bgpHoldTimer",),
        form=form.seconds(0),
        default=30.0,
        needs=("bgp_enable",),
        since="0.7.0",
        support=_BGP,
        help="hold time of sessions",
    )
    keepalive: float = setting(
        env="bgp_keepalive_interval",
        flags=("--bgpKeepAliveInterval",),
        form=form.seconds(0),
        default=10.0,
        needs=("bgp_enable",),
        since="0.7.0",
        support=_BGP,
        help="keepalive interval of sessions",
    )
    annotation: str = setting(
        env="annotation",
        flags=("--annotations",),
        keys=("Annotations",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        since="0.3.1",
        support=_BGP,
        help="prefix of the node annotations to take peers from",
    )
    zebra: bool = setting(
        env="zebra_enable",
        flags=("--zebra",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="1.0.0",
        support=_BGP,
        help="install routes by FRR's zebra",
    )
    zebra_url: str = setting(
        env="zebra_url",
        flags=("--zebraUrl",),
        form=form.TEXT,
        default="unix:/var/run/frr/zserv.api",
        needs=("bgp_enable",),
        since="1.0.0",
        support=_BGP,
        help="where zebra listens",
    )
    zebra_version: int = setting(
        env="zebra_version",
        flags=("--zebraVersion",),
        form=form.integer(0),
        default=6,
        needs=("bgp_enable",),
        since="1.0.0",
        support=_BGP,
        help="version of zebra's protocol",
    )
    zebra_software: str = setting(
        env="zebra_software_name",
        flags=("--zebraSoftwareName",),
        form=form.TEXT,
        default="frr8.3",
        needs=("bgp_enable",),
        since="1.0.0",
        support=_BGP,
        help="FRR's release",
    )
    next_hop: str = setting(
        env="mpbgp_nexthop",
        form=form.choice("fixed", "auto_sourceip", "auto_sourceif"),
        default="",
        needs=("bgp_enable",),
        since="0.8.10",
        support=_BGP,
        help="next hop of the other family",
    )
    next_hop_v4: IPAddress | None = setting(
        env="mpbgp_ipv4",
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.8.10",
        support=_BGP,
        help="fixed IPv4 next hop",
    )
    next_hop_v6: IPAddress | None = setting(
        env="mpbgp_ipv6",
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.8.10",
        support=_BGP,
        help="fixed IPv6 next hop",
    )
