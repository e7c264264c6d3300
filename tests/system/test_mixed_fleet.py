"""A fleet that is half kube-vip: an agent and a candidate by client-go's rules campaign for one Lease.

The candidate is written from the rules of client-go's ``tools/leaderelection`` alone, as kube-vip uses it
(``ReleaseOnCancel``), on plain HTTP: nothing of kubevip is in it.
"""

import asyncio
import contextlib
import math
import random
import signal
import time
from datetime import UTC, datetime

import aiohttp
import anyio
import attrs
import pytest
import pytest_asyncio

from tests.system.cluster import CONTROL_PLANE
from tests.waiting import until

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

VIP, AGENT, RIVAL = "172.31.0.99", "node1", "kube-vip-node"
LEASES = "http://172.31.0.250:8080/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
HEADERS = {"Authorization": "Bearer agent-token"}
DURATION, DEADLINE, RETRY, JITTER = 3, 2.0, 1.0, 1.2
SETTINGS = {
    "vip_leaseduration": str(DURATION),
    "vip_renewdeadline": f"{DEADLINE:g}",
    "vip_retryperiod": f"{RETRY:g}",
    "vip_linger": "0",
    "svc_enable": "false",
}


@attrs.define(eq=False)
class Candidate:
    """One of client-go's, from ``run()`` until it is cancelled. *terms* are when it led, by the wall clock."""

    session: aiohttp.ClientSession
    releases: bool = True
    terms: list[tuple[float, float]] = attrs.field(factory=list)
    renewed: float = 0.0
    _lease: dict = attrs.field(factory=lambda: {"spec": {}})
    _changed: float = 0.0

    async def run(self):
        try:
            while True:
                await self._acquire()
                self.terms.append((time.time(), math.inf))
                await self._renew()
                self._end_term()
        except asyncio.CancelledError:
            # Whoever acts as the leader is told to end before the Lease is released.
            led = self._end_term()
            if led and self.releases:
                now = _micro_time()
                await self._write("PUT", {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now})

    @property
    def leads(self):
        return bool(self.terms) and self.terms[-1][1] == math.inf

    @property
    def observed(self):
        return bool(self._lease["spec"])

    def _end_term(self):
        led = self.leads
        if led:
            self.terms[-1] = (self.terms[-1][0], time.time())
        return led

    async def _acquire(self):
        while True:
            if await self._try():
                return
            await asyncio.sleep(RETRY * (1 + JITTER * random.random()))

    async def _renew(self):
        """Return when no attempt has succeeded for the length of the deadline."""
        deadline = asyncio.get_running_loop().time() + DEADLINE
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout_at(deadline):
                    renewed = await self._try()
                await asyncio.sleep(RETRY)
                if renewed:
                    deadline = asyncio.get_running_loop().time() + DEADLINE

    async def _try(self):
        """Do as ``tryAcquireOrRenew``: tell whether we lead now."""
        if self._is_ours() and self._is_valid() and await self._write("PUT", self._claim()):
            return True
        status, found = await self._call("GET")
        if status == 404:
            self._lease = {"spec": {}}
            return await self._write("POST", self._claim())
        if status != 200:
            return False
        self._observe(found)
        if self._lease["spec"].get("holderIdentity") and self._is_valid() and not self._is_ours():
            return False
        return await self._write("PUT", self._claim())

    def _claim(self):
        claim = {"holderIdentity": RIVAL, "leaseDurationSeconds": DURATION}
        spec = self._lease["spec"]
        if self._is_ours():
            return claim | {"acquireTime": spec["acquireTime"], "leaseTransitions": spec["leaseTransitions"]}
        transitions = spec["leaseTransitions"] + 1 if spec else 0
        return claim | {"acquireTime": _micro_time(), "leaseTransitions": transitions}

    def _is_ours(self):
        return self._lease["spec"].get("holderIdentity") == RIVAL

    def _is_valid(self):
        return time.monotonic() < self._changed + self._lease["spec"].get("leaseDurationSeconds", 0)

    def _observe(self, found):
        """Wait anew whenever the record has changed; the times in it don't matter."""
        if found["spec"] != self._lease["spec"]:
            self._changed = time.monotonic()
        self._lease = found

    async def _write(self, method, spec):
        spec = {"leaseTransitions": self._lease["spec"].get("leaseTransitions", 0)} | spec
        metadata = self._lease.get("metadata") or {"name": CONTROL_PLANE.name, "namespace": CONTROL_PLANE.namespace}
        status, found = await self._call(method, {"metadata": metadata, "spec": spec | {"renewTime": _micro_time()}})
        if status in (200, 201):
            self._observe(found)
            self.renewed = time.time()
        return status in (200, 201)

    async def _call(self, method, body=None):
        url = LEASES if method == "POST" else f"{LEASES}/{CONTROL_PLANE.name}"
        async with self.session.request(method, url, json=body, headers=HEADERS) as response:
            return response.status, await response.json()


def _micro_time():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@attrs.define(eq=False)
class Fleet:
    """An agent, and at most one candidate at a time."""

    cluster: object
    session: aiohttp.ClientSession
    candidates: list[Candidate] = attrs.field(factory=list)
    kills: list[float] = attrs.field(factory=list)

    @contextlib.asynccontextmanager
    async def rival(self):
        """Let a candidate run; it is stopped in an orderly way, unless it is told to release nothing."""
        candidate = Candidate(self.session)
        self.candidates.append(candidate)
        running = asyncio.create_task(candidate.run())
        try:
            yield candidate
        finally:
            running.cancel()
            await running

    async def start_agent(self):
        if AGENT not in self.cluster.agents or self.cluster.agents[AGENT].process.poll() is not None:
            self.cluster.start_agent(AGENT, extra=SETTINGS)
        await self.cluster.wait_ready(AGENT)

    async def kill_agent(self):
        agent = self.cluster.agents[AGENT]
        self.kills.append(time.time())
        agent.tell(signal.SIGKILL)
        await agent.wait()

    async def wait_agent_leads(self, bound=DURATION + 3.0):
        """Wait until the agent holds the address by its Lease; return when it came to lead."""

        async def leads():
            return await self.cluster.holder_of(CONTROL_PLANE) == AGENT and await self.cluster.holders(VIP)

        await until(leads, bound, "the agent leads")
        return self.agent_terms()[-1][0]

    def agent_terms(self):
        """Return when the agent led. One that is stopped ends with that, though the address stays for a while."""
        events = [(moment, "killed") for moment in self.kills]
        for line in self.cluster.logged(AGENT):
            if line["message"] in ("leading", "not leading any more", "stopping"):
                events.append((datetime.fromisoformat(line["time"]).timestamp(), line["message"]))
        terms = []
        for moment, event in sorted(events):
            if event == "leading":
                terms.append((moment, math.inf))
            elif terms and terms[-1][1] == math.inf:
                terms[-1] = (terms[-1][0], moment)
        return terms

    def overlaps(self):
        """Return each pair of terms that share a moment."""
        theirs = [term for candidate in self.candidates for term in candidate.terms]
        return [
            (ours, other)
            for ours in self.agent_terms()
            for other in theirs
            if ours[0] < other[1] and other[0] < ours[1]
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(emulated):
    async with aiohttp.ClientSession() as session:
        yield Fleet(emulated, session)


async def test_stopped_agent_is_succeeded_by_the_candidate_and_follows_it_afterwards(fleet):
    await fleet.start_agent()
    await fleet.wait_agent_leads()
    async with fleet.rival() as rival:
        await anyio.sleep(DURATION + 0.5)
        assert not rival.terms
        assert await fleet.cluster.stop_agent(AGENT) == 0
        await until(lambda: rival.leads, RETRY * (1 + JITTER) + 1, "the candidate leads")
        await fleet.start_agent()
        await anyio.sleep(DURATION + 0.5)
        assert rival.leads
        assert not await fleet.cluster.holders(VIP)
    released = rival.terms[-1][1]
    # It watches, where the candidate would look again after one to two seconds.
    assert await fleet.wait_agent_leads() - released < 0.5
    assert not fleet.overlaps()


async def test_killed_agent_is_succeeded_when_its_address_is_gone(fleet):
    await fleet.start_agent()
    await fleet.wait_agent_leads()
    async with fleet.rival() as rival:
        with fleet.cluster.watching(VIP) as watch:
            await watch.wait_holder()
            await anyio.sleep(RETRY)
            await fleet.kill_agent()
            holders = await until(lambda: rival.leads and [watch.holders.holders], DURATION + 4, "the candidate leads")
        assert holders == [frozenset()]
        await fleet.start_agent()
        assert rival.leads
        rival.releases = False
    # Stopped without a word, which to others is the same as killed.
    began = await fleet.wait_agent_leads()
    assert DURATION - 0.2 < began - rival.renewed < DURATION + 1
    async with fleet.rival() as rival:
        await until(lambda: rival.observed, 5, "the Lease is read")
        assert not rival.terms
    assert not fleet.overlaps()
