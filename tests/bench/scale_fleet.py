"""Agents as processes, each on a machine of its own: started, stopped, looked at."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs
from scale_api import ApiServer
from scale_objects import PORT

from kubevip.demo import echo
from kubevip.demo.cluster import API, CLIENT
from kubevip.net.segment import Machine, Segment

KNOWS = '"know the Services"'
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Return the memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


async def until(true: Callable[[], bool], bound: float, what: str, *, every: float = 0.02) -> float:
    """Wait until something is true; return how many seconds that took.

    :raises TimeoutError: after *bound* seconds.
    """
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > bound:
            raise TimeoutError(f"{what}: not within {bound:g} s")
        await asyncio.sleep(every)
    return time.monotonic() - began


@attrs.define(eq=False)
class Agent:
    """One agent, and what it has written to its log."""

    node: str
    process: "subprocess.Popen[bytes]"
    log: Path
    _read: int
    _knows: bool = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def knows(self) -> bool:
        """Tell whether it has listed the Services.

        :raises RuntimeError: if it has ended instead.
        """
        if not self._knows:
            with self.log.open("rb") as file:
                file.seek(self._read)
                text = file.read().decode(errors="replace")
            self._knows = KNOWS in text
            if not self._knows and self.process.poll() is not None:
                raise RuntimeError(f"the agent of {self.node} has ended: {text[-1000:]}")
        return self._knows


@attrs.define(eq=False)
class Fleet:
    """The agents of all nodes."""

    segment: Segment
    nodes: Sequence[str]
    server: ApiServer
    directory: Path
    environment: Mapping[str, str]
    agents: dict[str, Agent] = attrs.field(factory=dict, init=False)

    def start(self, node: str) -> Agent:
        """Start the agent of *node*."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ}
        environment = {**inherited, **self.environment, "KUBECONFIG": str(self.server.kubeconfig)}
        log = self.directory / f"{node}.log"
        with log.open("ab") as file:
            read = file.tell()
            process = _start(
                self.segment.machines[node], [sys.executable, "-m", "kubevip", "manager"], env=environment, stderr=file
            )
        self.agents[node] = agent = Agent(node, process, log, read)
        return agent

    async def start_all(self, nodes: Iterable[str], bound: float) -> float:
        """Start several at once; return how many seconds it took until they knew the Services."""
        began = time.monotonic()
        agents = []
        for node in nodes:
            agents.append(self.start(node))
            await asyncio.sleep(0)
        await until(lambda: all(agent.knows() for agent in agents), bound, "start of the fleet", every=0.1)
        return time.monotonic() - began

    async def stop(self, nodes: Iterable[str], number: signal.Signals = signal.SIGTERM) -> None:
        """Stop agents, and wait until they have ended."""
        agents = [self.agents.pop(node) for node in tuple(nodes)]
        for agent in agents:
            agent.process.send_signal(number)
        for agent in agents:
            await asyncio.to_thread(agent.process.wait)

    def complaints(self) -> dict[str, int]:
        """Return what the agents have logged as warnings and errors, and how often."""
        found: dict[str, int] = {}
        for log in sorted(self.directory.glob("*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if '"level": "warning"' in line or '"level": "error"' in line:
                    entry = json.loads(line)
                    text = f"{entry['message']} {str(entry.get('reason', ''))[:150]}"
                    found[text] = found.get(text, 0) + 1
                elif not line.startswith("{"):
                    found[line[:150]] = found.get(line[:150], 0) + 1
        return found

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """End what is left."""
        try:
            yield
        finally:
            for agent in self.agents.values():
                agent.process.kill()
            for agent in self.agents.values():
                agent.process.wait()


def _start(
    machine: Machine,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: IO[bytes] | None = None,
    pass_fds: Collection[int] = (),
) -> "subprocess.Popen[bytes]":
    with machine.entered():
        return subprocess.Popen(command, env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds)


@contextlib.contextmanager
def echoing(segment: Segment, nodes: Sequence[str]) -> Iterator[None]:
    """Answer probes on each node, as the Pods of a Service would."""
    sockets = []
    for node in nodes:
        with segment.machines[node].entered():
            sockets.append(echo.bind(PORT))
    numbers = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-m", "kubevip.demo.echo", *map(str, numbers)]
    process = _start(segment.machines[API], command, pass_fds=numbers)
    for sock in sockets:
        sock.close()
    try:
        yield
    finally:
        process.kill()
        process.wait()


@attrs.define
class Probes:
    """What came of probes: of each address how many were lost, and its longest silence in seconds."""

    sent: int = 0
    silences: dict[str, float] = attrs.field(factory=dict)
    lost: dict[str, int] = attrs.field(factory=dict)


@contextlib.asynccontextmanager
async def probing(segment: Segment, addresses: Sequence[str], period: float) -> AsyncIterator[Probes]:
    """Probe addresses from the client during the block; then fill in what came of it."""
    command = [sys.executable, str(Path(__file__).with_name("scale_probe.py")), str(PORT), str(period), *addresses]
    process = _start(segment.machines[CLIENT], command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = Probes()
    try:
        await asyncio.sleep(0.5)
        yield found
    finally:
        output, _ = await asyncio.to_thread(process.communicate)
        told = json.loads(output)
        found.sent, found.silences, found.lost = told["sent"], told["silences"], told["lost"]
