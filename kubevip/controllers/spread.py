"""Spread mode: acts on what ``kubevip.spread`` decides, by writes to the API server and by what the keeper holds.

It stands in three places. As the ``Governance`` of addresses it learns what Services ask for; as their ``Holding`` it
lets the keeper have only what is this node's; and as the ``Follower`` of the election for this node's own Lease it
knows by which term.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import anyio
import anyio.abc
import attrs

from kubevip.controllers.fleet import Fleet
from kubevip.controllers.registrar import Registrar
from kubevip.custody import Facts, Orders
from kubevip.election import Cause, Standing
from kubevip.errors import ApiError, Conflict, NotFound
from kubevip.kube.nodeleases import NodeLeases
from kubevip.kube.records import Records
from kubevip.lease import Claim, Record, Timing
from kubevip.model import IPAddress, LeaseKey, ServiceKey, Term, Vip
from kubevip.placement import Network
from kubevip.ports import Observation
from kubevip.runtime.keeper import Keeper
from kubevip.runtime.retry import Retry
from kubevip.service import Endpoints, ServiceView
from kubevip.spread.assignment import SpreadStatistics
from kubevip.spread.charges import Change, Step, Write, charge_of
from kubevip.spread.roster import Roster
from kubevip.spread.spreading import Spreading

log = logging.getLogger(__name__)

# Requests under way at once, and those that wait for that: where they should go may be another node by then.
WRITERS, AT_ONCE = 16, 64
# Why a node that stops shouldn't have anything.
DEPARTING = "the agent is being stopped"
# All that happens within so many seconds is decided on together; and deciding takes at most a fifth of the time.
GAP, IDLE_PARTS = 0.005, 4


class OwnElection(Protocol):
    """The election for this node's own Lease; ``kubevip.runtime.elector.Elector`` is one."""

    @property
    def record(self) -> Record | None:
        """The Lease as last seen."""

    def renew(self) -> None:
        """Renew now, if we lead."""


@attrs.define(eq=False)
class Spread:
    """This node's part in spread mode, while ``run()`` goes on.

    *control_plane* has its addresses by its own Lease. *networks* and *unfit* are what this node says of itself beside
    *weight* and *zone*; *endpoints_of* tells the endpoints of a Service.
    """

    node: str
    _keeper: Keeper
    _leases: NodeLeases
    _records: Records
    timing: Timing
    control_plane: Mapping[IPAddress, LeaseKey]
    weight: float = 1.0
    zone: str = ""
    networks: Callable[[], Collection[Network]] = tuple
    unfit: Callable[[], str] = str
    endpoints_of: Callable[[ServiceKey], Endpoints] = lambda _key: Endpoints()
    fleet: Fleet | None = None
    """Where heartbeats are sent: who has what, for them."""

    election: OwnElection = attrs.field(init=False)
    lease_of_node: LeaseKey = attrs.field(init=False)
    _spreading: Spreading = attrs.field(init=False)
    _roster: Roster = attrs.field(init=False)
    _registrar: Registrar = attrs.field(init=False)
    _vips: dict[IPAddress, Vip] = attrs.field(factory=dict, init=False)
    _leaving: dict[IPAddress, Vip] = attrs.field(factory=dict, init=False)
    _entrusted: dict[IPAddress, Vip] = attrs.field(factory=dict, init=False)
    _asked: dict[ServiceKey, tuple[Vip, ...]] | None = attrs.field(factory=dict, init=False)
    _causes: dict[IPAddress, Change] = attrs.field(factory=dict, init=False)
    _flying: set[ServiceKey | str] = attrs.field(factory=set, init=False)
    _retry: Retry[ServiceKey | str] = attrs.field(init=False)
    _departing: bool = attrs.field(default=False, init=False)
    _heeded: str = attrs.field(default="", init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._roster = Roster(self.timing.duration)
        self._spreading = Spreading(self.node, self._roster)
        self._registrar = Registrar(self._leases, self._records, self._spreading, self._apply)
        self.lease_of_node = self._leases.of(self.node)
        self._leases.saw, self._leases.listed = self._saw, self._listed
        self._retry = Retry(lambda keys: self._try_again(keys))

    # What Services ask for (Governance)

    def lease(self, address: IPAddress) -> LeaseKey | None:
        """See ``kubevip.claims.Governance``: what is held at all is held by this node's own Lease."""
        return self.control_plane.get(address, self.lease_of_node)

    def asks(self, key: ServiceKey, view: ServiceView | None, vips: Collection[Vip]) -> Collection[IPAddress]:
        """See ``kubevip.claims.Governance``."""
        ours = [vip.address for vip in vips if vip.address not in self.control_plane]
        if self._asked is not None:
            self._asked[key] = tuple(vip for vip in vips if vip.address in ours)
        if self.fleet is not None:
            self.fleet.note(key, [vip for vip in vips if vip.address in ours])
        if view is None or not ours:
            self._spreading.deleted(key)
        else:
            self._spreading.applied(charge_of(view, ours, self.endpoints_of(key)), self._now())
        self._apply()
        if view is None or not self.endpoints_of(key).anywhere:
            for address in ours:
                self._let_go(address)
        return ()

    def objection(self, view: ServiceView) -> str:
        """See ``kubevip.claims.Governance``."""
        return ""

    # What is to be held (Holding)

    def want(self, vip: Vip, lease: LeaseKey) -> None:
        """See ``kubevip.controllers.ownership.Holding``."""
        if lease != self.lease_of_node:
            self._keeper.want(vip, lease)
            return
        self._leaving.pop(vip.address, None)
        self._vips[vip.address] = vip
        self._entrust(vip.address)

    def unwant(self, vip: Vip) -> None:
        """See ``kubevip.controllers.ownership.Holding``."""
        for known in (self._vips, self._leaving, self._entrusted):
            if known.get(vip.address) == vip:
                del known[vip.address]
        self._keeper.unwant(vip)

    def hand_over(self, vip: Vip) -> None:
        """See ``kubevip.controllers.ownership.Holding``: it stays until the record names another node."""
        if self._vips.get(vip.address) == vip and vip.address in self._spreading.own:
            self._leaving[vip.address] = vip
            self._wake.set()
        else:
            self.unwant(vip)

    def _let_go(self, address: IPAddress) -> None:
        vip = self._leaving.get(address)
        if vip is not None:
            self.unwant(vip)

    # What is this node's

    def _apply(self) -> None:
        """Let the keeper have what has become this node's, and no more what isn't."""
        for change in self._spreading.update(self._now()):
            if change.cause is not None:
                self._causes[change.address] = change
                self._entrust(change.address)
            else:
                self._take_back(change)
        self._wake.set()

    def _entrust(self, address: IPAddress) -> None:
        vip = self._vips.get(address)
        if vip is None or address not in self._spreading.own or self._entrusted.get(address) == vip:
            return
        self._entrusted[address] = vip
        change = self._causes.pop(address, None) or Change(address, None)
        cause = change.cause if change.cause is not None else Cause.OURS
        left_by = change.changed_hands + self.timing.attempt_timeout + self._keeper.linger
        self._keeper.entrust(vip, self.lease_of_node, cause, change.silent_by, left_by)

    def _take_back(self, change: Change) -> None:
        self._causes.pop(change.address, None)
        vip = self._entrusted.get(change.address)
        if vip is None or not self._spreading.term:
            # Where this node leads nothing, the keeper has let go of it already, or waits for a successor.
            return
        del self._entrusted[change.address]
        if change.given:
            # That is on its way: as with a Lease, the successor has its time from the answer on.
            self._keeper.pass_on(vip, self.timing.attempt_timeout)
        else:
            self._keeper.unwant(vip)
        self._let_go(change.address)

    # The election for this node's Lease (Follower)

    def campaigning(self, lease: LeaseKey, cause: Cause) -> None:
        """See ``kubevip.runtime.elector.Follower``."""
        self._keeper.campaigning(lease, cause)

    def standing(self, lease: LeaseKey, standing: Standing, term: Term | None) -> None:
        """See ``kubevip.runtime.elector.Follower``."""
        if term is None:
            self._keeper.standing(lease, standing, None)
            self._spreading.lead("")
            self._apply()
            return
        facts = Facts.parse(self.election.record.word) if self.election.record is not None else None
        before = self._spreading.term
        if not before:
            for node in self._roster.wake(self._now()):
                self._spreading.changed(node)
        self._spreading.lead(facts.term if facts is not None else "")
        if self._spreading.term != before:
            self._apply()
            for address in self._entrusted.keys() - self._spreading.own.keys():
                self._keeper.unwant(self._entrusted.pop(address))
        self._keeper.standing(lease, standing, term)
        if self._asked is not None:
            known = (vip for vips in self._asked.values() for vip in vips)
            self._keeper.sweep(vip for vip in known if vip.address not in self._spreading.own)
            self._asked = None

    def word(self, claim: Claim, base: Record | None) -> str:
        """Return what this node says of itself in its Lease, with a claim to what it was before."""
        said = Facts.parse(base.word) if base is not None else None
        if not claim.holder:
            return str(Facts(term=said.term, left=True)) if said is not None else ""
        continues = base is not None and base.holder == self.node
        if not self._spreading.term and not self._departing and said is not None and said.unfit:
            # The process before this one was handing over when it ended: a word of that may be on its way yet, so what
            # its records said is over, and for all to take.
            continues = False
        known = (said.term if said is not None else self._spreading.term) if continues else ""
        return str(
            Facts(
                term=known or f"{random.getrandbits(48):012x}",
                weight=self.weight,
                zone=self.zone,
                networks=tuple(self.networks()),
                unfit=self.unfit() or (DEPARTING if self._departing else ""),
            )
        )

    def look(self) -> None:
        """Heed what somebody asks of this node in its Lease (``kubevip rebalance``)."""
        record = self.election.record
        if record is None or not record.request or record.request == self._heeded:
            return
        self._heeded = record.request
        orders = Orders.parse(record.request)
        if orders is None or orders.term != self._spreading.term:
            return
        for key, node in orders.moves.items():
            log.info("asked to hand over", extra={"service": str(key), "holder": node})
            self._spreading.wish(key, node)
        self._wake.set()

    def nodes(self) -> int:
        """Return how many nodes there are, at least one."""
        return max(1, len(self._roster.present(self._now())))

    def speaks(self) -> bool:
        """Tell whether this node is the one that tells about Services that nobody holds."""
        present = self._roster.present(self._now())
        return bool(self._spreading.term) and self.node == min(present, default="")

    def depart(self) -> None:
        """Say that this node shouldn't have anything any more, and hand over what others can have."""
        self._departing = True
        self.election.renew()

    def departs(self) -> bool:
        """Tell whether all can see that."""
        return (own := self._roster.present(self._now()).get(self.node)) is None or own.unfit != ""

    def holds(self) -> int:
        """Return how many addresses are this node's."""
        return len(self._spreading.own)

    def has_heirs(self) -> bool:
        """Tell whether something of that is to be handed over."""
        return self._spreading.has_heirs(self._now())

    # What is seen of the others

    def _saw(self, node: str, observation: Observation) -> None:
        if self._roster.saw(node, observation.record, observation.version, self._now()):
            self._spreading.changed(node)
            self._apply()

    def _listed(self, nodes: Collection[str], version: str) -> None:
        self._spreading.listed(nodes, version, self._now())
        self._apply()

    def open_fleet(self) -> Fleet:
        """Return who has what, for those who look after nodes by their heartbeats."""
        self.fleet = Fleet(self._roster, self._spreading, self._apply, lambda: self.networks())
        return self.fleet

    # Driving

    async def run(self) -> None:
        """Do what is to be done, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._retry.run)
            limiter = anyio.CapacityLimiter(WRITERS)
            while True:
                began = self._now()
                self._wake.clear()
                self._apply()
                self._wake.clear()
                busy = self._flying | self._retry.failing().keys()
                steps, again = self._spreading.steps(self._now(), busy, max(0, AT_ONCE - len(self._flying)))
                for step in self._watch_for(steps):
                    key = step.key if isinstance(step, Write) else step.node
                    if key not in busy:
                        self._flying.add(key)
                        tasks.start_soon(self._do, key, step, limiter)
                await anyio.sleep(max(GAP, IDLE_PARTS * (self._now() - began)))
                with anyio.move_on_after(again - self._now()):
                    await self._wake.wait()

    def _watch_for(self, steps: Collection[Step]) -> list[Step]:
        """Look out for the successors of all that is about to be given away; return *steps* as they are then.

        What this node hasn't found to be free yet, it can't hand over: its successor has to ask on the wire itself.
        """
        giving = {each for step in steps if isinstance(step, Write) for each in step.giving}
        known = [self._entrusted[each] for each in giving if each in self._entrusted]
        unknown = self._keeper.watch_for(known)
        unsure = giving - {vip.address for vip in known if vip not in unknown}
        return [step.unproven(unsure) if isinstance(step, Write) and unsure else step for step in steps]

    def _try_again(self, keys: object) -> None:
        for key in keys if isinstance(keys, list) else ():
            self._retry.forget(key)
        self._wake.set()

    async def _do(self, key: ServiceKey | str, step: Step, limiter: anyio.CapacityLimiter) -> None:
        try:
            async with limiter:
                with anyio.fail_after(self.timing.attempt_timeout):
                    await self._registrar.carry_out(step)
        except (Conflict, NotFound) as error:
            # Somebody else was first; what it is like now will be seen.
            log.debug("overtaken", extra={"object": str(key), "reason": str(error)})
        except (ApiError, TimeoutError) as error:
            if self._retry.after(key, error):
                text = str(error) or f"no answer within {self.timing.attempt_timeout:g} s"
                log.warning("can't write who holds what", extra={"object": str(key), "reason": text})
        finally:
            self._flying.discard(key)
            self._apply()

    # Telling

    def statistics(self) -> SpreadStatistics:
        """Return a snapshot."""
        present = tuple(sorted(self._roster.present(self._now())))
        loads = Counter(self._spreading.assignment.on.values())
        return SpreadStatistics(self._spreading.term, present, loads, len(self._spreading.own), self._registrar.moves)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
