"""ConfigMaps, each with what it means: the addresses of its pools, written down independently of the code."""

import ipaddress
from collections.abc import Mapping, Sequence

import attrs

from kubevip import ipam
from kubevip.ipam import Pools
from kubevip.model import IPAddress

Chain = Sequence[tuple[str, frozenset[IPAddress]]]


def span(first: str, last: str) -> frozenset[IPAddress]:
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(last)
    return frozenset(type(one)(number) for number in range(int(one), int(other) + 1))


@attrs.frozen
class Config:
    """The *data* of a ConfigMap, ``None`` where there is none; *pools* are by namespace, ``*`` is any other."""

    data: Mapping[str, str] | None
    pools: Mapping[str, Chain] = attrs.field(factory=dict)
    shares: bool = False

    def chain(self, namespace: str) -> Chain:
        return self.pools.get(namespace, self.pools.get("*", ()))

    def read(self) -> Pools | None:
        return None if self.data is None else ipam.read(self.data)


ONE, TWO, THREE = (span("10.0.0.1", f"10.0.0.{last}") for last in (1, 2, 3))
SIX = span("fd00::1", "fd00::2")
CONFIGS = (
    Config({"range-global": "10.0.0.1-10.0.0.3"}, {"*": [("range-global", THREE)]}),
    Config({"range-global": "10.0.0.1-10.0.0.1"}, {"*": [("range-global", ONE)]}),
    Config({"range-global": "10.0.0.1-10.0.0.2,fd00::1-fd00::2"}, {"*": [("range-global", TWO | SIX)]}),
    Config(
        {"range-default": "10.0.0.1-10.0.0.2", "cidr-global": "10.0.0.0/30"},
        {"default": [("range-default", TWO)], "*": [("cidr-global", THREE)]},
    ),
    Config(
        {"range-global": "10.0.0.1-10.0.0.2,fd00::1-fd00::1", "allow-share-global": "true"},
        {"*": [("range-global", TWO | span("fd00::1", "fd00::1"))]},
        shares=True,
    ),
    Config({"range-global": "nonsense"}),
    Config(None),
    Config(
        {
            "range-default": "10.0.0.3-10.0.0.3",
            "range-global": "10.0.0.1-10.0.0.3,fd00::1-fd00::2",
            "fallback-global": "true",
            "search-order": "desc",
        },
        {
            "default": [("range-default", span("10.0.0.3", "10.0.0.3")), ("range-global", THREE | SIX)],
            "*": [("range-global", THREE | SIX)],
        },
    ),
    Config({"range-global": "10.0.0.1-10.0.0.2", "cool-down": "7"}, {"*": [("range-global", TWO)]}),
    Config({"cidr-global": "10.0.0.1/32", "interface-global": "eth1"}, {"*": [("cidr-global", ONE)]}),
)
