"""What it costs a client that probes every millisecond when the holder stops, dies, freezes or loses its power."""

import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_address

import anyio
from cluster import begin, on_cluster, progress
from figures import Figure, hand_over, spread
from wire import ARP, IPV6, listening, mac_of

from kubevip.demo.cluster import OPERATOR, Cluster
from kubevip.demo.record import Outcome, only
from kubevip.demo.scenario import Story

RUNS = 7


async def measure(cluster: Cluster, address: str, events: Sequence[str], family: str) -> list[Figure]:
    """Play the events on a cluster whose control plane has *address*."""
    story = Story(cluster, address, progress)
    figures = []
    async with story.watching():
        for node in cluster.nodes:
            cluster.start_agent(node)
        await story.wait(lambda: only(story.holders.holders) != "")
        await anyio.sleep(2)
        for event in events:
            figures += await MEASURES[event](story, family)
    return figures


async def planned(story: Story, family: str) -> list[Figure]:
    """Stop the holder's agent."""
    frames: list[float] = []
    outcomes = []
    for _ in range(RUNS):
        with _frame_after(story, frames):
            outcomes.append(await story.planned())
    return [
        Figure(f"planned stop, {family}: probes lost", "0", _lost(outcomes)),
        Figure(f"planned stop, {family}: longest silence", "", spread([each.gap_ms for each in outcomes], "ms", 1)),
        Figure(f"planned stop, {family}: SIGTERM to the successor's first frame", "<= 25 ms", spread(frames, "ms", 1)),
    ]


async def restart(story: Story, _family: str) -> list[Figure]:
    """Kill the holder's agent and start it again at once, as the kubelet does."""
    outcomes = []
    for _ in range(RUNS):
        holder = only(story.holders.holders)
        start = anyio.current_time()
        story.cluster.agents[holder].tell(signal.SIGKILL)
        await story.cluster.agents[holder].wait()
        story.cluster.start_agent(holder)
        await anyio.sleep(7)
        outcomes.append(story.sum_up("restart", start, holder))
    stayed = sum(each.source == each.target for each in outcomes)
    return [
        Figure("kill -9, started again: probes lost", "0", _lost(outcomes)),
        Figure("kill -9, started again: still the holder", f"{RUNS} of {RUNS}", f"{stayed} of {RUNS}"),
    ]


async def kill(story: Story, _family: str) -> list[Figure]:
    """Kill the holder's agent."""
    return _crash("kill -9, not started again", [await story.kill() for _ in range(RUNS)])


async def freeze(story: Story, _family: str) -> list[Figure]:
    """Stop the holder's process where it stands."""

    async def stop(holder: str) -> None:
        story.cluster.agents[holder].tell(signal.SIGSTOP)

    text = "SIGSTOP to the agent on {0}"
    return _crash("SIGSTOP", [await story.event("freeze", text, stop) for _ in range(RUNS)])


async def power_off(story: Story, _family: str) -> list[Figure]:
    """Cut the holder off, and kill its agent."""
    outcomes = [await story.power_off() for _ in range(RUNS)]
    duration = int(OPERATOR["vip_leaseduration"]) * 1000
    return [
        Figure("power-off: outage", f"<= {duration + 100:,} ms", spread([each.gap_ms for each in outcomes], "ms")),
        Figure("power-off: with two holders", "0 ms", spread([each.two_holders_ms for each in outcomes], "ms", 1)),
    ]


def _crash(name: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    return [
        Figure(f"{name}: outage", "<= 500 ms", spread([each.gap_ms for each in outcomes], "ms")),
        Figure(f"{name}: with two holders", "0 ms", spread([each.two_holders_ms for each in outcomes], "ms", 1)),
    ]


def _lost(outcomes: Sequence[Outcome]) -> str:
    return spread([each.lost for each in outcomes], "lost")


@contextlib.contextmanager
def _frame_after(story: Story, frames: list[float]) -> Iterator[None]:
    """Append how many milliseconds after SIGTERM the client heard a new holder announce the address."""
    packed = ip_address(story.address).packed
    own = mac_of(story.cluster.segment, only(story.holders.holders))
    ethertype = IPV6 if len(packed) == 16 else ARP
    before = story.began
    heard: list[float] = []

    def received(frame: bytes) -> None:
        # IPv6: only neighbour advertisements; probes and their answers carry the address too.
        if ethertype == IPV6 and frame[54] != 136:
            return
        if story.began != before and not heard and packed in frame and frame[6:12] != own:
            heard.append(anyio.current_time())

    with listening(story.cluster.segment, ethertype, received):
        yield
    frames.append(1000 * (heard[0] - story.began))


MEASURES: dict[str, Callable[[Story, str], Awaitable[list[Figure]]]] = {
    "planned": planned,
    "restart": restart,
    "kill": kill,
    "freeze": freeze,
    "power-off": power_off,
}

if __name__ == "__main__":
    begin()
    found = on_cluster(lambda cluster: measure(cluster, "172.31.0.99", list(MEASURES), "IPv4"))
    found += on_cluster(
        lambda cluster: measure(cluster, "fd31::99", ["planned", "kill"], "IPv6"),
        environment={**OPERATOR, "address": "fd31::99"},
    )
    hand_over(found)
