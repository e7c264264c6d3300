"""When ``/healthz`` and ``/readyz`` answer 503, and with which lines: asked over HTTP, of states made up for it."""

import socket

import aiohttp
import anyio
import attrs
import pytest

from kubevip.election import Standing
from kubevip.kube.reflector import ReflectorStatistics
from kubevip.model import LeaseKey, Vip
from kubevip.runtime.elector import ElectorStatistics
from kubevip.runtime.keeper import KeeperStatistics
from kubevip.server import Server
from kubevip.statistics import AgentStatistics

LEASE = LeaseKey("kube-system", "plndr-cp-lock")
VIP = Vip.parse("172.31.0.99", interface="eth0")
ELECTOR = ElectorStatistics(
    lease=LEASE,
    standing=Standing.LEADING,
    holder="node1",
    term=None,
    transitions=1,
    renewals=9,
    failures=0,
    last_error="",
)
KEEPER = KeeperStatistics(
    wanted=1, held=1, announced=1, failing={}, contested={}, lingering=0, healed=0, conflicts=0, busy=0.0
)
REFLECTOR = ReflectorStatistics(synced=True, lists=1, streams=1, events={}, failures=0, last_error="")
WELL = AgentStatistics(
    node="node1",
    waiting="",
    electors=(ELECTOR,),
    keeper=KEEPER,
    announcers={},
    services=None,
    reflectors={"services": REFLECTOR},
)
STUCK = "the kernel has not answered for 31 s"


async def ask(state, *paths):
    """Serve *state*; return the status and the lines that each of *paths* answers with."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answers = []
    async with anyio.create_task_group() as tasks, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        tasks.start_soon(Server("127.0.0.1", port, lambda: b"", lambda: state).run)
        for path in paths:
            while True:
                try:
                    async with session.get(path) as response:
                        answers.append((response.status, (await response.text()).splitlines()))
                        break
                except aiohttp.ClientConnectionError:
                    await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return answers


async def test_agent_that_does_all_its_work_is_healthy_and_ready():
    assert await ask(WELL, "/healthz", "/livez", "/readyz") == [(200, ["ok"])] * 3


async def test_kernel_that_does_not_answer_any_more_asks_for_a_new_start():
    state = attrs.evolve(WELL, keeper=attrs.evolve(KEEPER, busy=31.0))
    assert await ask(state, "/healthz", "/livez", "/readyz") == [(503, [STUCK])] * 3


async def test_kernel_that_takes_its_time_is_no_reason_for_a_new_start():
    state = attrs.evolve(WELL, keeper=attrs.evolve(KEEPER, busy=29.0))
    assert await ask(state, "/healthz", "/readyz") == [(200, ["ok"])] * 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"waiting": "interface eth0 is not up"}, "interface eth0 is not up"),
        ({"keeper": None, "electors": ()}, "starting"),
        ({"electors": (attrs.evolve(ELECTOR, last_error="no answer within 2 s"),)}, f"Lease {LEASE}: no answer within"),
        ({"electors": (attrs.evolve(ELECTOR, standing=Standing.UNKNOWN),)}, f"Lease {LEASE}: {Standing.UNKNOWN.value}"),
        ({"reflectors": {"services": attrs.evolve(REFLECTOR, synced=False)}}, "services: not listed yet"),
        ({"reflectors": {"services": attrs.evolve(REFLECTOR, last_error="forbidden")}}, "services: forbidden"),
        ({"keeper": attrs.evolve(KEEPER, failing={VIP: "no such device"})}, "172.31.0.99: no such device"),
        ({"keeper": attrs.evolve(KEEPER, contested={VIP: "02::1"})}, "172.31.0.99: another machine (02::1) answers"),
        ({"keeper": attrs.evolve(KEEPER, announced=0)}, "1 of 1 addresses are not announced yet"),
    ],
)
async def test_what_keeps_it_from_its_work_is_told_and_no_reason_for_a_new_start(change, line):
    health, (status, lines) = await ask(attrs.evolve(WELL, **change), "/healthz", "/readyz")
    assert health == (200, ["ok"])
    assert status == 503
    assert [each for each in lines if each.startswith(line)]


@pytest.mark.parametrize("standing", [Standing.FOLLOWING, Standing.VACANT])
async def test_node_that_does_not_lead_is_ready_too(standing):
    follower = attrs.evolve(ELECTOR, standing=standing)
    state = attrs.evolve(WELL, electors=(follower,), keeper=attrs.evolve(KEEPER, wanted=0, held=0, announced=0))
    assert await ask(state, "/readyz") == [(200, ["ok"])]


async def test_each_obstacle_has_a_line():
    state = attrs.evolve(
        WELL,
        keeper=attrs.evolve(KEEPER, announced=0, failing={VIP: "no such device"}, busy=31.0),
        electors=(attrs.evolve(ELECTOR, last_error="refused"),),
    )
    ((_, lines),) = await ask(state, "/readyz")
    assert lines == [
        STUCK,
        f"Lease {LEASE}: refused",
        "172.31.0.99: no such device",
        "1 of 1 addresses are not announced yet",
    ]
