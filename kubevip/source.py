"""The contract of a source of pools: another IPAM that gives addresses to Services, found by an entry point.

A ConfigMap key ``source-NAMESPACE`` (or ``source-global``) names it: ``NAME TEXT``, where the text is for it alone.
The core owns the account of all addresses, retries and Events; a source gives addresses and takes them back.
"""

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import attrs

from kubevip.ipam.allocator import DHCP_MARKER
from kubevip.ipam.notation import read_address
from kubevip.ipam.request import FamilyPolicy, Request
from kubevip.model import Family, IPAddress

ENTRY_POINT_GROUP = "kubevip.ipam"


@attrs.frozen
class Capacity:
    """How many addresses a pool has, ``None`` where that isn't known, and how many are in use."""

    size: int | None
    used: int


class PoolSource(ABC):
    """One pool of another IPAM.

    Every method may be called again with the same arguments, after an answer that got lost as after a restart,
    and has to come to the same end. Calls for different keys may overlap, those for one key don't. None may keep the
    event loop waiting, and one that takes longer than 10 s is cancelled. What fails raises ``KubeVipError``, best
    ``PoolExhausted`` or another ``IpamError``; the core tries again, and shows its text to whoever owns the Service.
    """

    def __init__(self, key: str, text: str, settings: Mapping[str, str]) -> None:
        """Take the ConfigMap's *key*, the *text* behind the source's name, and the environment as *settings*."""
        self.key = key
        self.text = text
        self.settings = settings

    async def __aenter__(self) -> Self:
        """Open what outlives one request."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    @abstractmethod
    async def allocate(self, request: Request) -> Sequence[IPAddress]:
        """Return addresses for *request*, one of each of its families and in their order.

        What its key has already it keeps, as far as *request* asks for it; what it lacks it gets.
        """

    @abstractmethod
    async def release(self, key: str) -> None:
        """Take back what *key* has, if it has anything."""

    @abstractmethod
    async def adopt(self, key: str, addresses: Sequence[IPAddress]) -> None:
        """Note that *key* has *addresses*, and no others: not what it was given beside them.

        So each Service is told when the source is opened, before anything is allocated.

        :raises AddressTaken: if somebody else has one of them. That is logged, and the rest goes on; after anything
            else that fails nothing is allocated until it succeeds.
        """

    @abstractmethod
    async def capacity(self) -> Capacity:
        """Return how much there is, and how much is in use."""


def fault_of(request: Request, addresses: object) -> str:
    """Say what is wrong with *addresses* as the answer to *request*; empty if nothing is."""
    if not isinstance(addresses, list | tuple):
        return "it has to be a list or a tuple of addresses"
    for address in addresses:
        if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return f"{address!r} has to be an object of the module ipaddress"
        fault = _fault_of_one(address)
        if fault:
            return fault
    families = [Family.of(address) for address in addresses]
    wanted = _families(request)
    if families not in wanted:
        names = " or ".join(", then ".join(f"IPv{family.value}" for family in each) for each in wanted)
        policy = request.policy.value
        return f"a {policy} request has to get {names}, one address each"
    return ""


def _fault_of_one(address: IPAddress) -> str:
    if address.is_multicast or address.is_loopback or (address.is_unspecified and address != DHCP_MARKER):
        return f"{address} can't be the address of a Service"
    try:
        read_address(str(address))
    except ValueError as error:
        return str(error)
    return ""


def _families(request: Request) -> list[list[Family]]:
    """Return the families that an answer to *request* may have, best first."""
    both = [Family.IPV6, Family.IPV4] if request.family is Family.IPV6 else [Family.IPV4, Family.IPV6]
    if request.policy is FamilyPolicy.REQUIRE_DUAL:
        return [both]
    either = [[family] for family in both]
    if request.policy is FamilyPolicy.PREFER_DUAL:
        return [both, *either]
    return either if request.family is None else [[request.family]]
