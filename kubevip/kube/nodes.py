"""What the API says of this node: its annotations."""

from kubevip.kube.reflector import Reflector, Sink
from kubevip.kube.resources import Object, Resource
from kubevip.ports import Api


class AnnotatedNode(Object):
    """``core/v1`` Node: only its metadata."""


ANNOTATED_NODES = Resource("/api/v1", "nodes", AnnotatedNode)


def watch_node(client: Api, node: str, sink: Sink[AnnotatedNode]) -> Reflector[AnnotatedNode]:
    """Return what keeps *sink* informed of the Node called *node*, while it runs."""
    return Reflector(client, ANNOTATED_NODES, sink, field_selector=f"metadata.name={node}")
