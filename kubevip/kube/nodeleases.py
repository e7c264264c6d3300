"""The Leases of all nodes, behind one watch of their namespace: each node's own, and what it sees of the others.

That watch shows the Leases that nodes share, too. Each of those has a watch of its own, so that it doesn't depend on
this one; but a process that has learnt from either that it has released one knows it.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager

import attrs

from kubevip.kube.leases import LONGEST_PAUSE, SILENCE, KubeLeases, to_record
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import LEASES, RawLease
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey, ObjectKey
from kubevip.ports import Api, Observation

PREFIX = "kubevip-node-"


@attrs.define(eq=False)
class NodeLeases:
    """A ``kubevip.ports.LeaseStore`` of the Leases of nodes in *namespace*.

    *saw* is called with a node and what its Lease is like; *listed* with the nodes that have one, and no others.
    """

    _client: Api
    _leases: KubeLeases
    namespace: str
    saw: Callable[[str, Observation], None] = lambda _node, _observation: None
    listed: Callable[[Collection[str], str], None] = lambda _nodes, _version: None

    reflector: Reflector[RawLease] = attrs.field(init=False)
    _followers: dict[str, Callable[[Observation], None]] = attrs.field(factory=dict, init=False)
    _last: dict[str, Observation] = attrs.field(factory=dict, init=False)
    _version: str | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.reflector = Reflector(
            self._client,
            LEASES,
            _Sink(self),
            namespace=self.namespace,
            silence=SILENCE,
            longest_pause=LONGEST_PAUSE,
        )

    def of(self, node: str) -> LeaseKey:
        """Return the Lease of *node*."""
        return LeaseKey(self.namespace, PREFIX + node)

    async def read(self, lease: LeaseKey) -> Record | None:
        """See ``kubevip.ports.LeaseStore``."""
        return await self._leases.read(lease)

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """See ``kubevip.ports.LeaseStore``."""
        return await self._leases.write(lease, claim, base)

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """See ``kubevip.ports.LeaseStore``; ``reflector`` has to run."""
        self._followers[lease.name] = seen
        if lease.name in self._last:
            seen(self._last[lease.name])
        elif self._version is not None:
            seen(Observation(None, self._version))
        try:
            yield
        finally:
            del self._followers[lease.name]

    def note(self, name: str, observation: Observation) -> None:
        """The watch shows the Lease *name*."""
        self._last[name] = observation
        if name.startswith(PREFIX):
            self.saw(name.removeprefix(PREFIX), observation)
        elif observation.record is None:
            # Others' Leases may come and go for ever.
            del self._last[name]
        if name in self._followers:
            self._followers[name](observation)

    def note_all(self, names: Collection[str], version: str) -> None:
        """There are these Leases, and no others."""
        self._version = version
        gone = [name for name, last in self._last.items() if last.record is not None and name not in names]
        for name in gone:
            self.note(name, Observation(None, version))
        for name in self._followers.keys() - set(names):
            self._followers[name](Observation(None, version))
        self.listed([name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)], version)


@attrs.define(eq=False)
class SeenTwice(KubeLeases):
    """The Leases that nodes share: each is watched by itself, and by *nodes* where it is in their namespace."""

    _nodes: NodeLeases = attrs.field(kw_only=True)

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """Report each change of the Lease by whichever watch shows it first; see ``kubevip.ports.LeaseStore``."""
        async with KubeLeases.watch(self, lease, seen), AsyncExitStack() as stack:
            if lease.namespace == self._nodes.namespace:
                await stack.enter_async_context(self._nodes.watch(lease, seen))
            yield


@attrs.define(eq=False)
class _Sink:
    _leases: NodeLeases

    def applied(self, found: RawLease) -> None:
        record = to_record(found)
        self._leases.note(found.key.name, Observation(record, record.version))

    def deleted(self, found: RawLease) -> None:
        self._leases.note(found.key.name, Observation(None, to_record(found).version))

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        self._leases.note_all({key.name for key in keys}, version)
