"""Whether this node is cordoned: ``spec.unschedulable`` of its Node, which ``kubectl cordon`` and ``drain`` set."""

from collections.abc import Callable, Collection

import attrs
import msgspec

from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import Object, Resource, Struct
from kubevip.model import ObjectKey
from kubevip.ports import Api

# Where the right to watch Nodes is missing, it is looked for so many seconds apart.
LONGEST_PAUSE = 300.0


class _Spec(Struct):
    """``core/v1`` NodeSpec."""

    unschedulable: bool = False


class SchedulableNode(Object):
    """``core/v1`` Node: whether Pods may be put on it."""

    spec: _Spec = msgspec.field(default_factory=_Spec)


SCHEDULABLE_NODES = Resource("/api/v1", "nodes", SchedulableNode)


@attrs.define(eq=False)
class CordonSink:
    """Takes one Node; *told* is called with whether it is cordoned. A Node that isn't there isn't."""

    _told: Callable[[bool], None]

    def applied(self, found: SchedulableNode) -> None:
        """The Node is there."""
        self._told(found.spec.unschedulable)

    def deleted(self, found: SchedulableNode) -> None:
        """The Node is gone."""
        self._told(False)

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        """The Node was just applied, or isn't there."""
        if not keys:
            self._told(False)


def watch_cordon(client: Api, node: str, told: Callable[[bool], None]) -> Reflector[SchedulableNode]:
    """Return what tells *told* whether *node* is cordoned, while it runs."""
    selector = f"metadata.name={node}"
    return Reflector(client, SCHEDULABLE_NODES, CordonSink(told), field_selector=selector, longest_pause=LONGEST_PAUSE)
