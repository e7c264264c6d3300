"""By which addresses a peer reaches us: the next hops of our routes."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from kubevip.plugin import IPAddress
from kubevip_bgp.neighbors import NextHops
from kubevip_bgp.prefixes import Afi

# The node's own addresses by interface, no VIPs among them.
Interfaces = Mapping[str, tuple[IPAddress, ...]]


def own_next_hops(
    local: IPAddress,
    wanted: NextHops,
    interfaces: Interfaces,
    source_interface: str = "",
    *,
    extended: bool = False,
) -> dict[Afi, tuple[IPAddress, ...]]:
    """Return the next hops of each family that we can be reached in, in a session from the address *local*.

    In the session's own family that is *local* itself; in IPv6, where the peer is on our link, the link-local
    address goes with it (RFC 2545). Where both sides are *extended*, a node that has no IPv4 address there
    is reached in IPv4 by its IPv6 address (RFC 8950). A family for which there is no address is left out.
    """
    interface = source_interface if wanted.mode == "auto_sourceif" else _interface_of(local, interfaces)
    beside = interfaces.get(interface, ())
    hops: dict[Afi, tuple[IPAddress, ...]] = {}
    ipv4 = local if isinstance(local, IPv4Address) else wanted.ipv4 or _first(beside, 4)
    ipv6 = _ipv6(local, wanted, beside)
    if ipv4 is not None:
        hops[Afi.IPV4] = (ipv4,)
    elif extended and ipv6:
        hops[Afi.IPV4] = ipv6
    if ipv6:
        hops[Afi.IPV6] = ipv6
    return hops


def _ipv6(local: IPAddress, wanted: NextHops, beside: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    if isinstance(local, IPv6Address) and local.is_link_local:
        plain = IPv6Address(int(local))
        return (wanted.ipv6 or _first(beside, 6) or plain, plain)
    if isinstance(local, IPv6Address):
        return (local,)
    other = wanted.ipv6 or _first(beside, 6)
    return (other,) if other is not None else ()


def _interface_of(local: IPAddress, interfaces: Interfaces) -> str:
    if isinstance(local, IPv6Address) and local.scope_id:
        return local.scope_id
    return next((name for name, addresses in interfaces.items() if local in addresses), "")


def _first(addresses: tuple[IPAddress, ...], version: int) -> IPAddress | None:
    return next((each for each in addresses if each.version == version and not each.is_link_local), None)
