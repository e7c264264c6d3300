"""What gates which election, as put together from the settings; and how that is told."""

from typing import Any

import anyio
import attrs
import pytest

from kubevip.config import load
from kubevip.controllers.health import Health, HealthStatistics
from kubevip.dump import dump
from kubevip.eligibility import Ground
from kubevip.errors import Forbidden
from kubevip.metrics import exposition, metrics
from kubevip.model import LeaseKey
from kubevip.runtime.checking import CheckStatistics, probes
from kubevip.runtime.elector import Elector
from kubevip.runtime.fitness import FitnessStatistics
from kubevip.statistics import AgentStatistics
from kubevip.testing import MemoryLeases, Segment, virtual
from tests.runtime.keeping import TIMING, keeping

CONTROL_PLANE, SERVICES = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
BOTH = {"vip_arp": "true", "cp_enable": "true", "svc_enable": "true", "address": "10.0.0.99", "vip_nodename": "a"}


class Closed:
    """An API server that allows nothing."""

    async def request(self, *_words: Any, **_more: Any) -> bytes:
        raise Forbidden("nodes is forbidden", status=403)


async def gated(**environ: str) -> dict[str, list[str]]:
    """Return what is against the node at the start, by Lease."""
    settings = load(BOTH | environ).settings
    leases = MemoryLeases()
    async with keeping(Segment()) as a:
        asked = probes(settings.fitness)
        health = Health(settings, Closed(), leases, a.keeper, a.host.links, TIMING, asked)  # type: ignore[arg-type]
        for key in dict.fromkeys((settings.control_plane.lease, settings.services_lease)):
            health.watch(Elector(key, "a", TIMING, leases, a.keeper))
        return {key.name: list(each.unfit.values()) for key, each in health.statistics().fitness.items()}


PENDING = ["check command has no result yet"]


@virtual
async def test_without_a_check_nothing_is_gated() -> None:
    assert await gated() == {"plndr-cp-lock": [], "plndr-svcs-lock": []}


@pytest.mark.parametrize(
    ("gates", "control_plane", "services"),
    [("all", PENDING, PENDING), ("controlplane", PENDING, []), ("services", [], PENDING)],
)
@virtual
async def test_a_check_gates_what_it_is_told_to(gates: str, control_plane: list[str], services: list[str]) -> None:
    found = await gated(vip_check_command="true", vip_check_gates=gates)
    assert found == {"plndr-cp-lock": control_plane, "plndr-svcs-lock": services}


@pytest.mark.parametrize("gates", ["controlplane", "services"])
@virtual
async def test_one_lease_for_both_is_gated_by_what_is_for_either(gates: str) -> None:
    found = await gated(vip_check_command="true", vip_check_gates=gates, svc_leasename="plndr-cp-lock")
    assert found == {"plndr-cp-lock": PENDING}


@virtual
async def test_without_the_right_to_watch_nodes_all_else_goes_on() -> None:
    settings = load(BOTH).settings
    leases = MemoryLeases()
    async with keeping(Segment()) as a, anyio.create_task_group() as tasks:
        asked = probes(settings.fitness)
        health = Health(settings, Closed(), leases, a.keeper, a.host.links, TIMING, asked)  # type: ignore[arg-type]
        elector = Elector(CONTROL_PLANE, "a", TIMING, leases, a.keeper)
        health.watch(elector)
        tasks.start_soon(health.run)
        tasks.start_soon(elector.run)
        await anyio.sleep(600)
        assert elector.term is not None
        tasks.cancel_scope.cancel()


TOLD = AgentStatistics(
    node="a",
    waiting="",
    electors=(),
    keeper=None,
    announcers={},
    services=None,
    reflectors={},
    health=HealthStatistics(
        {
            CONTROL_PLANE: FitnessStatistics(
                {Ground.CHECK: "check http failed 3 times: HTTP 500"}, True, {"check": 2}, 0
            ),
            SERVICES: FitnessStatistics({}, False, {}, 1),
        },
        [CheckStatistics("http", False, 9, 4, 3, "HTTP 500", 0.25), CheckStatistics("command", None, 0, 0, 0, "", 0)],
    ),
)


@pytest.mark.parametrize(
    "line",
    [
        'kubevip_eligible{lease_name="plndr-cp-lock"} 0.0',
        'kubevip_eligible{lease_name="plndr-svcs-lock"} 1.0',
        'kubevip_ineligible_info{lease_name="plndr-cp-lock",reason="check"} 1.0',
        'kubevip_last_resort{lease_name="plndr-cp-lock"} 1.0',
        'kubevip_leases_given_up_total{lease_name="plndr-cp-lock",reason="check"} 2.0',
        'kubevip_leases_asked_for_total{lease_name="plndr-svcs-lock"} 1.0',
        'kubevip_check_healthy{check="http"} 0.0',
        'kubevip_check_runs_total{check="http"} 9.0',
        'kubevip_check_failures_total{check="http"} 4.0',
        'kubevip_check_seconds{check="http"} 0.25',
    ],
)
def test_prometheus_reads_it(line: str) -> None:
    assert line in exposition(metrics(TOLD)).decode().splitlines()


def test_a_check_without_a_result_has_no_health_yet() -> None:
    assert 'kubevip_check_healthy{check="command"}' not in exposition(metrics(TOLD)).decode()


@pytest.mark.parametrize(
    "line",
    [
        "kube-system/plndr-cp-lock: not fit: check http failed 3 times: HTTP 500, held as the last resort",
        "kube-system/plndr-cp-lock: given up 2 times: check",
        "kube-system/plndr-svcs-lock: fit",
        "check http: failing; 4 of 9 failed; took 0.250 s",
        "check http: HTTP 500",
        "check command: no result yet; 0 of 0 failed; took 0.000 s",
    ],
)
def test_the_dump_shows_it(line: str) -> None:
    assert f"  {line}" in dump({}, TOLD, []).splitlines()


def test_a_services_own_lease_is_told_with_its_namespace() -> None:
    own = LeaseKey("shop", "kubevip-web")
    fitness = FitnessStatistics({}, False, {}, 0)
    told = attrs.evolve(TOLD, health=HealthStatistics({own: fitness}, []), own=[own])
    assert 'kubevip_eligible{lease_name="shop/kubevip-web"} 1.0' in exposition(metrics(told)).decode()
