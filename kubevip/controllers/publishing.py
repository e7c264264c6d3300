"""Keeps the status of Services true: a queue in which each Service stands once, and a few writers.

Whoever waits for an address waits for its Service's status. For the name of the node that announces it, nobody does;
yet a takeover changes that of thousands of Services, and each write is an event for every agent and controller of the
cluster. So such writes are made one by one, at a steady rate.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import anyio
import attrs

from kubevip import service
from kubevip.controllers.services import Announcement, Services
from kubevip.errors import ApiError
from kubevip.model import ServiceKey
from kubevip.runtime.retry import Retry
from kubevip.service import Ingress, ServiceView

log = logging.getLogger(__name__)

# Writes under way at once. A takeover writes to each of its Services.
WRITERS = 8
# Writes a second that tell no more than which node announces, of all nodes that publish together.
NAMES_A_SECOND = 50.0


class StatusWriter(Protocol):
    """Writes the status of a Service; ``kubevip.kube.publisher.Publisher`` is one."""

    async def publish(self, key: ServiceKey, merge: "Merge", host: str | None, conflict: str | None) -> bool:
        """Write it, and the *conflict* that there is, if it isn't so yet; tell whether it had to be written.

        An empty *conflict* ends one that was told before, ``None`` leaves it alone.
        """


class Merge(Protocol):
    """Makes the ingress that has to be from the one that is."""

    def __call__(self, present: tuple[Ingress, ...]) -> tuple[Ingress, ...]:
        """Return the ingress that has to be."""


@attrs.define(eq=False)
class Publishing:
    """Publishes announced addresses, from ``run()`` until it is cancelled. *nodes* tells how many do so at a time."""

    _services: Services
    _writer: StatusWriter
    _nodes: Callable[[], int] = lambda: 1
    _due: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _renamed: dict[ServiceKey, None] = attrs.field(factory=dict, init=False)
    _wake: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _wake_slowly: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _retry: Retry[ServiceKey] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._retry = Retry(self._publish_all)
        self._services.publish = self.publish

    def publish(self, key: ServiceKey) -> None:
        """Look at *key* when a writer is free."""
        self._due[key] = None
        self._wake.set()

    def _publish_all(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            self.publish(key)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._retry.run)
            tasks.start_soon(self._write_names)
            for _ in range(WRITERS):
                tasks.start_soon(self._write)

    async def _write(self) -> None:
        while True:
            while not self._due:
                self._wake = anyio.Event() if self._wake.is_set() else self._wake
                await self._wake.wait()
            key = next(iter(self._due))
            del self._due[key]
            announcement = self._services.announcement(key)
            if announcement is None or _is_so(announcement):
                continue
            if _names_only(announcement):
                self._renamed[key] = None
                self._wake_slowly.set()
            else:
                await self._write_one(key, announcement)

    async def _write_names(self) -> None:
        while True:
            while not self._renamed:
                self._wake_slowly = anyio.Event()
                await self._wake_slowly.wait()
            key = next(iter(self._renamed))
            del self._renamed[key]
            announcement = self._services.announcement(key)
            if announcement is not None and not _is_so(announcement):
                next_one = anyio.current_time() + self._nodes() / NAMES_A_SECOND
                await self._write_one(key, announcement)
                await anyio.sleep_until(next_one)

    async def _write_one(self, key: ServiceKey, announcement: Announcement) -> None:
        def merge(present: tuple[Ingress, ...]) -> tuple[Ingress, ...]:
            view = attrs.evolve(announcement.view, ingress=present)
            return view.published(announcement.addresses, announcement.announced)

        try:
            if await self._writer.publish(key, merge, announcement.host, announcement.conflict):
                vips = ", ".join(map(str, announcement.addresses))
                log.info("published the Service's addresses", extra={"service": str(key), "vip": vips})
        except ApiError as error:
            if self._retry.after(key, error):
                log.warning("can't publish", extra={"service": str(key), "reason": str(error)})
        else:
            self._retry.forget(key)


def _is_so(announcement: Announcement) -> bool:
    host = announcement.host
    return _names_only(announcement) and (host is None or announcement.view.annotations.get(service.HOST) == host)


def _names_only(announcement: Announcement) -> bool:
    """Tell whether nothing but the name of the node may have to be written."""
    view: ServiceView = announcement.view
    if announcement.conflict is not None and view.conflict != announcement.conflict:
        return False
    return view.published(announcement.addresses, announcement.announced) == view.ingress
