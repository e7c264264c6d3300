"""The annotations of this node that say with whom it speaks BGP; a cloud's controller writes them, or people do.

The agent waits for them at its start, and follows them from then on: a peer that is added or corrected is spoken with
at once. What can't be used is told, and changes nothing: its last good value counts, and all others do in any case.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import anyio
import anyio.abc
import attrs

from kubevip.annotations import NodeAnnotations, peers_of, read_annotations
from kubevip.controllers.peers import NodeTeller
from kubevip.errors import KubeVipError
from kubevip.kube.nodes import AnnotatedNode, watch_node
from kubevip.kube.reflector import Reflector
from kubevip.model import ObjectKey
from kubevip.ports import Api
from kubevip.runtime.supervise import supervised

log = logging.getLogger(__name__)

# What could not be done with new settings is tried again after so many seconds.
AGAIN = 5.0


@attrs.frozen
class AnnotationStatistics:
    """A snapshot. *waiting* says what is missing at the start, empty where nothing is.

    *unknown* are annotations that mean nothing here, *bad* those whose value can't be used.
    """

    waiting: str
    unknown: tuple[str, ...]
    bad: tuple[str, ...]


@attrs.define(eq=False)
class Annotated:
    """The annotations of *node* that begin with *prefix*, beside what the environment says of peers."""

    _client: Api
    _node: str
    _prefix: str
    _teller: NodeTeller
    _environ: Mapping[str, str]
    _waiting: str = attrs.field(default="", init=False)
    _found: NodeAnnotations = attrs.field(factory=lambda: NodeAnnotations({}), init=False)
    _told: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _good: Mapping[str, str] = attrs.field(factory=dict, init=False)
    _applied: Mapping[str, str] = attrs.field(factory=dict, init=False)
    _changed: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _reflector: Reflector[AnnotatedNode] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reflector = watch_node(self._client, self._node, self)
        self._reflector.failed = self._unseen

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that the annotations and the environment make; empty before they are complete."""
        if not self._good:
            return {}
        peers = ",".join(filter(None, (self._environ.get("bgp_peers", ""), self._good["bgp_peers"])))
        return {**self._environ, **self._good, "bgp_peers": peers}

    async def watch(self) -> None:
        """Look at the annotations, until cancelled."""
        await self._reflector.run()

    def start(self, tasks: anyio.abc.TaskGroup, apply: Callable[[Mapping[str, str]], Awaitable[None]]) -> None:
        """From now on *apply* the settings whenever they have become other ones than ``wait()`` has returned."""
        tasks.start_soon(supervised, "watching the node", self.watch)
        tasks.start_soon(supervised, "following the node's annotations", partial(self._follow, apply))

    async def wait(self, stopping: anyio.Event) -> Mapping[str, str] | None:
        """Return the settings as soon as they are complete; ``None`` if *stopping* comes first."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_when, stopping, tasks.cancel_scope)
            while not self.settings:
                await self._changed.wait()
                self._changed = anyio.Event()
            tasks.cancel_scope.cancel()
        self._applied = self.settings
        return self._applied or None

    @staticmethod
    async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async def _follow(self, apply: Callable[[Mapping[str, str]], Awaitable[None]]) -> None:
        while True:
            await self._apply(apply)
            with anyio.move_on_after(None if self.settings == self._applied else AGAIN):
                await self._changed.wait()
            self._changed = anyio.Event()

    async def _apply(self, apply: Callable[[Mapping[str, str]], Awaitable[None]]) -> None:
        settings = self.settings
        if settings == self._applied:
            return
        try:
            await apply(settings)
        except KubeVipError as error:
            log.warning("can't go by the node's annotations", extra={"reason": str(error)})
            self._teller.warning("AnnotationInvalid", str(error))
        else:
            self._applied = settings
            log.info("going by the node's new annotations")

    # What is seen of the Node (a sink of ``kubevip.kube.reflector``)

    def applied(self, found: AnnotatedNode) -> None:
        """The Node is like that."""
        taken = peers_of(self._environ)
        self._learn(read_annotations(found.metadata.annotations or {}, self._prefix, self._found.used, taken))

    def deleted(self, found: AnnotatedNode) -> None:
        """The Node is gone: what it said last counts until the node itself is gone, too."""

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """The Node was just applied, or isn't there."""
        if not keys:
            self._miss(f"there is no Node {self._node}")

    def _unseen(self, error: Exception) -> None:
        self._miss(str(error))

    def _learn(self, found: NodeAnnotations) -> None:
        self._found = found
        self._tell(found)
        if found.settings:
            self._good, self._waiting = found.settings, ""
        else:
            self._miss("; ".join(found.problems))
        self._changed.set()

    def _miss(self, problems: str) -> None:
        """Something is missing; once the agent has begun, what was there last goes on to count."""
        reason = f"node {self._node}: {problems}"
        if not self._good and reason != self._waiting:
            self._waiting = reason
            log.warning("waiting for the node's annotations", extra={"reason": reason})
            self._teller.warning("AnnotationsIncomplete", f"no BGP session is begun: {problems}")

    def _tell(self, found: NodeAnnotations) -> None:
        """Tell what is new among what is wrong. At the start all else that is missing is waited for."""
        for problem in found.problems if self._good or found.settings else found.bad.values():
            if problem not in self._told:
                log.warning("an annotation of the node can't be used", extra={"reason": problem})
                self._teller.warning("AnnotationInvalid", problem)
        for name in found.unknown:
            if name not in self._told:
                log.warning("an annotation of the node means nothing here", extra={"annotation": name})
                told = f"annotation {name} means nothing to kubevip: is it misspelt?"
                self._teller.warning("AnnotationUnknown", told)
        self._told = frozenset((*found.problems, *found.unknown))

    def statistics(self) -> AnnotationStatistics:
        """Return a snapshot."""
        return AnnotationStatistics(self._waiting, self._found.unknown, tuple(self._found.bad))
