"""One provider at work on a simulated API server, without faults: what tests of single stories need."""

from collections.abc import Mapping
from typing import Any

import attrs

from kubevip import ipam
from kubevip.ipam import PoolStatistics
from kubevip.model import Family, ServiceKey
from kubevip.provision.accounts import Accounts
from kubevip.provision.decision import Decision, Note
from kubevip.provision.replan import written
from kubevip.provision.verdict import Classes, Facts
from kubevip.service import ADDRESSES
from tests.provider.server import Server
from tests.provider.services import merged, service

GLOBAL = {"range-global": "10.0.0.1-10.0.0.3"}


def key_of(name: str) -> ServiceKey:
    return ServiceKey.parse(name, default_namespace="default")


@attrs.define(eq=False)
class Desk:
    """Knows Services by their names. *decisions* has what it did to each last, *notes* all that it told of each."""

    data: Mapping[str, str] | None = attrs.field(factory=lambda: GLOBAL)
    classes: Classes = attrs.field(factory=Classes)
    identity: str = ""
    server: Server = attrs.field(factory=Server)
    now: float = 1000.0
    accounts: Accounts = attrs.field(init=False)
    decisions: dict[str, Decision | None] = attrs.field(factory=dict, init=False)
    notes: dict[str, list[Note]] = attrs.field(factory=dict, init=False)
    writes: int = attrs.field(default=0, init=False)
    _seen: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.restart()

    # What happens

    def restart(self) -> None:
        """Start anew, from what the server has."""
        self.accounts = Accounts(self.classes, "the ConfigMap kube-system/kubevip", self.identity)
        self.configure(self.data)
        for facts in self.server.objects.values():
            self.accounts.applied(facts, self.now, in_order=False)
        self.accounts.listed()
        self._seen = len(self.server.log)

    def configure(self, data: Mapping[str, str] | None) -> None:
        self.data = data
        self.accounts.configure(None if data is None else ipam.read(data))

    def create(self, *services: Facts) -> None:
        for facts in services:
            self.server.create(facts)

    def edit(self, name: str, text: str | None = "", **changes: Any) -> None:
        """Change what is given; an empty *text* leaves the annotation of addresses, ``None`` removes it."""
        facts = self.service(name)
        if text != "":
            changes["annotations"] = merged(facts.annotations, {ADDRESSES: text})
        self.server.update(attrs.evolve(facts, **changes), facts.version)

    def delete(self, name: str) -> None:
        self.server.delete(key_of(name))

    # What the provider does

    def see(self) -> None:
        """See all that has happened."""
        for is_there, facts in self.server.log[self._seen :]:
            if is_there:
                self.accounts.applied(facts, self.now)
            else:
                self.accounts.deleted(facts.key, self.now)
        self._seen = len(self.server.log)

    def decide(self, name: str) -> Decision | None:
        decision = self.decisions[name] = self.accounts.decide(key_of(name), self.now)
        return decision

    def write(self, decision: Decision | None) -> Facts:
        """Let a decision reach the server; nobody is told."""
        assert decision is not None
        assert decision.edits
        self.writes += 1
        return self.server.update(written(decision.facts, decision.edits), decision.facts.version)

    def work(self) -> None:
        """See everything, and do whatever there is to do."""
        for _ in range(1000):
            self.see()
            key = self.accounts.next_due()
            if key is None:
                return
            name = key.name if key.namespace == "default" else str(key)
            decision = self.decide(name)
            if decision is not None:
                self.notes.setdefault(name, []).extend(decision.notes)
            if decision is not None and decision.edits:
                self.accounts.wrote(self.write(decision), self.now)
        raise AssertionError("there is no end to it")

    def serve(self, *services: Facts) -> None:
        """Create Services, one after the other, and do whatever there is to do."""
        for facts in services:
            self.create(facts)
            self.work()

    # What has become of it

    def service(self, name: str) -> Facts:
        return self.server.objects[key_of(name)]

    def has(self, name: str) -> str:
        """What the annotation of a Service says; its spec says the first of it."""
        facts = self.service(name)
        text = facts.annotations.get(ADDRESSES, "")
        assert facts.load_balancer_ip == text.partition(",")[0]
        return text

    def all(self) -> dict[str, str]:
        return {key.name if key.namespace == "default" else str(key): self.has(str(key)) for key in self.server.objects}

    def waiting(self, name: str) -> str:
        decision = self.decisions.get(name)
        return decision.waiting if decision is not None else ""

    def reasons(self, name: str) -> list[str]:
        return [note.reason for note in self.notes.get(name, ())]

    def told(self, name: str) -> str:
        """The last that was told of a Service."""
        return self.notes[name][-1].message

    def used(self, pool: str, family: Family = Family.IPV4) -> int:
        return self.statistics(pool, family).used

    def statistics(self, pool: str, family: Family = Family.IPV4) -> PoolStatistics:
        found = self.accounts.statistics().pools
        return next(each for each in found if (each.pool, each.family) == (pool, family))


def serve(data: Mapping[str, str] | None, *services: Facts | str) -> Desk:
    """Return a desk that has served Services, plain ones where only names are given."""
    desk = Desk(data)
    desk.serve(*(service(each) if isinstance(each, str) else each for each in services))
    return desk
