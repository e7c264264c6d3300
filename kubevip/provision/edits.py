"""What the provider writes into a Service, as a difference to what is there."""

from collections.abc import Collection, Mapping

import attrs

from kubevip.model import IPAddress
from kubevip.provision.verdict import (
    CLAIM,
    FINALIZER,
    LABEL,
    LABELLED,
    OLD_LABEL,
    RECORD,
    Facts,
    Origin,
    Record,
    join,
    record_of,
)
from kubevip.service import ADDRESSES, INTERFACE


@attrs.frozen(kw_only=True)
class Edits:
    """What has to be written into a Service; ``None`` removes. Equal edits change nothing a second time."""

    annotations: Mapping[str, str | None] = attrs.field(factory=dict)
    labels: Mapping[str, str | None] = attrs.field(factory=dict)
    load_balancer_ip: str | None = None
    finalizer: bool | None = None
    clear_ingress: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.annotations
            or self.labels
            or self.load_balancer_ip is not None
            or self.finalizer is not None
            or self.clear_ingress
        )


def settling(facts: Facts, addresses: Collection[IPAddress], origin: str, interface: str = "") -> Edits:
    """Return the edits by which *facts* comes to say that it has *addresses* from *origin*.

    An *interface* is written with an address that is new, where the user has written none: one that is served
    already doesn't move.
    """
    addresses = tuple(addresses)
    known = record_of(facts)
    is_new = known.addresses != addresses if known is not None else LABEL not in facts.labels
    if not is_new or not interface or INTERFACE in facts.annotations:
        interface = ""
    record = Record(origin, addresses, facts.uid, interface or _our_interface(facts))
    if known is not None and record == attrs.evolve(known, uid=facts.uid):
        # That it doesn't say whose it is isn't worth a write.
        record = known
    annotations: dict[str, str | None] = {ADDRESSES: join(addresses), RECORD: str(record)}
    if interface:
        annotations[INTERFACE] = interface
    first = str(addresses[0])
    if CLAIM in facts.annotations:
        annotations[CLAIM] = None
    return Edits(
        annotations=_changed(facts.annotations, annotations),
        labels=_changed(facts.labels, {LABEL: LABELLED, **({OLD_LABEL: None} if OLD_LABEL in facts.labels else {})}),
        load_balancer_ip=None if facts.load_balancer_ip == first else first,
        finalizer=None if FINALIZER in facts.finalizers else True,
    )


def claiming(facts: Facts, addresses: Collection[IPAddress], provider: str) -> Edits:
    """Return the edits that announce, to other providers only, that *facts* is to have *addresses*."""
    return Edits(annotations=_changed(facts.annotations, {CLAIM: f"{provider} {join(addresses)}"}))


def unclaiming(facts: Facts) -> Edits:
    """Return the edits that take back a claim."""
    return Edits(annotations=_changed(facts.annotations, {CLAIM: None}))


def clearing(facts: Facts) -> Edits:
    """Return the edits that take back what a provider wrote; what the user wrote stays."""
    if facts.deleting:
        return Edits(finalizer=False if FINALIZER in facts.finalizers else None)
    annotations: dict[str, str | None] = {RECORD: None, CLAIM: None}
    if _wrote(facts, Origin.ANNOTATION):
        annotations[ADDRESSES] = None
    if _our_interface(facts):
        annotations[INTERFACE] = None
    return Edits(
        annotations=_changed(facts.annotations, annotations),
        labels=_unlabelled(facts),
        load_balancer_ip="" if _wrote(facts, Origin.SPEC) else None,
        finalizer=False if FINALIZER in facts.finalizers else None,
        clear_ingress=bool(facts.ingress) and facts.type != "LoadBalancer",
    )


def withdrawing(facts: Facts) -> Edits:
    """Return the edits by which *facts*, which is to have another address, comes to say that it has none."""
    annotations: dict[str, str | None] = {RECORD: None, CLAIM: None}
    if facts.annotations.get(ADDRESSES, "").strip():
        annotations[ADDRESSES] = None
    if _our_interface(facts):
        annotations[INTERFACE] = None
    changed = _changed(facts.annotations, annotations)
    is_clear = not changed and not facts.load_balancer_ip.strip()
    if is_clear:
        return Edits()
    spec = "" if facts.load_balancer_ip else None
    return Edits(annotations=changed, labels=_unlabelled(facts), load_balancer_ip=spec)


def _wrote(facts: Facts, place: Origin) -> bool:
    """Tell whether what is in *place* is a provider's, who writes both where the user has written one or none.

    Without a record, that is a guess from both being equal.
    """
    text, spec = facts.annotations.get(ADDRESSES, ""), facts.load_balancer_ip
    record = record_of(facts)
    if record is None:
        return LABEL in facts.labels and bool(spec) and spec == text.partition(",")[0].strip()
    known = join(record.addresses) if place is Origin.ANNOTATION else str(record.addresses[0])
    return record.origin != place and (text if place is Origin.ANNOTATION else spec) == known


def _our_interface(facts: Facts) -> str:
    """Return the interface that a provider wrote into it, unless somebody has edited that."""
    record = record_of(facts)
    return record.interface if record is not None and facts.annotations.get(INTERFACE) == record.interface else ""


def _unlabelled(facts: Facts) -> dict[str, str | None]:
    return {LABEL: None} if facts.labels.get(LABEL) == LABELLED else {}


def _changed(present: Mapping[str, str], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: value for name, value in wanted.items() if present.get(name) != value}
