"""Who held which address when, and whether two ever held it at once."""

import math
from collections.abc import Iterable

import attrs

from kubevip.model import IPAddress
from kubevip.testing.addresses import Change


@attrs.frozen(order=True)
class Tenure:
    """From *start* to *end* (seconds of the world) *node* had *address* on a link; *end* may be infinite."""

    start: float
    end: float
    node: str = attrs.field(order=False)
    address: IPAddress = attrs.field(order=False)

    def overlap(self, other: "Tenure") -> float:
        """Return for how many seconds both lasted; 0 or less where the one had ended before the other began."""
        return min(self.end, other.end) - max(self.start, other.start)


def tenures(node: str, changes: Iterable[Change]) -> list[Tenure]:
    """Return the times for which *node* held addresses, from the changes on its links."""
    since: dict[tuple[IPAddress, str], float] = {}
    found = []
    for change in changes:
        place = (change.vip.address, change.vip.interface)
        if change.present:
            since[place] = change.time
        else:
            found.append(Tenure(since.pop(place), change.time, node, change.vip.address))
    found += [Tenure(start, math.inf, node, address) for (address, _interface), start in since.items()]
    return sorted(found)


def overlaps(found: Iterable[Tenure]) -> list[tuple[Tenure, Tenure]]:
    """Return each pair of tenures in which two nodes held one address at the same time."""
    ordered = sorted(found)
    return [
        (earlier, later)
        for number, earlier in enumerate(ordered)
        for later in ordered[number + 1 :]
        if later.start < earlier.end and later.node != earlier.node and later.address == earlier.address
    ]


def gaps(found: Iterable[Tenure], address: IPAddress, *, start: float, end: float) -> list[tuple[float, float]]:
    """Return the times between *start* and *end* at which nobody held *address*."""
    free, covered = [], start
    for tenure in sorted(tenure for tenure in found if tenure.address == address):
        if tenure.start > covered:
            free.append((covered, min(tenure.start, end)))
        covered = max(covered, tenure.end)
    return [(since, until) for since, until in [*free, (covered, end)] if since < until]
