"""The settings of the node, its mode, and the control plane's address."""

import ipaddress
import platform

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import Alias, NoEffect, NotYet, setting
from kubevip.model import Family, IPAddress, LeaseKey


def host_name() -> str:
    """Return this machine's name, lower-cased as the kubelet makes it into the node's name."""
    return platform.node().lower()


@attrs.frozen(kw_only=True)
class Node:
    """Who this node is, and where virtual addresses go."""

    name: str = setting(
        env="vip_nodename",
        flags=("--nodeName",),
        keys=("NodeName",),
        form=form.NODE_NAME,
        factory=host_name,
        default_text="the host's name",
        since="0.8.0",
        help="the Kubernetes node's name: the identity in elections, and where Pods are looked up",
    )
    interface: str | None = setting(
        env="vip_interface",
        flags=("--interface",),
        keys=("Interface",),
        form=form.INTERFACE,
        default_text="that of the default route",
        since="0.1.5",
        help="interface that virtual addresses are put on",
    )
    services_interface: str | None = setting(
        env="vip_servicesinterface",
        flags=("--serviceInterface", "--servicesInterface"),
        keys=("ServicesInterface",),
        form=form.INTERFACE,
        default_text="vip_interface",
        needs=("svc_enable",),
        since="0.3.9",
        help="interface for the addresses of Services; auto: the one that has a subnet with the address",
    )
    loopback_global: bool = setting(
        env="vip_interfaceloglobal",
        flags=("--loInterfaceGlobalScope",),
        keys=("LoInterfaceGlobalScope",),
        form=form.BOOLEAN,
        default=False,
        since="0.8.4",
        help="on the interface lo, give addresses global scope, not host scope",
    )
    allow_interface_not_up: bool = setting(
        env="vip_allow_interface_not_up",
        flags=("--allowInterfaceNotUp",),
        form=form.BOOLEAN,
        default=False,
        since="1.2.2",
        help="start although the interface is not up",
    )
    prefixes: net.Prefixes = setting(
        env="vip_subnet",
        flags=("--vipSubnet",),
        keys=("VIPSubnet",),
        form=net.PREFIXES,
        default=net.Prefixes(),
        default_text="32 for IPv4, 128 for IPv6",
        since="0.5.6",
        help="prefix lengths of virtual addresses: 32, or 32,128 (IPv4 first), or auto for that of the "
        "interface's own subnet (ARP mode without address)",
    )
    backends: tuple[str, ...] = setting(
        env="vip_backends",
        flags=("--backends",),
        form=form.BACKENDS,
        default=("arp", "ndp"),
        since="kubevip",
        help="backends that announce, by name: for each address family the first one that can",
    )
    skip_dad: bool = setting(
        env="vip_skipdad",
        form=form.BOOLEAN,
        default=False,
        since="1.2.3",
        support=NoEffect("no address waits for duplicate address detection: its Lease says whose it is", silent=True),
        help="put IPv6 addresses on the link without duplicate address detection",
    )


@attrs.frozen(kw_only=True)
class Arp:
    """The mode for one layer-2 segment: ARP for IPv4, neighbour discovery for IPv6."""

    enable: bool = setting(
        env="vip_arp",
        flags=("--arp",),
        keys=("EnableARP",),
        form=form.BOOLEAN,
        default=False,
        since="0.1.5",
        help="announce addresses by ARP and neighbour discovery; every address has one holder, by election",
    )
    rate: float = setting(
        env="vip_arpRate",
        keys=("ArpBroadcastRate",),
        form=form.ARP_RATE,
        default=3.0,
        since="0.5.6",
        help="milliseconds between announcements of a held address; below 500 means 3000",
    )


@attrs.frozen(kw_only=True)
class ControlPlane:
    """The address of the Kubernetes API servers."""

    enable: bool = setting(
        env="cp_enable",
        flags=("--controlplane",),
        keys=("EnableControlPlane",),
        form=form.BOOLEAN,
        default=False,
        since="0.3.0",
        help="keep the control plane's address",
    )
    address: tuple[IPAddress | str, ...] = setting(
        env="address",
        flags=("--address",),
        keys=("Address",),
        aliases=(
            Alias(
                env="vip_address",
                flags=("--vip",),
                keys=("VIP",),
                note="still counts, but address is the name to use",
            ),
        ),
        form=net.ADDRESSES,
        default=(),
        needs=("cp_enable",),
        since="0.1.9",
        help="the control plane's address, or several separated by commas (dual stack)",
    )
    port: int = setting(
        env="port",
        flags=("--port",),
        keys=("Port",),
        form=form.PORT,
        default=6443,
        needs=("cp_enable",),
        since="0.2.2",
        help="port of the API servers, on this node too (server of /etc/kubernetes/admin.conf)",
    )
    namespace: str = setting(
        env="cp_namespace",
        flags=("--namespace", "-n"),
        keys=("Namespace",),
        form=form.NAMESPACE,
        default="kube-system",
        since="0.3.0",
        help="namespace of the Leases",
    )
    lease_name: str = setting(
        env="vip_leasename",
        flags=("--leaseName",),
        keys=("LeaseName",),
        form=form.LEASE_NAME,
        default="plndr-cp-lock",
        needs=("cp_enable",),
        since="0.6.1",
        help="Lease of the control plane's address: name, or namespace/name",
    )
    detect: bool = setting(
        env="cp_detect",
        flags=("--autodetectcp",),
        keys=("DetectControlPlane",),
        form=form.BOOLEAN,
        default=False,
        needs=("cp_enable",),
        since="0.7.0",
        support=NotYet("finding the API server by its certificate", "name it with kubernetes_addr"),
        help="find the local API server's address in its certificate",
    )
    ddns: bool = setting(
        env="vip_ddns",
        flags=("--ddns",),
        keys=("DDNS",),
        form=form.BOOLEAN,
        default=False,
        needs=("cp_enable",),
        since="0.2.2",
        support=NotYet("an address from DHCP for a DNS name", "give an IP address in address"),
        help="request the address of the DNS name in address by DHCP",
    )

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The IP addresses among *address*."""
        known = (ipaddress.IPv4Address, ipaddress.IPv6Address)
        return tuple(part for part in self.address if isinstance(part, known))

    @property
    def address_names(self) -> tuple[str, ...]:
        """The DNS names among *address*."""
        return tuple(part for part in self.address if isinstance(part, str))

    @property
    def families(self) -> frozenset[Family]:
        """The families of *addresses*."""
        return frozenset(Family.of(address) for address in self.addresses)

    @property
    def lease(self) -> LeaseKey:
        """The Lease that governs *addresses*."""
        return LeaseKey.parse(self.lease_name, default_namespace=self.namespace)
