"""Services in memory, with all that an API server does about them, and the provider's work on them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio
import attrs
import msgspec

from kubevip.controllers.provisioning import Provisioning
from kubevip.controllers.sources import Sources
from kubevip.errors import Conflict, NotFound
from kubevip.kube.editing import edited
from kubevip.kube.provided import ConfigMap, ProvidedService, read_service
from kubevip.model import ObjectKey, ServiceKey
from kubevip.plugin import PoolSource
from kubevip.provision.accounts import Accounts
from kubevip.provision.edits import Edits
from kubevip.provision.verdict import CONDITION, RECORD, Classes, Condition
from kubevip.service import ADDRESSES

CONFIG = {"metadata": {"namespace": "kube-system", "name": "kubevip"}}


@attrs.define(eq=False)
class Cluster:
    """Holds Services, and shows each change to the provider that runs.

    Changes by the provider itself are shown *early*, before it has the answer, or late, after it.
    """

    registry: Mapping[str, type[PoolSource]]
    data: Mapping[str, str]
    early: bool = False
    workers: int = 4
    objects: dict[ServiceKey, dict[str, Any]] = attrs.field(factory=dict)
    events: list[tuple[str, str, str]] = attrs.field(factory=list)
    changed: anyio.Event = attrs.field(factory=anyio.Event)
    work: Provisioning | None = None
    sources: Sources | None = None
    accounts: Accounts | None = None
    _versions: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))

    # The provider

    @contextlib.asynccontextmanager
    async def provider(self) -> AsyncIterator[None]:
        """Run a provider, from a list of what there is."""
        self.accounts = accounts = Accounts(Classes(), "the ConfigMap kube-system/kubevip")
        async with Sources(self.registry, {}, accounts.present) as self.sources:
            self.work = Provisioning(accounts, self, self, self.sources, self.workers)
            for document in self.objects.values():
                self.work.service_applied(_read(document))
            self.configure(self.data)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.work.run)
                yield
                tasks.cancel_scope.cancel()
            self.work = None

    def configure(self, data: Mapping[str, str]) -> None:
        self.data = data
        found = msgspec.convert({**CONFIG, "data": data}, ConfigMap)
        if self.work is not None:
            self.work.configured(found)

    # Users

    def create(self, name: str, finalizers: Sequence[str] = (), **spec: Any) -> None:
        key = _key(name)
        metadata: dict[str, Any] = {"finalizers": list(finalizers)}
        metadata |= {"name": key.name, "namespace": key.namespace, "uid": f"uid-{next(self._versions)}"}
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}], "ipFamilies": ["IPv4"], **spec}
        self._store(key, {"metadata": metadata, "spec": spec})

    def edit(self, name: str, **spec: Any) -> None:
        document = self.get(name)
        document["spec"].update(spec)
        self._store(_key(name), document)

    def annotate(self, name: str, **annotations: str) -> None:
        document = self.get(name)
        document["metadata"].setdefault("annotations", {}).update(annotations)
        self._store(_key(name), document)

    def delete(self, name: str) -> None:
        document = self.get(name)
        document["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
        self._store(_key(name), document)

    def vanish(self, name: str) -> None:
        """Delete a Service while nobody looks."""
        del self.objects[_key(name)]
        if self.work is not None:
            self.work.services_listed(self.objects.keys())

    def get(self, name: str) -> dict[str, Any]:
        return msgspec.json.decode(msgspec.json.encode(self.objects[_key(name)]))

    def address(self, name: str) -> str:
        """What kube-vip would announce."""
        return self.objects[_key(name)]["metadata"].get("annotations", {}).get(ADDRESSES, "")

    def record(self, name: str) -> str:
        return self.objects[_key(name)]["metadata"].get("annotations", {}).get(RECORD, "").partition(" uid=")[0]

    def condition(self, name: str) -> Condition | None:
        """What its status says about its address."""
        return _read(self.objects[_key(name)]).facts.condition

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until *condition* holds; that may change with an object, an Event, or with time."""
        with anyio.fail_after(600):
            while not condition():
                with anyio.move_on_after(0.05):
                    await self.changed.wait()

    async def until_addressed(self, *names: str) -> list[str]:
        await self.until(lambda: all(self.address(name) for name in names))
        return [self.address(name) for name in names]

    # ``Writer``

    async def read(self, key: ServiceKey) -> ProvidedService:
        if key not in self.objects:
            raise NotFound(f"{key} is not there", status=404)
        return _read(self.objects[key])

    async def write(self, service: ProvidedService, edits: Edits) -> ProvidedService:
        await anyio.sleep(0.001)
        self._check(service)
        document = msgspec.json.decode(service.text)
        if edits.clear_ingress:
            document.get("status", {})["loadBalancer"] = {}
        return self._store(service.facts.key, edited(document, edits), by_provider=True)

    async def report(self, service: ProvidedService, condition: Condition) -> ProvidedService:
        self._check(service)
        document = msgspec.json.decode(service.text)
        told = {"type": CONDITION, "status": str(condition.status)}
        told |= {"reason": condition.reason, "message": condition.message}
        document.setdefault("status", {})["conditions"] = [told]
        return self._store(service.facts.key, document, by_provider=True)

    def _check(self, service: ProvidedService) -> None:
        present = self.objects.get(service.facts.key)
        if present is None:
            raise NotFound(f"{service.facts.key} is not there", status=404)
        if present["metadata"]["resourceVersion"] != service.facts.version:
            raise Conflict(f"{service.facts.key} has changed", status=409)

    # ``Recorder``

    def normal(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        self._event(key, reason, message)

    def warning(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str = "Service") -> None:
        self._event(key, reason, message)

    def _event(self, key: ObjectKey, reason: str, message: str) -> None:
        self.events.append((key.name, reason, message))
        self._wake()

    def told(self, name: str) -> str:
        """All that the Events of a Service say."""
        return "\n".join(f"{reason}: {message}" for about, reason, message in self.events if about == name)

    # Keeping

    def _store(self, key: ServiceKey, document: dict[str, Any], *, by_provider: bool = False) -> ProvidedService:
        document["metadata"]["resourceVersion"] = str(next(self._versions))
        gone = bool(document["metadata"].get("deletionTimestamp")) and not document["metadata"].get("finalizers")
        if gone:
            self.objects.pop(key, None)
        else:
            self.objects[key] = document
        stored = _read(document)
        if by_provider and not self.early:
            asyncio.get_running_loop().call_later(0.001, self._show, self.work, key, stored, gone)
        else:
            self._show(self.work, key, stored, gone)
        self._wake()
        return stored

    def _show(self, work: Provisioning | None, key: ServiceKey, stored: ProvidedService, gone: bool) -> None:
        if work is None or work is not self.work:
            return
        if gone:
            work.service_deleted(key)
        else:
            work.service_applied(stored)

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


def _key(name: str) -> ServiceKey:
    return ServiceKey.parse(name if "/" in name else f"default/{name}")


def _read(document: Mapping[str, Any]) -> ProvidedService:
    return read_service(msgspec.json.encode(document))
