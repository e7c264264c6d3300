"""The settings of BGP mode. What is written of peers and routes is read, and checked, by the backend ``bgp``."""

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import NotYet, setting
from kubevip.model import IPAddress

# All that an OPEN has room for, in seconds.
_LONGEST_HOLD = 2**16 - 1
_ZEBRA = NotYet("installing routes by FRR's zebra", "leave zebra_enable out: routes are told to the peers alone")


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
        help="announce addresses by BGP; every node announces, without an election, unless vip_leaderelection is on",
    )
    attach: bool = setting(
        env="bgp_attach_ip_to_interface",
        flags=("--bgpAttachIPToInterface",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="1.2.2",
        help="put the addresses of Services on the interface too",
    )
    router_id: IPAddress | None = setting(
        env="bgp_routerid",
        flags=("--bgpRouterID",),
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.1.8",
        help="router id; unless set the first IPv4 address of the node",
    )
    router_interface: str | None = setting(
        env="bgp_routerinterface",
        form=form.INTERFACE,
        needs=("bgp_enable",),
        since="0.2.2",
        help="interface whose first address is the router id",
    )
    source_interface: str | None = setting(
        env="bgp_sourceif",
        flags=("--sourceIF",),
        form=form.INTERFACE,
        needs=("bgp_enable",),
        since="0.4.2",
        help="interface that sessions start from",
    )
    source_address: IPAddress | None = setting(
        env="bgp_sourceip",
        flags=("--sourceIP",),
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.4.2",
        help="address that sessions start from",
    )
    local_as: int = setting(
        env="bgp_as",
        flags=("--localAS",),
        form=net.AS_NUMBER,
        default=65000,
        needs=("bgp_enable",),
        since="0.1.8",
        help="AS number of this node",
    )
    peer_address: str = setting(
        env="bgp_peeraddress",
        flags=("--peerAddress",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        since="0.1.8",
        help="address of one peer",
    )
    peer_as: int = setting(
        env="bgp_peeras",
        flags=("--peerAS",),
        form=net.AS_NUMBER,
        default=65000,
        needs=("bgp_enable",),
        since="0.1.8",
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
        help="TCP MD5 password of that peer",
    )
    multihop: bool = setting(
        env="bgp_multihop",
        flags=("--multihop",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="0.3.0",
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
        help="peers, each address:AS:password:multihop:port:mpbgp:bfd, separated by commas",
    )
    hold_time: float = setting(
        env="bgp_hold_time",
        flags=("--bgpHoldTimer",),
        form=form.seconds(0, _LONGEST_HOLD),
        default=30.0,
        needs=("bgp_enable",),
        since="0.7.0",
        help="seconds after which a silent peer is given up; 0: never",
    )
    keepalive: float = setting(
        env="bgp_keepalive_interval",
        flags=("--bgpKeepAliveInterval",),
        form=form.seconds(0, _LONGEST_HOLD),
        default=10.0,
        needs=("bgp_enable",),
        since="0.7.0",
        help="seconds between signs of life; at most a third of the hold time counts",
    )
    annotation: str = setting(
        env="annotation",
        flags=("--annotations",),
        keys=("Annotations",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        since="0.3.1",
        help="prefix of the node's annotations to take AS number, source and peers from; they are waited for",
    )
    zebra: bool = setting(
        env="zebra_enable",
        flags=("--zebra",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="1.0.0",
        support=_ZEBRA,
        help="install routes by FRR's zebra",
    )
    zebra_url: str = setting(
        env="zebra_url",
        flags=("--zebraUrl",),
        form=form.TEXT,
        default="unix:/var/run/frr/zserv.api",
        needs=("zebra_enable",),
        since="1.0.0",
        support=_ZEBRA,
        help="where zebra listens",
    )
    zebra_version: int = setting(
        env="zebra_version",
        flags=("--zebraVersion",),
        form=form.integer(0),
        default=6,
        needs=("zebra_enable",),
        since="1.0.0",
        support=_ZEBRA,
        help="version of zebra's protocol",
    )
    zebra_software: str = setting(
        env="zebra_software_name",
        flags=("--zebraSoftwareName",),
        form=form.TEXT,
        default="frr8.3",
        needs=("zebra_enable",),
        since="1.0.0",
        support=_ZEBRA,
        help="FRR's release",
    )
    next_hop: str = setting(
        env="mpbgp_nexthop",
        form=form.choice("fixed", "auto_sourceip", "auto_sourceif"),
        default="",
        needs=("bgp_enable",),
        since="0.8.10",
        help="next hop of the family that a session isn't of; unless set an address of the session's interface",
    )
    next_hop_v4: IPAddress | None = setting(
        env="mpbgp_ipv4",
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.8.10",
        help="fixed IPv4 next hop",
    )
    next_hop_v6: IPAddress | None = setting(
        env="mpbgp_ipv6",
        form=net.ADDRESS,
        needs=("bgp_enable",),
        since="0.8.10",
        help="fixed IPv6 next hop",
    )
    connection: str = setting(
        env="bgp_connection",
        flags=("--bgpConnection",),
        form=form.choice("active", "passive", "both"),
        default="active",
        needs=("bgp_enable",),
        since="kubevip",
        help="who may begin a session: we, the peer (on port 179), or both",
    )
    ttl_security: bool = setting(
        env="bgp_ttl_security",
        flags=("--bgpTTLSecurity",),
        form=form.BOOLEAN,
        default=False,
        needs=("bgp_enable",),
        since="kubevip",
        help="take packets of neighbours only, by their TTL of 255; the peers have to do the same",
    )
    graceful_restart: int = setting(
        env="bgp_graceful_restart",
        flags=("--bgpGracefulRestart",),
        form=net.RESTART_TIME,
        default=0,
        needs=("bgp_enable",),
        since="kubevip",
        help="seconds that peers keep our routes when the agent is gone without a word; 0: not at all",
    )
    communities: str = setting(
        env="bgp_communities",
        flags=("--bgpCommunities",),
        form=form.TEXT,
        default="",
        needs=("bgp_enable",),
        many=True,
        since="kubevip",
        help="communities of our routes, such as 65000:1, and large ones, such as 65000:1:2, separated by commas",
    )
    local_preference: int = setting(
        env="bgp_local_pref",
        flags=("--bgpLocalPref",),
        form=net.UNSIGNED,
        default=100,
        needs=("bgp_enable",),
        since="kubevip",
        help="local preference of our routes, for peers of the own AS",
    )
    med: int | None = setting(
        env="bgp_med",
        flags=("--bgpMED",),
        form=net.UNSIGNED,
        default_text="none",
        needs=("bgp_enable",),
        since="kubevip",
        help="multi-exit discriminator of our routes",
    )
    prepend: int = setting(
        env="bgp_prepend",
        flags=("--bgpPrepend",),
        form=net.PREPEND,
        default=0,
        needs=("bgp_enable",),
        since="kubevip",
        help="how often our AS number is put before the path once more",
    )
