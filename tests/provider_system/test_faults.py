"""Providers while the API server stumbles, lags behind, or is gone: no address twice, and all served in the end."""

import contextlib

import anyio
import pytest

from kubevip.emulator import Fault
from kubevip.errors import Conflict
from kubevip.service import ADDRESSES
from tests.waiting import until

POOL = {"cidr_global": "10.0.0.0/24"}
MANY = 30


async def until_served(site, names, bound=15.0):
    await until(lambda: set(names) <= set(site.ledger.served), bound, f"all of {len(names)} served")


def update(**more):
    return {"verbs": ("update",), "resources": ("services",), **more}


WATCHES = {"verbs": ("watch",), "resources": ("services",)}
STUMBLES = [
    [{"action": "status", "status": 409, "probability": 0.5, **update()}],
    [{"action": "status", "status": 500, "probability": 0.5, **update()}],
    [{"action": "status", "status": 429, "retry_after": 1, "probability": 0.3, **update()}],
    [{"action": "status", "status": 503, "probability": 0.3}],
    [{"action": "lose-reply", "probability": 0.5, **update()}],
    [{"action": "delay", "seconds": 0.15, **update()}],
    [{"action": "stale", "seconds": 0.3, **WATCHES}],
    [{"action": "stale", "seconds": 0.3, **WATCHES}, {"action": "lose-reply", "probability": 0.5, **update()}],
    [
        {"action": "stale", "seconds": 0.3, **WATCHES},
        {"action": "status", "status": 409, "probability": 0.5, **update()},
    ],
]


def names_of(faults):
    return "+".join(f"{each['action']}{each.get('status', '')}" for each in faults)


@pytest.mark.parametrize("faults", STUMBLES, ids=names_of)
async def test_nobody_notices_in_the_end_that_the_server_stumbled(emulator, faults, monkeypatch):
    """Meanwhile others write into the same Services."""
    monkeypatch.setattr("kubevip.runtime.retry.LONGEST", 1.0)
    await emulator.configure(**POOL)
    names = [f"web{number}" for number in range(MANY)]
    async with emulator.provider():
        await emulator.wait_leader()
        for fault in faults:
            emulator.fault(**fault)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(emulator.add_services, names[::2])
            tasks.start_soon(emulator.add_services, names[1::2])
            tasks.start_soon(meddle, emulator, names[::3])
        await anyio.sleep(0.3)
        emulator.clear_faults()
        await until_served(emulator, names)
        await until_quiet(emulator)
    emulator.ledger.check()


async def meddle(site, names):
    """Write into Services beside the provider, as other controllers do."""
    for name in names:
        await until(lambda name=name: site.ledger.versions(name))
        for step in range(3):
            with contextlib.suppress(Conflict):
                await site.label(name, step=str(step))


async def until_quiet(site):
    """Wait until nothing is written any more."""
    version = -1
    while version != site.server.statistics().version:
        version = site.server.statistics().version
        await anyio.sleep(0.15)


@pytest.mark.parametrize("status", [None, 410])
@pytest.mark.parametrize("resource", ["services", "configmaps", "nodes"])
async def test_cut_watch_is_taken_up_again(emulator, resource, status):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        await emulator.add_service("next")
        await emulator.wait_event("next", "AddressPoolExhausted")
        for _ in range(3):
            emulator.fault("cut-streams", status=status, resources=(resource,))
        await emulator.configure(range_global="10.0.0.5-10.0.0.6")
        await emulator.wait_served("next", "10.0.0.6", bound=3)


async def test_what_happens_while_the_watch_is_cut_and_forgotten_is_found_in_a_list(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        cut = emulator.fault("cut-off", hang=False, verbs=("watch", "list"))
        await emulator.edit("web", lambda found: found["metadata"].pop("finalizers"))
        await emulator.delete("web")
        await emulator.add_service("next")
        await anyio.sleep(0.3)
        emulator.server.faults.add(Fault(action="expire"))
        emulator.server.faults.remove(cut)
        await emulator.wait_served("next", "10.0.0.5")


async def test_list_that_is_older_than_what_was_written_takes_nothing_back(emulator, monkeypatch):
    """A list in pages shows one moment, and meanwhile Services are served."""
    monkeypatch.setattr("kubevip.kube.reflector.PAGE", 20)
    await emulator.configure(**POOL)
    await emulator.add_services([f"old{number}" for number in range(50)])
    async with emulator.provider():
        await until(lambda: len(emulator.ledger.served) == 50)
        await until_quiet(emulator)
        emulator.fault("stale", seconds=0.4, verbs=("list",), resources=("services",))
        emulator.fault("delay", seconds=0.1, verbs=("list",), resources=("services",))
        await emulator.add_services([f"new{number}" for number in range(20)])
        emulator.server.faults.add(Fault(action="expire"))
        emulator.fault("cut-streams", resources=("services",))
        await emulator.add_services([f"newer{number}" for number in range(20)])
        await anyio.sleep(0.5)
        emulator.clear_faults()
        await until(lambda: len(emulator.ledger.served) == 90)
    emulator.ledger.check()


async def test_server_that_is_away_for_longer_than_the_lease_is_awaited(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.1")
        emulator.fault("cut-off", duration=3.2)
        await emulator.add_services([f"web{number}" for number in range(5)])
        await until_served(emulator, [f"web{number}" for number in range(5)])
    emulator.ledger.check()


async def test_watch_that_lags_behind_an_edit_that_was_read_gives_no_address_twice(emulator):
    """An update is refused because of an edit, the Service is read and served, and then the watch tells of the edit."""
    await emulator.configure(range_global="10.0.0.5-10.0.0.6")
    async with emulator.provider():
        await emulator.wait_leader()
        # So that the first update goes out after the edit.
        emulator.fault("delay", seconds=0.3, count=1, **update())
        await emulator.add_service("first")
        await anyio.sleep(0.15)
        emulator.fault("stale", seconds=1.2, **WATCHES)
        await emulator.edit("first", lambda found: found["metadata"].update(labels={"tier": "front"}))
        await emulator.wait_served("first", "10.0.0.5")
        await emulator.add_service("second")
        await emulator.wait_served("second", "10.0.0.6")
    emulator.ledger.check()


async def test_one_service_that_cannot_be_written_holds_up_no_other(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider("--concurrent-service-syncs=2"):
        for status, name in ((500, "broken"), (422, "invalid"), (403, "forbidden")):
            emulator.fault("status", status=status, names=(name,), **update())
            await emulator.add_service(name)
        names = [f"web{number}" for number in range(20)]
        await emulator.add_services(names)
        await until_served(emulator, names, 5)
        emulator.clear_faults()
        await until_served(emulator, ["broken", "invalid", "forbidden"], 5)


async def test_service_whose_requests_hang_holds_up_no_other(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider("--concurrent-service-syncs=2"):
        emulator.fault("cut-off", names=("hanging",), duration=3, **update())
        await emulator.add_service("hanging")
        names = [f"web{number}" for number in range(20)]
        await emulator.add_services(names)
        await until_served(emulator, names, 2)


async def test_events_that_cannot_be_written_cost_no_address(emulator):
    await emulator.configure(**POOL)
    emulator.fault("status", status=500, resources=("events",))
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.1")


async def test_service_that_has_vanished_meanwhile_frees_what_was_meant_for_it(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider():
        emulator.fault("delay", seconds=0.3, count=1, **update())
        await emulator.add_service("web")
        await anyio.sleep(0.1)
        await emulator.delete("web")
        await emulator.add_service("next")
        await emulator.wait_served("next", "10.0.0.5", bound=3)


async def test_service_that_is_created_anew_during_a_write_gets_its_own(emulator):
    await emulator.configure(range_global="10.0.0.5-10.0.0.6")
    async with emulator.provider():
        emulator.fault("delay", seconds=0.3, count=1, **update())
        await emulator.add_service("web")
        await anyio.sleep(0.1)
        await emulator.delete("web")
        await emulator.add_service("web", annotations={ADDRESSES: "10.0.0.6"})
        await emulator.wait_served("web", "10.0.0.6")
        await emulator.add_service("next")
        await emulator.wait_served("next", "10.0.0.5")
    emulator.ledger.check()


async def test_provider_that_starts_without_a_server_waits_for_it(emulator):
    await emulator.configure(**POOL)
    emulator.fault("cut-off", hang=False, duration=1)
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.1")


async def test_end_of_a_service_that_is_seen_late_frees_nothing_of_its_successor(emulator):
    """The Service was created anew, read and served before the watch tells that the first one is gone."""
    await emulator.configure(range_global="10.0.0.5-10.0.0.6")
    async with emulator.provider():
        await emulator.wait_leader()
        emulator.fault("delay", seconds=0.4, count=1, **update())
        await emulator.add_service("first")
        await anyio.sleep(0.1)
        emulator.fault("stale", seconds=1.4, **WATCHES)
        await emulator.delete("first")
        await anyio.sleep(0.1)
        await emulator.add_service("second")
        await anyio.sleep(0.1)
        await emulator.add_service("first")
        await emulator.wait_served("first")
        await emulator.wait_served("second")
    emulator.ledger.check()
