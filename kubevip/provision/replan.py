"""What would become of each Service under an edited ConfigMap. Pure, and by the provider's own account.

The account is run to rest twice, on the same Services and nodes: under the present pools, and under the new ones.
What is decided is written into the facts as the provider would write it into the Services.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence

import attrs

from kubevip.ipam import Pools
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision.decision import Decision
from kubevip.provision.edits import Edits
from kubevip.provision.inventory import Nodes, is_of_pool, opened
from kubevip.provision.verdict import FINALIZER, Classes, Facts, Has, Leaving, examine, join, record_of


class Outcome(enum.Enum):
    """What becomes of a Service, the worst first."""

    LOSES = "loses"
    CHANGES = "changes"
    OUTSIDE = "outside"
    PENDING = "pending"
    GETS = "gets"
    KEEPS = "keeps"

    @property
    def does_harm(self) -> bool:
        """Whether somebody who knows the Service by its address has to hear of it."""
        return self in (Outcome.LOSES, Outcome.CHANGES, Outcome.OUTSIDE)


@attrs.frozen(kw_only=True)
class Fate:
    """What becomes of one Service: its addresses *before* and *after*, the *origin* of the latter, and *why*."""

    key: ServiceKey
    outcome: Outcome
    before: tuple[IPAddress, ...]
    after: tuple[IPAddress, ...]
    origin: str = ""
    why: str = ""


def replan(
    facts: Iterable[Facts], nodes: Nodes, old: Pools | None, new: Pools | None, classes: Classes
) -> tuple[Fate, ...]:
    """Return the fates of all Services that the provider serves, the worst first.

    Of several waiting Services the first by name gets the first address, as when the ConfigMap is edited.
    """
    services = sorted(facts, key=lambda each: each.key)
    before = _run(services, nodes, old, classes)
    after = _run(services, nodes, new, classes)
    order = list(Outcome)
    fates = [
        _fate(each, before[each.key], after[each.key], old or Pools(), new or Pools(), classes)
        for each in services
        if each.key in before and each.key in after
    ]
    return tuple(sorted(fates, key=lambda fate: (order.index(fate.outcome), fate.key)))


def _run(services: Sequence[Facts], nodes: Nodes, pools: Pools | None, classes: Classes) -> dict[ServiceKey, Decision]:
    """Do all that the provider would do; return the last decision on each Service that it serves."""
    accounts = opened(services, nodes, pools, classes)
    last: dict[ServiceKey, Decision] = {}
    while (key := accounts.next_due()) is not None:
        decision = accounts.decide(key)
        if decision is None or isinstance(examine(decision.facts, classes), Leaving):
            last.pop(key, None)
        else:
            last[key] = decision
        if decision is not None and decision.edits:
            accounts.wrote(written(decision.facts, decision.edits))
    return last


def written(facts: Facts, edits: Edits) -> Facts:
    """Return what becomes of *facts* when *edits* are written."""
    finalizers = facts.finalizers
    if edits.finalizer is not None:
        others = tuple(each for each in finalizers if each != FINALIZER)
        finalizers = (*others, FINALIZER) if edits.finalizer else others
    return attrs.evolve(
        facts,
        annotations=_merged(facts.annotations, edits.annotations),
        labels=_merged(facts.labels, edits.labels),
        load_balancer_ip=facts.load_balancer_ip if edits.load_balancer_ip is None else edits.load_balancer_ip,
        finalizers=finalizers,
        ingress=() if edits.clear_ingress else facts.ingress,
    )


def _merged(present: Mapping[str, str], edits: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**present, **edits}.items() if value is not None}


def _fate(facts: Facts, old: Decision, new: Decision, old_pools: Pools, new_pools: Pools, classes: Classes) -> Fate:
    verdict, namespace = examine(facts, classes), facts.key.namespace
    has = verdict.addresses if isinstance(verdict, Has) else ()
    # What is free for it, and not written yet, nobody knows it by.
    before = tuple(address for address in old.addresses if address in has)
    outcome, reasons = _outcome(before, new.addresses), _reasons(new)
    left = _left_outside(old, new_pools) if outcome is Outcome.KEEPS else ()
    if left and left != _left_outside(old, old_pools):
        outcome = Outcome.OUTSIDE
        reasons.insert(
            0, f"{join(left)} is in no pool for {namespace} any more; it stays until the Service is made anew"
        )
    elif left:
        reasons.insert(0, f"{join(left)} is in no pool for {namespace}, as before")
    if set(old.addresses) - set(before):
        same = old.addresses == new.addresses
        reasons.append(f"under the present ConfigMap {'too' if same else f'it gets {join(old.addresses)}'}")
    record = record_of(new.facts)
    origin = record.origin if record is not None and new.addresses else ""
    return Fate(
        key=facts.key, outcome=outcome, before=before, after=new.addresses, origin=origin, why="; ".join(reasons)
    )


def _outcome(before: tuple[IPAddress, ...], after: tuple[IPAddress, ...]) -> Outcome:
    had, has = set(before), set(after)
    if had == has:
        return Outcome.KEEPS if has else Outcome.PENDING
    if had < has:
        return Outcome.GETS
    return Outcome.LOSES if has < had else Outcome.CHANGES


def _reasons(decision: Decision) -> list[str]:
    if decision.source is not None:
        return [
            f"{decision.source.key} has the IPAM {decision.source.source!r} give an address, which isn't asked here"
        ]
    if decision.waiting:
        return [decision.waiting]
    return [note.message for note in decision.notes if note.warning]


def _left_outside(old: Decision, pools: Pools) -> tuple[IPAddress, ...]:
    """Return those addresses that a pool gave, and that no pool for the Service has; users' own don't count."""
    record = record_of(old.facts)
    if record is None or record.is_static:
        return ()
    namespace = old.facts.key.namespace
    return tuple(address for address in old.addresses if not is_of_pool(pools, namespace, record.origin, address))
