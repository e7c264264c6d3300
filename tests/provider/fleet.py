"""Providers on a simulated API server that crash, lag behind, lose answers and get in each other's way.

A history is a list of plain tuples, the first of each naming a method of ``Fleet`` or ``Users``; ``play()`` makes
it happen. So a failure prints what led to it, and the print is its reproduction.
"""

from collections.abc import Sequence

import attrs

from kubevip.ipam.allocator import COOLING
from kubevip.model import IPAddress, ServiceKey
from kubevip.provision.accounts import Accounts
from kubevip.provision.replan import written
from kubevip.provision.verdict import Classes, Facts
from kubevip.service import INTERFACE
from tests.provider.configs import CONFIGS, SIX, THREE
from tests.provider.referee import Referee, Violation, Write
from tests.provider.server import Conflicted, Gone, Server
from tests.provider.services import claimed, readable, served
from tests.provider.users import KEYS, Users

NODE_ADDRESSES = ("", "10.0.0.1", "10.0.0.3")
# How a write ends: it is answered; its answer is lost, with or without the write; it reaches the server much later.
WELL, LOST, UNANSWERED, LATE = FATES = range(4)
NO_ANSWER = "no answer"


@attrs.define(eq=False)
class Provider:
    """An account, and what its driver has under way."""

    accounts: Accounts
    seen: int = 0
    config: int = 0
    todo: dict[ServiceKey, None] = attrs.field(factory=dict)
    writes: list[Write] = attrs.field(factory=list)
    # Writes that nobody waits for any more, and that may reach the server yet.
    adrift: list[Write] = attrs.field(factory=list)
    # How much of the log had been seen when an address was chosen for a Service.
    chosen: dict[tuple[ServiceKey, IPAddress], int] = attrs.field(factory=dict)
    versions: dict[ServiceKey, str] = attrs.field(factory=dict)

    def is_busy(self, key: ServiceKey) -> bool:
        return any(write.key == key for write in self.writes)

    def choose(self, key: ServiceKey, addresses: frozenset[IPAddress]) -> dict[IPAddress, int]:
        for address in addresses:
            self.chosen.setdefault((key, address), self.seen)
        return {address: at for (chooser, address), at in self.chosen.items() if chooser == key}

    def forget_choices(self, key: ServiceKey, but: frozenset[IPAddress] = frozenset()) -> None:
        self.chosen = {
            (chooser, address): at for (chooser, address), at in self.chosen.items() if chooser != key or address in but
        }

    def applied(self, facts: Facts, now: float, *, in_order: bool) -> None:
        if self.accounts.applied(facts, now, in_order=in_order) and facts.version != self.versions.get(facts.key):
            self.versions[facts.key] = facts.version
            self.forget_choices(facts.key, but=claimed(facts))


@attrs.define(eq=False)
class Fleet:
    """A server, and *many* providers; one that is alone is told so."""

    many: int = 1
    server: Server = attrs.field(factory=Server)
    now: float = 1000.0
    configs: list[int] = attrs.field(factory=lambda: [0])
    node: str = ""
    providers: list[Provider] = attrs.field(factory=list)
    referee: Referee = attrs.field(init=False)
    users: Users = attrs.field(init=False)
    # Of which Services nobody knows whether they were written.
    unsure: set[ServiceKey] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.referee = Referee(self.server, alone=self.many == 1)
        self.users = Users(self.server, self.referee)
        self.providers = [self._started(number) for number in range(self.many)]

    def play(self, history: Sequence[tuple[object, ...]]) -> None:
        """Make *history* happen, and see that all comes to rest as it should."""
        for name, *arguments in history:
            getattr(self if hasattr(self, str(name)) else self.users, str(name))(*arguments)
        self.rest()

    # What administrators do, and time

    def configure(self, number: int) -> None:
        self.configs.append(number)
        self.referee.shares |= CONFIGS[number].shares

    def renode(self, number: int) -> None:
        self.node = NODE_ADDRESSES[number]
        for provider in self.providers:
            provider.accounts.node_has("node", tuple(readable(self.node)))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for provider in self.providers:
            provider.accounts.look_again(self.now)

    # What becomes of providers

    def _started(self, number: int) -> Provider:
        provider = Provider(Accounts(Classes(), identity=f"provider-{number}" if self.many > 1 else ""))
        provider.accounts.configure(CONFIGS[self.configs[-1]].read())
        provider.accounts.node_has("node", tuple(readable(self.node)))
        provider.config = len(self.configs) - 1
        self._list(provider)
        return provider

    def _list(self, provider: Provider) -> None:
        for key in sorted(self.server.objects):
            provider.applied(self.server.objects[key], self.now, in_order=False)
        for key in sorted(set(provider.accounts.keys).difference(self.server.objects)):
            provider.accounts.deleted(key, self.now)
        provider.accounts.listed()
        provider.seen = len(self.server.log)

    def _provider(self, number: int) -> Provider:
        return self.providers[number % self.many]

    def see(self, number: int, events: int = 1) -> None:
        provider = self._provider(number)
        for is_there, facts in self.server.log[provider.seen : provider.seen + events]:
            provider.seen += 1
            if is_there:
                provider.applied(facts, self.now, in_order=True)
            else:
                provider.accounts.deleted(facts.key, self.now)

    def heed(self, number: int) -> None:
        """See the ConfigMap's next version."""
        provider = self._provider(number)
        if provider.config < len(self.configs) - 1:
            provider.config += 1
            provider.accounts.configure(CONFIGS[self.configs[provider.config]].read())

    def decide(self, number: int) -> bool:
        """Decide on the next Service on which there is something to decide; tell whether there was one."""
        provider = self._provider(number)
        while (key := provider.accounts.next_due()) is not None:
            provider.todo[key] = None
        key = next((key for key in provider.todo if not provider.is_busy(key)), None)
        if key is None:
            return False
        del provider.todo[key]
        decision = provider.accounts.decide(key, self.now)
        if decision is not None and decision.edits:
            after = written(decision.facts, decision.edits)
            chosen = provider.choose(key, (served(after) | claimed(after)) - served(decision.facts))
            config = CONFIGS[self.configs[provider.config]]
            provider.writes.append(Write(decision, provider.seen, config, chosen))
        return True

    def land(self, number: int, which: int = 0, fate: int = WELL) -> None:
        """Let a write reach the server, or not."""
        provider = self._provider(number)
        unanswered = [write for write in provider.writes if write.answer is None]
        if not unanswered:
            return
        write = unanswered[which % len(unanswered)]
        answer = self._land(write) if fate in (WELL, UNANSWERED) else None
        write.answer = answer if fate == WELL else NO_ANSWER
        if fate == LATE:
            provider.adrift.append(write)

    def _land(self, write: Write) -> Facts | Exception:
        before, decided = self.server.objects.get(write.key), write.decision
        try:
            after = self.server.update(written(decided.facts, decided.edits), decided.facts.version)
        except (Conflicted, Gone) as error:
            return error
        assert before is not None
        self.referee.check_write(write, before, after)
        return after

    def answer(self, number: int, which: int = 0) -> None:
        """Tell the account how a write has ended."""
        provider = self._provider(number)
        answered = [write for write in provider.writes if write.answer is not None]
        if not answered:
            return
        write = answered[which % len(answered)]
        provider.writes.remove(write)
        if isinstance(write.answer, Facts):
            provider.accounts.wrote(write.answer, self.now)
            return
        certainly = write.answer != NO_ANSWER
        provider.accounts.failed(write.key, certainly=certainly)
        provider.accounts.look_at([write.key])
        if certainly:
            provider.forget_choices(write.key)
        else:
            self.unsure.add(write.key)

    def attempt(self, number: int, fate: int) -> None:
        """Decide, write, and be told how that has ended."""
        provider = self._provider(number)
        if self.decide(number) and provider.writes and provider.writes[-1].answer is None:
            self.land(number, -1, fate)
            self.answer(number, -1)

    def drift(self, number: int, which: int = 0) -> None:
        """Let a write land that nobody waits for any more."""
        provider = self._provider(number)
        if provider.adrift:
            self._land(provider.adrift.pop(which % len(provider.adrift)))

    def learn(self, number: int, key: int) -> None:
        """Read a Service, ahead of the watch."""
        provider, found = self._provider(number), self.server.objects.get(KEYS[key])
        if provider.is_busy(KEYS[key]):
            return
        if found is not None:
            provider.applied(found, self.now, in_order=False)
        else:
            provider.accounts.deleted(KEYS[key], self.now)

    def relist(self, number: int) -> None:
        """Lose the watch, and list everything anew."""
        self._list(self._provider(number))

    def step(self, number: int) -> bool:
        """Decide, write and be told, without a hitch; tell whether there was something to do."""
        provider, some = self._provider(number), self.decide(number)
        while provider.writes:
            some = True
            self.land(number)
            self.answer(number)
        return some

    def work(self, number: int) -> None:
        """See everything, and do whatever there is to do."""
        for _ in range(200):
            self.see(number, len(self.server.log))
            if not self.step(number):
                return
        raise Violation(f"provider {number} comes to no end")

    def restart(self, number: int, landing: int = 0) -> None:
        """Crash, and start anew. What was being written lands before, or never."""
        number %= self.many
        provider = self.providers[number]
        if landing:
            for write in (*provider.adrift, *(write for write in provider.writes if write.answer is None)):
                self._land(write)
        self.providers[number] = self._started(number)

    # The end

    def rest(self) -> None:
        """Let everybody see everything and do what is to do, then check what has become of it."""
        for number, provider in enumerate(self.providers):
            while provider.adrift:
                self.drift(number)
            while provider.writes:
                self.land(number)
                self.answer(number)
            while provider.config < len(self.configs) - 1:
                self.heed(number)
        self._come_to_rest()
        # Of what nobody knows whether it was written the address stays in use until the Service is seen to change.
        for key in sorted(self.unsure):
            self.users.touch(KEYS.index(key), 9)
        self._come_to_rest()
        self._check_accounts()
        config = CONFIGS[self.configs[-1]]
        chain = {key.namespace: config.chain(key.namespace) for key in KEYS}
        self.referee.check_at_rest(chain, readable(self.node))

    def _come_to_rest(self) -> None:
        for _ in range(50):
            self._work_all()
            moments = [provider.accounts.look_again(self.now) for provider in self.providers]
            self._work_all()
            due = [moment for moment in moments if moment is not None]
            if not due:
                return
            self.now = min(due)
        raise Violation("it never comes to rest")

    def _work_all(self) -> None:
        for _ in range(100):
            before = len(self.server.log)
            for number in range(self.many):
                self.work(number)
            if len(self.server.log) == before:
                return
        raise Violation("the providers come to no end")

    def _check_accounts(self) -> None:
        """Everybody knows what is there, and a restart changes nothing."""
        for number, provider in enumerate(self.providers):
            started = self._started(number)
            for address in THREE | SIX | readable("10.9.9.9"):
                known, there = (
                    sorted(key for key in each.accounts.holders(address) if key != COOLING)
                    for each in (provider, started)
                )
                if known != there:
                    raise Violation(f"provider {number} says that {address} is of {known}; it is of {there}")
            for key in self.server.objects:
                decision = started.accounts.decide(key, self.now)
                if decision is not None and decision.edits and set(decision.edits.annotations) != {INTERFACE}:
                    raise Violation(f"after a restart provider {number} does {decision.edits} to {key}")
