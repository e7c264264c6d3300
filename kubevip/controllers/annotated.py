"""Waits for the annotations of this node that say with whom it speaks BGP; a cloud's controller writes them."""

import logging
from collections.abc import Mapping

import anyio
import attrs

from kubevip.annotations import NodeAnnotations, read_annotations
from kubevip.controllers.peers import NodeTeller
from kubevip.errors import ApiError
from kubevip.kube.nodes import annotations_of
from kubevip.ports import Api

log = logging.getLogger(__name__)

# How often, in seconds, a node is looked at whose annotations are not complete yet.
EVERY = 2.0


@attrs.define(eq=False)
class Annotated:
    """The annotations of *node* that begin with *prefix*.

    *waiting* says what is missing, empty where nothing is; *meaningless* are those that nobody reads.
    """

    _client: Api
    _node: str
    _prefix: str
    _teller: NodeTeller
    waiting: str = attrs.field(default="", init=False)
    meaningless: tuple[str, ...] = attrs.field(default=(), init=False)

    async def wait(self, stopping: anyio.Event) -> Mapping[str, str] | None:
        """Return the settings that they make, as soon as they are complete; ``None`` if *stopping* comes first."""
        while not stopping.is_set():
            found = await self._read()
            if found.settings:
                self.waiting = ""
                return found.settings
            self._miss("; ".join(found.problems))
            with anyio.move_on_after(EVERY):
                await stopping.wait()
        return None

    async def _read(self) -> NodeAnnotations:
        try:
            found = read_annotations(await annotations_of(self._client, self._node), self._prefix)
        except ApiError as error:
            return NodeAnnotations({}, (str(error),))
        self.meaningless = found.unknown
        return found

    def _miss(self, problems: str) -> None:
        reason = f"node {self._node}: {problems}"
        if reason != self.waiting:
            self.waiting = reason
            log.warning("waiting for the node's annotations", extra={"reason": reason})
            self._teller.warning("AnnotationsIncomplete", f"no BGP session is begun: {problems}")

    def tell_meaningless(self) -> None:
        """Tell of annotations that nobody reads: their names may be misspelt."""
        for name in self.meaningless:
            log.warning("an annotation of the node means nothing here", extra={"annotation": name})
            self._teller.warning("AnnotationUnknown", f"annotation {name} means nothing to kubevip: is it misspelt?")
