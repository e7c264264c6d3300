"""Which Lease governs an address where Services have Leases of their own. Pure.

An address has one Lease, however many Services use it: that of its *primary*, the oldest of them. All nodes that know
the same Services agree on it, whichever of them can serve the Service. The control plane goes before all Services.

A node that can't serve the primary doesn't hold the address for the others: so whoever may campaign for a Lease can
serve all that it governs.

The names are kube-vip's, so that agents of both campaign for the same Leases.
"""

import re
from collections.abc import Callable, Collection, Mapping

import attrs

from kubevip.errors import ConfigError
from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip
from kubevip.service import FORCE_ELECTION, LEASE_NAME, ServiceView, TrafficPolicy

# What stands before a Service's name in that of its Lease.
LEASE_PREFIX = "kubevip-"
# What Kubernetes takes as the name of a Lease (a DNS subdomain, RFC 1123), and as that of a namespace.
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST_NAME, _LONGEST_NAMESPACE = 253, 63


def own_lease(key: ServiceKey) -> LeaseKey:
    """Return the name of a Service's own Lease."""
    return LeaseKey(key.namespace, LEASE_PREFIX + key.name)


@attrs.frozen(kw_only=True)
class Rules:
    """Which Services have a Lease of their own: *every* one, or those that are annotated for it.

    All others share *common*. *control_plane* says which Lease governs the control plane's addresses.
    """

    common: LeaseKey
    every: bool
    control_plane: Mapping[IPAddress, LeaseKey] = attrs.field(factory=dict)

    def has_own(self, view: ServiceView) -> bool:
        """Tell whether a Service has another Lease than the common one."""
        return self.every or view.annotations.get(FORCE_ELECTION) == "true"

    def lease(self, view: ServiceView) -> LeaseKey:
        """Return the Lease of a Service: its own, the one that it names, or the common one."""
        if not self.has_own(view):
            return self.common
        return self._named(view) or own_lease(view.key)

    def objection(self, view: ServiceView) -> str:
        """Return why a Service can't have the Lease that it names; empty where it can, or names none."""
        if not self.has_own(view):
            return ""
        text = view.annotations.get(LEASE_NAME, "").strip()
        if text and self._named(view) is None:
            return f"annotation {LEASE_NAME}={text} doesn't name a Lease; write name, or namespace/name"
        if text and view.policy is TrafficPolicy.LOCAL:
            return (
                f"annotation {LEASE_NAME}={text} needs externalTrafficPolicy Cluster, and it is Local: the Lease's "
                "holder may be a node without an endpoint of this Service"
            )
        return ""

    @staticmethod
    def _named(view: ServiceView) -> LeaseKey | None:
        text = view.annotations.get(LEASE_NAME, "").strip()
        if not text:
            return None
        try:
            found = LeaseKey.parse(text, default_namespace=view.key.namespace)
        except ConfigError:
            return None
        well_named = len(found.name) <= _LONGEST_NAME and _SUBDOMAIN.fullmatch(found.name)
        in_namespace = len(found.namespace) <= _LONGEST_NAMESPACE and _LABEL.fullmatch(found.namespace)
        return found if well_named and in_namespace else None


@attrs.frozen(order=True)
class _User:
    """A Service that asks for an address; the smallest one is the primary."""

    created: str
    key: ServiceKey
    lease: LeaseKey


@attrs.define(eq=False)
class OfPrimary:
    """The ``kubevip.claims.Governance`` by *rules*: it is told of every Service, wherever that can be served."""

    rules: Rules
    served: Callable[[ServiceKey, IPAddress], bool] = lambda _key, _address: True
    """Tells whether this node can serve a Service at an address."""
    _users: dict[IPAddress, dict[ServiceKey, _User]] = attrs.field(factory=dict, init=False)
    _asked: dict[ServiceKey, frozenset[IPAddress]] = attrs.field(factory=dict, init=False)

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """See ``Governance``; ``None`` also where this node can't serve the primary."""
        if address in self.rules.control_plane:
            return self.rules.control_plane[address]
        primary = self._primary(address)
        return primary.lease if primary is not None and self.served(primary.key, address) else None

    def _primary(self, address: IPAddress) -> _User | None:
        """Return who governs *address* by its Lease; ``None`` where nobody asks for it, or the control plane has it."""
        users = self._users.get(address)
        return min(users.values()) if users and address not in self.rules.control_plane else None

    def asks(self, key: ServiceKey, view: ServiceView | None, vips: Collection[Vip]) -> Collection[IPAddress]:
        """See ``Governance``."""
        before = self._asked.get(key, frozenset())
        now = frozenset(vip.address for vip in vips) if view is not None else frozenset()
        primaries = {address: self._primary(address) for address in before | now}
        for address in before - now:
            self._users[address].pop(key)
            if not self._users[address]:
                del self._users[address]
        if view is not None and now:
            user = _User(view.created, key, self.rules.lease(view))
            for address in now:
                self._users.setdefault(address, {})[key] = user
            self._asked[key] = now
        else:
            self._asked.pop(key, None)
        return [address for address, primary in primaries.items() if self._primary(address) != primary]

    def objection(self, view: ServiceView) -> str:
        """See ``Governance``."""
        return self.rules.objection(view)
