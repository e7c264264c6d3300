"""Kubernetes Events about Services and what they depend on, where the ServiceAccount may write them."""

import collections
import datetime
import logging
import uuid
from typing import Literal

import anyio
import anyio.abc
import attrs

from kubevip.errors import ApiError, Forbidden
from kubevip.kube.leases import micro_time
from kubevip.kube.resources import EVENTS
from kubevip.model import ObjectKey
from kubevip.ports import Api

log = logging.getLogger(__name__)

# Unless told otherwise: beyond this many unsent ones the oldest are dropped: an Event explains, nothing depends on it.
BACKLOG = 200
# The same Event of the same object is written again after this many seconds.
REPEAT_AFTER = 600.0
# Nothing is made in a namespace that is being deleted; that is a 403 too, but says nothing of our rights.
TERMINATING = "because it is being terminated"


@attrs.frozen
class _Note:
    key: ObjectKey
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    kind: str = "Service"


@attrs.define(eq=False)
class Events:
    """Writes Events from ``run()`` until it is cancelled, or for good refused."""

    _client: Api
    _node: str
    backlog: int = BACKLOG
    component: str = "kubevip"
    _backlog: collections.deque[_Note] = attrs.field(init=False)
    _told: dict[_Note, float] = attrs.field(factory=dict, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _refused: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._backlog = collections.deque(maxlen=self.backlog)

    def normal(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        """Note that something went as it should."""
        self._note(_Note(key, uid, "Normal", reason, message, kind))

    def warning(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        """Note that something is wrong with an object of the core API group, a Service unless *kind* says otherwise."""
        self._note(_Note(key, uid, "Warning", reason, message, kind))

    def _note(self, note: _Note) -> None:
        if self._refused:
            return
        now = anyio.current_time()
        if now - self._told.get(note, -REPEAT_AFTER) < REPEAT_AFTER:
            return
        # The oldest come first.
        while self._told and now - next(iter(self._told.values())) >= REPEAT_AFTER:
            del self._told[next(iter(self._told))]
        self._told.pop(note, None)
        self._told[note] = now
        self._backlog.append(note)
        self._wake.set()

    async def run(self) -> None:
        """Write what is noted."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._backlog:
                await self._write(self._backlog.popleft())
            if self._refused:
                self._told.clear()
                return

    async def _write(self, note: _Note) -> None:
        try:
            await self._client.request("POST", EVENTS.path(note.key.namespace), body=self._body(note))
        except Forbidden as error:
            if TERMINATING in str(error):
                return
            log.info("writing no Events: the ServiceAccount lacks the right", extra={"reason": str(error)})
            self._refused = True
            self._backlog.clear()
        except ApiError as error:
            log.debug("an Event was not written", extra={"object": str(note.key), "reason": str(error)})

    def _body(self, note: _Note) -> dict[str, object]:
        now = datetime.datetime.now(datetime.UTC)
        seconds = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{note.key.name}.{uuid.uuid4().hex[:16]}", "namespace": note.key.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": note.kind,
                # Events of what is in no namespace stand in the default one (``core/v1`` Event).
                **({"namespace": note.key.namespace} if note.kind != "Node" else {}),
                "name": note.key.name,
                "uid": note.uid,
            },
            "type": note.type,
            "reason": note.reason,
            "message": note.message,
            "source": {"component": self.component, "host": self._node},
            "reportingComponent": self.component,
            "reportingInstance": self._node,
            "firstTimestamp": seconds,
            "lastTimestamp": seconds,
            "eventTime": micro_time(now),
            "action": note.reason,
            "count": 1,
        }
