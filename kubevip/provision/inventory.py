"""Who has which address, how full the pools are, and who waits: the provider's account, to be shown. Pure.

It is the account that the provider would have at this moment, so what it says of a waiting Service is what the
provider would tell that Service.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from kubevip.ipam import Allocator, Pools
from kubevip.ipam.blocks import position
from kubevip.model import Family, IPAddress, ServiceKey
from kubevip.provision.accounts import Accounts
from kubevip.provision.ledger import NODE
from kubevip.provision.verdict import (
    Classes,
    Facts,
    Foreign,
    Has,
    Lacks,
    Leaving,
    Origin,
    Verdict,
    Wrong,
    examine,
    join,
    written,
)

Nodes = Mapping[str, Sequence[IPAddress]]
# Where it doesn't come from a pool, nor from its user's hand.
NOT_OURS, LEAVING, REFUSED, OF_A_NODE = "not ours", "being released", "refused", "node"


@attrs.frozen
class Holding:
    """An address in use: by whom, from where, and with whom they share it.

    *origin* is the key of a pool, ``annotation``, ``spec``, or one of the texts above. *outside* says that no pool
    for that Service has it.
    """

    address: IPAddress
    owner: str
    origin: str
    shared_with: tuple[str, ...] = ()
    outside: bool = False


@attrs.frozen
class Usage:
    """How many addresses of one family of a pool there are, and how many are in use."""

    pool: str
    family: Family
    size: int
    used: int

    @property
    def free(self) -> int:
        """How many can be given out."""
        return self.size - self.used


@attrs.frozen
class Inventory:
    """All of it. *waiting* says for each Service that lacks an address why."""

    usage: tuple[Usage, ...]
    holdings: tuple[Holding, ...]
    waiting: Mapping[ServiceKey, str]


def is_of_pool(pools: Pools, namespace: str, origin: str, address: IPAddress) -> bool:
    """Tell whether a pool for *namespace* has *address*; another IPAM's pool has what it is known to have given."""
    chain = pools.chain(namespace)
    return any(address in pool or (pool.source and pool.key == origin) for pool in chain)


def take_inventory(
    facts: Iterable[Facts], nodes: Nodes, pools: Pools | None, classes: Classes, where: str = "the ConfigMap"
) -> Inventory:
    """Take stock of what is there; *where* names the ConfigMap."""
    services = sorted(facts, key=lambda each: each.key)
    accounts = opened(services, nodes, pools, classes, where)
    usage = tuple(Usage(each.pool, each.family, each.size, each.used) for each in accounts.statistics().pools)
    allocator = Allocator(pools or Pools())
    holdings = [holding for each in services for holding in _holdings(each, accounts, allocator, classes)]
    holdings += [
        Holding(address, NODE + name, OF_A_NODE, _others(accounts, address, NODE + name))
        for name, addresses in nodes.items()
        for address in addresses
        if any(address in pool for pool in allocator.pools.pools.values())
    ]
    holdings.sort(key=lambda each: (position(each.address), each.owner))
    return Inventory(usage, tuple(holdings), _waiting(services, accounts, classes))


def opened(
    facts: Iterable[Facts], nodes: Nodes, pools: Pools | None, classes: Classes, where: str = "the ConfigMap"
) -> Accounts:
    """Return accounts that have seen everything, and decided nothing."""
    accounts = Accounts(classes, where)
    accounts.configure(pools)
    for name, addresses in nodes.items():
        accounts.node_has(name, addresses)
    for each in facts:
        accounts.applied(each)
    return accounts


def _holdings(facts: Facts, accounts: Accounts, allocator: Allocator, classes: Classes) -> Iterable[Holding]:
    verdict, owner = examine(facts, classes), str(facts.key)
    addresses = () if isinstance(verdict, Lacks) else verdict.addresses
    for address in addresses:
        origin = _origin(facts, verdict, allocator)
        outside = isinstance(verdict, Has) and not is_of_pool(allocator.pools, facts.key.namespace, origin, address)
        yield Holding(address, owner, origin, _others(accounts, address, owner), outside)
    if isinstance(verdict, Lacks) or (isinstance(verdict, Has) and not verdict.settled):
        # Until it says something else, what it says is served.
        for address in written(facts):
            if address not in addresses:
                yield Holding(address, owner, LEAVING, _others(accounts, address, owner))


def _origin(facts: Facts, verdict: Verdict, allocator: Allocator) -> str:
    match verdict:
        case Foreign():
            return NOT_OURS
        case Leaving():
            return LEAVING
        case Has(addresses, origin):
            return origin or allocator.pool_of(facts.key.namespace, addresses) or Origin.ANNOTATION
        case _:
            return REFUSED


def _others(accounts: Accounts, address: IPAddress, owner: str) -> tuple[str, ...]:
    return () if address.is_unspecified else tuple(each for each in accounts.holders(address) if each != owner)


def _waiting(services: Sequence[Facts], accounts: Accounts, classes: Classes) -> Mapping[ServiceKey, str]:
    reasons = ((each.key, _why(each.key, examine(each, classes), accounts)) for each in services)
    return {key: why for key, why in reasons if why}


def _why(key: ServiceKey, verdict: Verdict, accounts: Accounts) -> str:
    decision = accounts.decide(key)
    if decision is None or isinstance(verdict, Leaving):
        return ""
    if decision.source is not None:
        return f"{decision.source.key} has the IPAM {decision.source.source!r} give it an address"
    if decision.waiting:
        return decision.waiting
    known = () if isinstance(verdict, Lacks | Wrong) else verdict.addresses
    lacking = tuple(address for address in decision.addresses if address not in known)
    return f"{join(lacking)} is free for it: is the provider running?" if lacking else ""
