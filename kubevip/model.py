"""The frozen values that everything else speaks of: addresses, names of objects, terms of leadership."""

import enum
import ipaddress
from typing import Self

import attrs

from kubevip.errors import ConfigError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Family(enum.IntEnum):
    """An address family, by its IP version."""

    IPV4 = 4
    IPV6 = 6

    @classmethod
    def of(cls, address: IPAddress) -> "Family":
        """Return the family of *address*."""
        return cls.IPV4 if address.version == 4 else cls.IPV6

    @property
    def bits(self) -> int:
        """The length of an address, which is also the prefix length of a host route."""
        return 32 if self is Family.IPV4 else 128


@attrs.frozen(order=True, cache_hash=True)
class ObjectKey:
    """A namespaced Kubernetes object, written ``namespace/name``."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str, *, default_namespace: str = "") -> Self:
        """Read ``namespace/name`` or, in *default_namespace*, ``name``.

        :raises ConfigError: if *text* has no name, or no namespace where none is assumed.
        """
        namespace, slash, name = text.rpartition("/")
        namespace = namespace if slash else default_namespace
        if not name or not namespace or "/" in namespace:
            raise ConfigError([f"{text!r} doesn't name an object; write namespace/name"])
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@attrs.frozen(order=True, cache_hash=True)
class LeaseKey(ObjectKey):
    """Names a Lease."""


@attrs.frozen(order=True, cache_hash=True)
class ServiceKey(ObjectKey):
    """Names a Service."""


@attrs.frozen(cache_hash=True)
class Vip:
    """A virtual IP address and the interface that it is held on.

    *prefix_length* is what the address is put on the link with; 32 and 128 are right almost always,
    because the kernel removes every other address of a subnet with its first one.
    """

    address: IPAddress
    interface: str
    prefix_length: int = attrs.field()
    family: Family = attrs.field(init=False, eq=False, repr=False)

    @prefix_length.default
    def _host_prefix(self) -> int:
        return Family.of(self.address).bits

    @prefix_length.validator
    def _fits(self, _attribute: object, value: int) -> None:
        bits = Family.of(self.address).bits
        if not 0 <= value <= bits:
            raise ConfigError([f"prefix length {value} of {self.address} isn't within 0 and {bits}"])

    @family.default
    def _family_of_address(self) -> Family:
        return Family.of(self.address)

    @classmethod
    def parse(cls, text: str, *, interface: str) -> "Vip":
        """Read ``address`` or ``address/prefix length``.

        :raises ConfigError: if *text* isn't a unicast address, naming it.
        """
        try:
            parsed = ipaddress.ip_interface(text)
        except ValueError as error:
            raise ConfigError([f"{text!r} isn't an IP address such as 10.0.0.5, 10.0.0.5/32 or fd00::5"]) from error
        if parsed.ip.is_multicast or parsed.ip.is_unspecified:
            raise ConfigError([f"{text!r} isn't a unicast address"])
        return cls(parsed.ip, interface, parsed.network.prefixlen)

    def __str__(self) -> str:
        return str(self.address)


@attrs.frozen
class Term:
    """One unbroken leadership of *holder*, as far as it is granted now.

    *token* is the Lease's number of transitions, which grows with each change of holder: a fencing token
    for whatever the leadership protects. It starts again at 0 when somebody deletes the Lease.

    *until* and *expires* are seconds on the monotonic clock of the event loop. The holder acts up to
    *until* (request of the last renewal + renew deadline) and nobody else may before *expires* (the same
    request + lease duration); each renewal moves both.
    """

    lease: LeaseKey
    holder: str
    token: int
    until: float
    expires: float
