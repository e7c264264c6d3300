"""The contract of a source of pools: another IPAM that gives addresses to Services, found by an entry point.

A ConfigMap key ``source-NAMESPACE`` (or ``source-global``) names it: ``NAME TEXT``, where the text is for it alone.
The core owns the account of all addresses, retries and Events; a source gives addresses and takes them back.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import attrs

from kubevip.ipam.request import Request
from kubevip.model import IPAddress

ENTRY_POINT_GROUP = "kubevip.ipam"


@attrs.frozen
class Capacity:
    """How many addresses a pool has, ``None`` where that isn't known, and how many are in use."""

    size: int | None
    used: int


class PoolSource(ABC):
    """One pool of another IPAM.

    Every method may be called again with the same arguments, after an answer that got lost as after a restart,
    and has to come to the same end. Calls for different keys may overlap. What fails raises ``KubeVipError``, best
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
        """Return addresses for *request*, in the order of its families; the same ones for a key that has some."""

    @abstractmethod
    async def release(self, key: str) -> None:
        """Take back what *key* has, if it has anything."""

    @abstractmethod
    async def adopt(self, key: str, addresses: Sequence[IPAddress]) -> None:
        """Note that *key* has *addresses*: it had them before the source was opened."""

    @abstractmethod
    async def capacity(self) -> Capacity:
        """Return how much there is, and how much is in use."""
