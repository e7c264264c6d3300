"""What the API says of this node."""

from collections.abc import Mapping

import msgspec

from kubevip.kube.resources import Meta
from kubevip.ports import Api


class _Node(msgspec.Struct):
    metadata: Meta


async def annotations_of(client: Api, node: str) -> Mapping[str, str]:
    """Return the annotations of the node called *node*.

    :raises ApiError: if there is no such node, or no answer.
    """
    answer = await client.request("GET", f"/api/v1/nodes/{node}")
    return msgspec.json.decode(answer, type=_Node).metadata.annotations or {}
