"""What must be so at any moment of a history, and what when all has come to rest; judged by the server's objects."""

from collections.abc import Mapping

import attrs

from kubevip.ipam import FamilyPolicy
from kubevip.model import Family, IPAddress, ServiceKey
from kubevip.provision.decision import Decision
from kubevip.provision.verdict import CLAIM, FINALIZER, LABEL, RECORD, Facts
from kubevip.service import ADDRESSES
from tests.provider.configs import Chain, Config
from tests.provider.server import Server
from tests.provider.services import V4, V6, claimed, get_along, in_use, origin, readable, recorded, served


class Violation(AssertionError):
    """Something that must never happen has happened."""


@attrs.define(eq=False)
class Write:
    """A write that goes on, and what its provider knew when it decided: how much of the log, and which ConfigMap.

    *chosen* is how much it had seen when it chose an address. *answer* is what the server has said, if it has.
    """

    decision: Decision
    seen: int
    config: Config
    chosen: Mapping[IPAddress, int]
    answer: Facts | Exception | str | None = None

    @property
    def key(self) -> ServiceKey:
        return self.decision.facts.key

    @property
    def is_claim(self) -> bool:
        return self.decision.edits.annotations.get(CLAIM) is not None


@attrs.define(eq=False)
class Referee:
    """Follows what is written. With *alone*, there is one provider, which has to know all that it did itself."""

    server: Server
    alone: bool
    # Whether addresses may have been shared at any time.
    shares: bool = False
    # Addresses that providers have put on Services and that are there still; and Services that users have edited since.
    given: dict[ServiceKey, set[IPAddress]] = attrs.field(factory=dict)
    edited: set[ServiceKey] = attrs.field(factory=set)

    def note(self, after: Facts) -> None:
        """Somebody has written a Service."""
        gone = after.key not in self.server.objects
        self.given[after.key] = set() if gone else self.given.get(after.key, set()) & served(after)

    def check_write(self, write: Write, before: Facts, after: Facts) -> None:
        """A provider has written a Service."""
        key, new = after.key, served(after) - served(before)
        for address in claimed(after) - claimed(before):
            self._check_nobody_has(write, after, address)
        for address in new:
            self._check_nobody_has(write, after, address)
            if address not in recorded(before):
                self._check_pool(write, after, address)
        # What was labelled before there were records is believed.
        adopted = LABEL in before.labels and RECORD not in before.annotations
        for address in frozenset() if adopted else recorded(after) - recorded(before):
            self._check_nobody_is_settled(write, after, address)
        if key not in self.edited:
            self._check_kept(before, after)
        if recorded(after) and not write.is_claim:
            self.edited.discard(key)
        self.note(after)
        self.given[key] |= new

    @staticmethod
    def _check_kept(before: Facts, after: Facts) -> None:
        lost = served(before) - served(after)
        if lost:
            raise Violation(f"{after.key} loses {_texts(lost)}, and nobody has asked for it")
        if not recorded(before) <= recorded(after) and not after.deleting:
            raise Violation(f"{after.key} isn't recorded any more to have {_texts(recorded(before))}")

    def _check_nobody_has(self, write: Write, after: Facts, address: IPAddress) -> None:
        """Nobody else has *address* by a provider, nor was seen to have it by a user before it was chosen."""
        seen = self.server.at(write.chosen.get(address, write.seen))
        chosen_before = recorded(write.decision.facts) | claimed(write.decision.facts)
        for key, other in self.server.objects.items():
            if key == after.key or address not in served(other) or self._may_share(write, after, key):
                continue
            if address in self.given.get(key, ()) and not write.is_claim:
                raise Violation(f"{after.key} gets {address}, which was given to {key}")
            if address in served(seen.get(key)) and address not in chosen_before:
                raise Violation(f"{after.key} gets {address}, which {key} was seen to have")

    def _check_nobody_is_settled(self, write: Write, after: Facts, address: IPAddress) -> None:
        """Of two users that write the same address, one is told that it is taken."""
        seen = self.server.objects if self.alone else self.server.at(write.seen)
        for key, other in self.server.objects.items():
            if key == after.key or key in self.edited or self._may_share(write, after, key):
                continue
            has = address in recorded(other) & served(other) & recorded(seen.get(key))
            if has and address not in recorded(write.decision.facts):
                raise Violation(f"{after.key} is settled with {address}, which {key} has")

    def _may_share(self, write: Write, after: Facts, other: ServiceKey) -> bool:
        """As of what could be known of *other*: its ports may have changed since."""
        return self.shares and any(get_along(after, each) for each in self.server.since(other, write.seen))

    @staticmethod
    def _check_pool(write: Write, after: Facts, address: IPAddress) -> None:
        pools = dict(write.config.chain(after.key.namespace))
        if address not in pools.get(origin(after), frozenset()):
            raise Violation(f"{after.key} gets {address} from {origin(after)}, which doesn't have it")

    # At rest

    def check_at_rest(self, chain: Mapping[str, Chain], node: frozenset[IPAddress]) -> None:
        """All is done that can be done; *chain* tells the pools by namespace, and *node* has addresses, too."""
        for facts in self.server.objects.values():
            if facts.deleting or facts.type != "LoadBalancer":
                self._check_cleared(facts)
            elif facts.load_balancer_class is None:
                self._check_ours(facts, chain[facts.key.namespace], node)

    @staticmethod
    def _check_cleared(facts: Facts) -> None:
        # Whose finalizer it is can't be known any more where its user has taken all marks off it.
        knowable = facts.is_marked or facts.load_balancer_class is None
        if FINALIZER in facts.finalizers and knowable:
            raise Violation(f"{facts.key} can't be deleted: {facts}")
        if not facts.deleting and facts.is_marked:
            raise Violation(f"{facts.key} isn't cleared: {facts}")

    def _check_ours(self, facts: Facts, chain: Chain, node: frozenset[IPAddress]) -> None:
        text, spec = facts.annotations.get(ADDRESSES, "").strip(), facts.load_balancer_ip.strip()
        if CLAIM in facts.annotations and served(facts):
            raise Violation(f"{facts.key} is claimed for ever: {facts}")
        if "rubbish" in text + spec or "," in spec:
            return
        if not text and not spec:
            self._check_unserved(facts, chain, node)
        elif not recorded(facts):
            self._check_refused(facts)
        elif not (text and spec) and readable(text, spec) <= recorded(facts):
            raise Violation(f"{facts.key} has its address in one place alone: {facts}")

    def _check_unserved(self, facts: Facts, chain: Chain, node: frozenset[IPAddress]) -> None:
        """There is no address for it."""
        others = self._others(facts)
        for pool, addresses in chain:
            free = addresses - node - frozenset().union(*map(in_use, others))
            if _suffices(facts, set(map(Family.of, free)), set(map(Family.of, addresses))):
                raise Violation(f"{facts.key} gets no address, and {pool} has {_texts(free)}")

    def _check_refused(self, facts: Facts) -> None:
        """What its user wrote can't be used: it is of the wrong family, or somebody has it."""
        wanted = readable(facts.annotations.get(ADDRESSES, "")) or readable(facts.load_balancer_ip)
        wrong_family = any(Family.of(address) not in facts.families[:1] for address in wanted)
        if facts.policy is FamilyPolicy.SINGLE and facts.families and wrong_family:
            return
        if not any(wanted & in_use(other) for other in self._others(facts)):
            raise Violation(f"{facts.key} is refused {_texts(wanted)}, which nobody has")

    def _others(self, facts: Facts) -> list[Facts]:
        return [other for key, other in self.server.objects.items() if key != facts.key]


def _suffices(facts: Facts, free: set[Family], has: set[Family]) -> bool:
    if facts.policy is FamilyPolicy.REQUIRE_DUAL:
        return len(free) == 2
    if facts.policy is FamilyPolicy.PREFER_DUAL:
        return bool(free)
    wanted = facts.families[0] if facts.families else (V4 if V4 in has else V6)
    return wanted in free


def _texts(addresses: frozenset[IPAddress]) -> str:
    return ", ".join(sorted(map(str, addresses)))
