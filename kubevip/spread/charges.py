"""What Services ask for in spread mode, and what a node does about it: frozen values."""

import math
from collections.abc import Collection, Mapping

import attrs

from kubevip.custody import GROUP, ZONE, Custody, Holder
from kubevip.election import Cause
from kubevip.lease import Record
from kubevip.model import IPAddress, ServiceKey
from kubevip.placement import Item
from kubevip.service import Endpoints, ServiceView, TrafficPolicy


@attrs.frozen(kw_only=True)
class Charge:
    """A Service that asks for *addresses*. *version* is its resourceVersion, *record* what it says of their holders.

    *group*, *zone* and *local* are those of ``kubevip.placement.Item``.
    """

    key: ServiceKey
    uid: str
    created: str = ""
    version: str = attrs.field(default="", eq=False)
    addresses: tuple[IPAddress, ...]
    record: Custody | None = None
    group: str = ""
    zone: str = ""
    local: frozenset[str] | None = None

    def is_placed_like(self, other: "Charge") -> bool:
        """Tell whether the same is to be placed."""
        return (self.key, self.addresses, self.group, self.zone, self.local) == (
            other.key,
            other.addresses,
            other.group,
            other.zone,
            other.local,
        )

    @property
    def item(self) -> Item:
        """What is to be placed."""
        return Item(key=str(self.key), addresses=self.addresses, group=self.group, zone=self.zone, local=self.local)


@attrs.frozen
class Write:
    """Write *held* into the record of the Service *key*, if that still is *expected*; *giving* is handed over by it.

    *addresses* are what the Service asked for when this was decided on.
    """

    key: ServiceKey
    uid: str
    addresses: tuple[IPAddress, ...]
    expected: Custody | None
    held: Mapping[IPAddress, Holder]
    giving: tuple[IPAddress, ...] = ()

    def unproven(self, addresses: Collection[IPAddress]) -> "Write":
        """Return it with no word of who gives those of *addresses* that it does: nobody knows whether they are free."""
        held = {
            address: attrs.evolve(holder, source="") if address in addresses and address in self.giving else holder
            for address, holder in self.held.items()
        }
        return attrs.evolve(self, held=held)


@attrs.frozen
class Bury:
    """Take its silent Lease away from *node*."""

    node: str
    base: Record


@attrs.frozen
class Look:
    """Read the Lease of *node*."""

    node: str


Step = Write | Bury | Look


@attrs.frozen
class Change:
    """*address* has become this node's, for *cause*; with ``None`` it isn't any more.

    *given*: this node has handed it over, so a successor will show up. *silent_by* is when the kernel of its last
    holder answers for it no more, unless something is wrong. *changed_hands* is when it was seen last that another
    node had got it: whoever had it before that may still wait for its successor.
    """

    address: IPAddress
    cause: Cause | None
    given: bool = False
    silent_by: float = attrs.field(default=0.0, kw_only=True)
    changed_hands: float = attrs.field(default=-math.inf, kw_only=True)


def charge_of(view: ServiceView, addresses: Collection[IPAddress], endpoints: Endpoints) -> Charge:
    """Return what the Service *view* asks for, with these of its *addresses*; *endpoints* names their nodes."""
    return Charge(
        key=view.key,
        uid=view.uid,
        created=view.created,
        version=view.version,
        addresses=tuple(addresses),
        record=view.record,
        group=view.annotations.get(GROUP, "").strip(),
        zone=view.annotations.get(ZONE, "").strip(),
        local=endpoints.nodes if view.policy is TrafficPolicy.LOCAL else None,
    )
