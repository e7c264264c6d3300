"""One watch for all Leases of a namespace: each who wants to know of one learns all of that one, and nothing else."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import attrs
import pytest

from kubevip.kube.leasewatch import SharedLeases
from kubevip.lease import Claim
from kubevip.ports import Observation
from tests.kube.conftest import Api
from tests.waiting import until

NODE1 = Claim("node1", 5, 0, fresh=True)
RENEWAL = Claim("node1", 5, 0, fresh=False)
BY_NAME = {
    "kind": "ClusterRole",
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "metadata": {"name": "by-name"},
    "rules": [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["one"],
            "verbs": ["get", "list", "watch", "update"],
        }
    ],
}


@attrs.define(eq=False)
class Listener:
    """Who wants to know of one Lease."""

    seen: list[Observation] = attrs.field(factory=list)

    def __call__(self, observation: Observation) -> None:
        self.seen.append(observation)

    @property
    def holders(self) -> list[str | None]:
        """Who held the Lease, as far as it was told; ``None`` where there was none."""
        return [each.record.holder if each.record else None for each in self.seen]

    def knows(self, *holders: str | None) -> Callable[[], bool]:
        return lambda: self.holders == list(holders)


@contextlib.asynccontextmanager
async def running(leases: SharedLeases) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leases.run)
        yield
        tasks.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def sharing(api: Api) -> AsyncIterator[SharedLeases]:
    async with api.client() as client:
        leases = SharedLeases(client)
        async with running(leases):
            yield leases


async def streaming(emulator: Api) -> None:
    """Wait until the watch is open: a connection that is given up while it is made is closed by nobody."""
    await until(lambda: emulator.server.statistics().streams > 0)


async def test_a_lease_that_is_there_is_told_at_first(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        await shared.write(emulator.lease(), NODE1, None)
        listener = Listener()
        async with shared.watch(emulator.lease(), listener):
            await streaming(emulator)
            await until(listener.knows("node1"))


async def test_a_lease_that_is_not_there_is_told_too(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        listener = Listener()
        async with shared.watch(emulator.lease(), listener):
            await streaming(emulator)
            await until(listener.knows(None))
        assert listener.seen[0].version.isdecimal()


async def test_who_comes_later_is_told_at_once_without_asking_anybody(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        await shared.write(emulator.lease("one"), NODE1, None)
        first, second, third = Listener(), Listener(), Listener()
        async with shared.watch(emulator.lease("one"), first):
            await streaming(emulator)
            await until(first.knows("node1"))
            async with shared.watch(emulator.lease("one"), second), shared.watch(emulator.lease("two"), third):
                await streaming(emulator)
                assert (second.holders, third.holders) == (["node1"], [None])


async def test_each_is_told_of_its_own_lease_alone(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        one, two = Listener(), Listener()
        async with shared.watch(emulator.lease("one"), one), shared.watch(emulator.lease("two"), two):
            await streaming(emulator)
            await until(two.knows(None))
            record = await shared.write(emulator.lease("two"), NODE1, None)
            await until(two.knows(None, "node1"))
            await shared.write(emulator.lease("two"), RENEWAL, record)
            await until(two.knows(None, "node1", "node1"))
            assert one.holders == [None]


async def test_deletion_is_told(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        await shared.write(emulator.lease(), NODE1, None)
        listener = Listener()
        async with shared.watch(emulator.lease(), listener):
            await streaming(emulator)
            await until(listener.knows("node1"))
            await emulator.delete("leases", "lock")
            await until(listener.knows("node1", None))


async def test_nothing_is_told_after_leaving(emulator: Api) -> None:
    async with sharing(emulator) as shared:
        gone, there = Listener(), Listener()
        async with shared.watch(emulator.lease(), there):
            await streaming(emulator)
            async with shared.watch(emulator.lease(), gone):
                await streaming(emulator)
                await until(gone.knows(None))
            await shared.write(emulator.lease(), NODE1, None)
            await until(there.knows(None, "node1"))
        assert gone.holders == [None]


async def test_many_leases_of_a_namespace_take_one_watch(emulator: Api) -> None:
    async with emulator.client() as client:
        leases = SharedLeases(client)
        async with running(leases), contextlib.AsyncExitStack() as stack:
            listeners = [Listener() for _each in range(50)]
            for number, listener in enumerate(listeners):
                await stack.enter_async_context(leases.watch(emulator.lease(f"lease{number}"), listener))
            await leases.write(emulator.lease("lease49"), NODE1, None)
            await until(lambda: listeners[49].holders[-1:] == ["node1"])
            await until(lambda: emulator.server.statistics().streams > 0)
            assert (leases.watches(), emulator.server.statistics().streams) == (1, 1)
            assert all(each.seen for each in listeners)


async def test_a_lease_that_vanished_while_the_watch_was_down_is_told(emulator: Api) -> None:
    async with emulator.client() as client:
        leases = SharedLeases(client)
        await leases.write(emulator.lease(), NODE1, None)
        listener = Listener()
        async with running(leases), leases.watch(emulator.lease(), listener):
            await until(listener.knows("node1"))
            refusal = emulator.fault("status", status=503, verbs=("watch",))
            emulator.fault("cut-streams")
            await emulator.delete("leases", "lock")
            emulator.fault("expire")
            emulator.server.faults.remove(refusal)
            await until(lambda: listener.holders[-1] is None, 10)


# Where a namespace may not be watched


async def test_where_all_are_forbidden_each_has_its_own_watch_and_that_is_said_once(
    emulator: Api, caplog: pytest.LogCaptureFixture
) -> None:
    admin = emulator.admin
    await admin.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", body=BY_NAME)
    binding: dict[str, Any] = {
        "kind": "ClusterRoleBinding",
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "by-name"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "by-name"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}],
    }
    await admin.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body=binding)
    await emulator.create("leases", {"metadata": {"name": "one"}, "spec": {"holderIdentity": "node1"}})
    async with emulator.client("nobody") as client:
        leases = SharedLeases(client)
        listener = Listener()
        with caplog.at_level(logging.WARNING, "kubevip.kube.leasewatch"):
            async with running(leases), leases.watch(emulator.lease("one"), listener):
                await until(listener.knows("node1"))
        assert [each.getMessage() for each in caplog.records if each.name == "kubevip.kube.leasewatch"] == [
            "watching each Lease by itself: the watch of all of them is forbidden"
        ]
