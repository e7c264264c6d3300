"""A role that lacks something: what is named, where, and what goes on nevertheless."""

import copy

import pytest
import yaml

from tests.provider_system.objects import MANIFESTS, ROLE
from tests.waiting import until

POOL = {"range_global": "10.0.0.5-10.0.0.9"}
ALL = "*"


def role_without(resource, *verbs):
    """The operator's role, lest some verbs; all of them where none is named."""
    (role,) = (each for each in yaml.safe_load_all(MANIFESTS) if each["kind"] == "ClusterRole")
    rules = []
    for rule in role["rules"]:
        for each in rule["resources"]:
            allowed = ["get", "list", "watch", "create", "update", "patch"] if ALL in rule["verbs"] else rule["verbs"]
            if each == resource:
                allowed = [verb for verb in allowed if verbs and verb not in verbs]
            if allowed:
                rules.append({**rule, "resources": [each], "verbs": allowed})
    return {**copy.deepcopy(role), "rules": rules}


def told(provider):
    return " ".join(provider.statistics().obstacles())


async def obstacle(provider, text, bound=5.0):
    """Wait until a readiness probe is told *text*; return all that it is told."""
    await until(lambda: text in told(provider), bound, text)
    return told(provider)


@pytest.fixture
async def lacking(emulator):
    """Take a right away; the role is that of the built-in server, which asks it at each request."""
    await emulator.configure(**POOL)

    async def lack(resource, *verbs):
        await emulator.create(role_without(resource, *verbs))

    return lack


async def restore(site):
    await site.apply(MANIFESTS)


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize("resource", ["services", "configmaps"])
async def test_right_to_read_is_named_and_awaited(emulator, lacking, caplog, resource, verb):
    await lacking(resource, verb)
    async with emulator.provider() as provider:
        await emulator.add_service("web")
        named = f'cannot {verb} resource "{resource}"'
        assert f"{resource}: " in await obstacle(provider, named)
        assert any(named in getattr(record, "reason", "") for record in caplog.records)
        await restore(emulator)
        await emulator.wait_served("web")


async def test_right_to_list_nodes_is_named_and_not_awaited(emulator, lacking, caplog):
    await lacking("nodes")
    await emulator.add_node("node1", "10.0.0.5")
    async with emulator.provider() as provider:
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        assert 'cannot list resource "nodes"' in told(provider)
    assert "nodes' addresses aren't known, and may be given out" in caplog.messages


async def test_right_to_update_services_is_named_and_awaited(emulator, lacking, caplog):
    await lacking("services", "update")
    async with emulator.provider() as provider:
        await emulator.add_service("web")
        await obstacle(provider, 'cannot update resource "services"')
        assert any('cannot update resource "services"' in getattr(each, "reason", "") for each in caplog.records)
        await restore(emulator)
        await emulator.wait_served("web")
        assert not told(provider)


async def test_right_to_update_the_status_costs_the_condition_alone(emulator, lacking):
    await lacking("services/status")
    await emulator.configure(range_global="10.0.0.5-10.0.0.5")
    async with emulator.provider():
        await emulator.add_service("web")
        await emulator.wait_served("web", "10.0.0.5")
        await emulator.add_service("next")
        await emulator.wait_event("next", "AddressPoolExhausted")
        await emulator.delete("web")
        await emulator.wait_served("next", "10.0.0.5")


async def test_right_to_create_events_is_named_once_and_not_needed(emulator, lacking, caplog):
    caplog.set_level("INFO")
    await lacking("events")
    async with emulator.provider() as provider:
        for number in range(3):
            await emulator.add_service(f"web{number}")
            await emulator.wait_served(f"web{number}")
        assert not told(provider)
    lines = [each for each in caplog.records if 'cannot create resource "events"' in getattr(each, "reason", "")]
    assert len(lines) == 1


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_right_to_the_lease_is_named_and_awaited(emulator, lacking, caplog, verb):
    await lacking("leases", verb)
    if verb == "update":
        # A Lease that is free, and is there.
        await emulator.add_lease("")
    async with emulator.provider() as provider:
        await emulator.add_service("web")
        named = f'cannot {verb} resource "leases"'
        assert "Lease kube-system/kube-vip-cloud-controller: " in await obstacle(provider, named)
        assert any(named in getattr(record, "reason", "") for record in caplog.records)
        await restore(emulator)
        await emulator.wait_served("web")


async def test_right_that_is_taken_away_later_is_named_then(emulator, lacking):
    async with emulator.provider() as provider:
        await emulator.add_service("web")
        await emulator.wait_served("web")
        assert not told(provider)
        await lacking("services")
        emulator.fault("cut-streams", resources=("services",))
        await obstacle(provider, 'cannot watch resource "services"')
        await restore(emulator)
        await emulator.add_service("next")
        await emulator.wait_served("next")


async def test_unknown_account_is_told(emulator, caplog):
    await emulator.configure(**POOL)
    emulator.fault("status", status=401)
    async with emulator.provider() as provider:
        await obstacle(provider, "(401)")
        emulator.clear_faults()
        await emulator.add_service("web")
        await emulator.wait_served("web")


def test_role_of_the_operator_has_all_rights_that_are_taken_away_here():
    assert role_without("nothing")["metadata"]["name"] == ROLE
