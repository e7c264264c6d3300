"""Tells of the machines that backends speak with, in Events of the Node: whoever looks at a node sees its routers."""

from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
import attrs

from kubevip.backend import Peering
from kubevip.model import ObjectKey

# How often is looked at them, in seconds.
EVERY = 1.0


class NodeEvents(Protocol):
    """Where Events about the Node go; ``kubevip.kube.events.Events`` is one."""

    def normal(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str) -> None:
        """Note that something is as it should be."""

    def warning(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str) -> None:
        """Note that something is wrong."""


@attrs.frozen
class NodeTeller:
    """Writes Events of the Node *name*, as the kubelet does: in the namespace ``default``, its name for a UID."""

    name: str
    _events: NodeEvents

    def normal(self, reason: str, message: str) -> None:
        """Note that something is as it should be."""
        self._events.normal(ObjectKey("default", self.name), self.name, reason, message, kind="Node")

    def warning(self, reason: str, message: str) -> None:
        """Note that something is wrong."""
        self._events.warning(ObjectKey("default", self.name), self.name, reason, message, kind="Node")


@attrs.define(eq=False)
class Peers:
    """Looks at *peerings* from ``run()`` until it is cancelled, and tells what has changed."""

    _peerings: Callable[[], Sequence[Peering]]
    _node: NodeTeller
    _known: dict[str, Peering] = attrs.field(factory=dict, init=False)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await anyio.sleep(EVERY)

    def look(self) -> None:
        """Tell what is new."""
        for peering in self._peerings():
            before = self._known.get(peering.peer) or Peering(peer=peering.peer, state="", established=False)
            self._known[peering.peer] = peering
            self._tell(before, peering)

    def _tell(self, before: Peering, now: Peering) -> None:
        if now.established and (not before.established or now.flaps > before.flaps):
            only = f", IPv{now.families[0].value} alone" if len(now.families) == 1 else ""
            self._node.normal("PeerEstablished", f"{now.peer} hears what this node announces{only}")
        elif now.reason and not now.established and (before.established or now.reason != before.reason):
            self._node.warning("PeerLost", f"{now.peer} hears nothing of this node: {now.reason}")
        if now.malformed > before.malformed and now.complaint != before.complaint:
            self._node.warning("PeerMalformed", f"{now.peer} has sent what can't be used: {now.complaint}")
