"""What a Service asks of the IPAM, and what it gets: frozen values."""

import enum
from typing import NamedTuple

import attrs

from kubevip.model import Family, IPAddress


class FamilyPolicy(enum.Enum):
    """``spec.ipFamilyPolicy`` of a Service; one that has none has a single stack."""

    SINGLE = "SingleStack"
    PREFER_DUAL = "PreferDualStack"
    REQUIRE_DUAL = "RequireDualStack"

    @property
    def is_dual(self) -> bool:
        """Whether two families are asked for."""
        return self is not FamilyPolicy.SINGLE


@attrs.frozen(kw_only=True)
class Request:
    """A wish for addresses. *key* names who asks, such as ``namespace/name``; *namespace* decides the pool.

    *family* is the first of its families, ``None`` where it has no wish. *ports* are pairs of number and protocol.
    *local* are requests whose traffic has to stay on the node that it came to: those share an address with requests
    of an equal *selector* only, because all users of an address are on one node.
    """

    key: str
    namespace: str
    policy: FamilyPolicy = FamilyPolicy.SINGLE
    family: Family | None = None
    ports: frozenset[tuple[int, str]] = frozenset()
    local: bool = False
    selector: tuple[tuple[str, str], ...] = ()


class Assignment(NamedTuple):
    """The addresses of *key*, in the order of its families, from the pool of that ConfigMap key.

    *shared* are those of them that others had before. *without* says why a request for two families got one.
    (A named tuple, because one is made for each address: it takes a third of the time.)
    """

    key: str
    addresses: tuple[IPAddress, ...]
    pool: str
    shared: tuple[IPAddress, ...] = ()
    without: str = ""
