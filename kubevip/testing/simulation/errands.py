"""What people ask of a fleet in spread mode: ``kubevip rebalance``, ``kubevip handover`` of a single address."""

import asyncio
import random
from collections.abc import Callable, Coroutine

import attrs

from kubevip.cli.passing import pass_on
from kubevip.cli.rebalance import carry_out, planned
from kubevip.errors import KubeVipError
from kubevip.kube.spreadview import survey
from kubevip.model import IPAddress
from kubevip.testing.process import universal_time
from kubevip.testing.simulation.chronicle import Chronicle
from kubevip.testing.simulation.client import SimulatedClient
from kubevip.testing.simulation.line import Line
from kubevip.testing.simulation.recording import Evened
from kubevip.testing.simulation.server import ApiServer

OPERATOR = "operator"
# Of the Leases.
_NAMESPACE = "kube-system"
# For so long an operator waits for a move, in seconds.
_WITHIN = 15.0


@attrs.define(eq=False)
class Errands:
    """The commands of an operator, who has a good way to *server*; they run in *tasks*."""

    server: ApiServer
    chronicle: Chronicle
    tasks: asyncio.TaskGroup
    chance: random.Random
    _running: set["asyncio.Task[None]"] = attrs.field(factory=set, init=False)

    def client(self) -> SimulatedClient:
        """Return what an operator asks the API server with."""
        return SimulatedClient(OPERATOR, 0, Line(self.server, self.chance, 0.005), self.chronicle)

    def rebalance(self, most: int | None) -> None:
        """Move at most *most* Services."""
        self._begin(lambda client: self._rebalance(client, most))

    def hand_over(self, address: IPAddress, to: str) -> None:
        """Hand *address* over to a node."""
        self._begin(lambda client: self._hand_over(client, address, to))

    def _begin(self, errand: Callable[[SimulatedClient], Coroutine[None, None, None]]) -> None:
        task = self.tasks.create_task(self._run(errand))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, errand: Callable[[SimulatedClient], Coroutine[None, None, None]]) -> None:
        try:
            async with self.client() as client:
                await errand(client)
        except KubeVipError:
            # The operator reads why, and asks again some day.
            return

    async def _rebalance(self, client: SimulatedClient, most: int | None) -> None:
        asked = universal_time()
        found = await survey(client, _NAMESPACE)
        moves = planned(found, most)
        stuck = await carry_out(client, _NAMESPACE, moves, _WITHIN)
        left = planned(await survey(client, _NAMESPACE), None)
        before = tuple(sorted(found.loads.items()))
        self.chronicle.add(Evened(universal_time(), asked, most, before, len(moves), len(stuck), len(left)))

    async def _hand_over(self, client: SimulatedClient, address: IPAddress, to: str) -> None:
        await pass_on(client, _NAMESPACE, address, to, _WITHIN)

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._running:
            task.cancel()
