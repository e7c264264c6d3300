"""Leases of the Kubernetes API as ``kubevip.ports.LeaseStore``, written as client-go's LeaseLock writes them."""

import datetime
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import msgspec

from kubevip import heartbeat, succession
from kubevip.errors import Conflict, LeaseConflict, NotFound
from kubevip.kube.reflector import Reflector
from kubevip.kube.resources import LEASES, RawLease
from kubevip.lease import Claim, Record
from kubevip.model import LeaseKey, ObjectKey
from kubevip.ports import Api, Observation

# A Lease that somebody holds changes with each renewal: silence means that the connection is dead.
SILENCE = 30.0
# A candidate that sees nothing takes nothing: it asks again soon.
LONGEST_PAUSE = 2.0

_VERSION = "coordination.k8s.io/v1"
_DECODER = msgspec.json.Decoder(RawLease)


def utc_now() -> datetime.datetime:
    """Return the time of day."""
    return datetime.datetime.now(datetime.UTC)


@attrs.define(eq=False)
class KubeLeases:
    """Keeps Leases in the Kubernetes API. *wall* tells the time that is written into them, for people."""

    _client: Api
    wall: Callable[[], datetime.datetime] = utc_now

    async def read(self, lease: LeaseKey) -> Record | None:
        """Return the Lease as it is now; see ``kubevip.ports.LeaseStore``."""
        try:
            answer = await self._client.request("GET", LEASES.path(lease.namespace, lease.name))
        except NotFound:
            return None
        return to_record(_DECODER.decode(answer))

    async def write(self, lease: LeaseKey, claim: Claim, base: Record | None) -> Record:
        """Make the Lease say *claim*; see ``kubevip.ports.LeaseStore``."""
        body = to_body(lease, claim, base, self.wall())
        try:
            if base is None:
                answer = await self._client.request("POST", LEASES.path(lease.namespace), body=body)
            else:
                answer = await self._client.request("PUT", LEASES.path(lease.namespace, lease.name), body=body)
        except Conflict as error:
            raise LeaseConflict(str(error), status=error.status, reason=error.reason) from error
        except NotFound as error:
            if base is None:
                raise
            raise LeaseConflict(str(error), status=error.status, reason=error.reason) from error
        return to_record(_DECODER.decode(answer))

    async def ask(self, lease: LeaseKey, request: str, base: Record) -> Record:
        """Write *request* to the holder into the Lease, or remove it; see ``kubevip.ports.Asking``."""
        found = base.original if isinstance(base.original, RawLease) else RawLease()
        metadata = {**found.metadata, "name": lease.name, "namespace": lease.namespace, "resourceVersion": base.version}
        metadata.pop("managedFields", None)
        others = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != succession.REQUEST}
        metadata["annotations"] = others | ({succession.REQUEST: request} if request else {})
        body = {"apiVersion": _VERSION, "kind": "Lease", "metadata": metadata, "spec": found.spec or {}}
        try:
            answer = await self._client.request("PUT", LEASES.path(lease.namespace, lease.name), body=body)
        except (Conflict, NotFound) as error:
            raise LeaseConflict(str(error), status=error.status, reason=error.reason) from error
        return to_record(_DECODER.decode(answer))

    @asynccontextmanager
    async def watch(self, lease: LeaseKey, seen: Callable[[Observation], None]) -> AsyncIterator[None]:
        """Report each change of the Lease; see ``kubevip.ports.LeaseStore``."""
        reflector = Reflector(
            self._client,
            LEASES,
            _Observer(lease, seen),
            namespace=lease.namespace,
            field_selector=f"metadata.name={lease.name}",
            silence=SILENCE,
            longest_pause=LONGEST_PAUSE,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reflector.run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()


@attrs.define(eq=False)
class _Observer:
    """Turns what a reflector tells about one Lease into observations."""

    _lease: LeaseKey
    _seen: Callable[[Observation], None]

    def applied(self, found: RawLease) -> None:
        record = to_record(found)
        self._seen(Observation(record, record.version))

    def deleted(self, found: RawLease) -> None:
        self._seen(Observation(None, to_record(found).version))

    def listed(self, keys: Collection[ObjectKey], version: str) -> None:
        if not keys:
            self._seen(Observation(None, version))


def to_record(lease: RawLease) -> Record:
    """Read a Lease. One without a holder is vacant, one without a duration states 0."""
    spec, annotations = lease.spec or {}, lease.metadata.get("annotations") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        version=str(lease.metadata.get("resourceVersion", "")),
        badge=annotations.get(heartbeat.ANNOTATION, ""),
        original=lease,
        word=annotations.get(succession.WORD, ""),
        request=annotations.get(succession.REQUEST, ""),
    )


def to_body(lease: LeaseKey, claim: Claim, base: Record | None, now: datetime.datetime) -> dict[str, Any]:
    """Build the object that a write sends: *base* with the claim in it, all else left as it was."""
    moment = micro_time(now)
    said = {heartbeat.ANNOTATION: claim.badge, succession.WORD: claim.word}
    annotations = {name: text for name, text in said.items() if text}
    spec: dict[str, Any] = {}
    metadata: dict[str, Any] = {"name": lease.name, "namespace": lease.namespace}
    if base is not None:
        if isinstance(base.original, RawLease):
            spec |= base.original.spec or {}
            metadata |= base.original.metadata
        metadata["resourceVersion"] = base.version
        metadata.pop("managedFields", None)
    if annotations:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    spec |= {
        "holderIdentity": claim.holder,
        "leaseDurationSeconds": claim.duration,
        "leaseTransitions": claim.transitions,
        "renewTime": moment,
        "acquireTime": moment if claim.fresh or not spec.get("acquireTime") else spec["acquireTime"],
    }
    return {"apiVersion": _VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def micro_time(moment: datetime.datetime) -> str:
    """Write a time as ``meta/v1`` MicroTime: UTC, always six digits of a second."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
