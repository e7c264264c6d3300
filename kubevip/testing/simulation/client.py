"""The twin of ``kubevip.kube.client.Client`` in a simulation: ``kubevip.ports.Api`` over a line that may fail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import attrs
import msgspec

from kubevip.errors import ApiUnavailable
from kubevip.testing.process import effectless, universal_time
from kubevip.testing.simulation.chronicle import Chronicle, Told
from kubevip.testing.simulation.line import Line, Stream
from kubevip.testing.simulation.server import Answer, Request

Query = Sequence[tuple[str, str]]


@attrs.define(eq=False)
class SimulatedClient:
    """What process number *life* of *node* asks the API server with. *chronicle* is told what it learns."""

    node: str
    life: int
    _line: Line
    _chronicle: Chronicle

    async def __aenter__(self) -> Self:
        """Do nothing: connections are made as they are needed."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Do nothing."""

    async def keep_credentials_fresh(self) -> None:
        """Return: there are none."""

    async def request(
        self, method: str, path: str, *, query: Query = (), body: object = None, timeout: float = 10.0
    ) -> bytes:
        """Ask; see ``kubevip.ports.Api``."""
        reply: asyncio.Future[Answer] = self._reply()
        self._line.ask(self._request(method, path, query, body), reply)
        return self._learn(await self._answer(reply, timeout))

    @asynccontextmanager
    async def stream(self, path: str, *, query: Query, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Watch; see ``kubevip.ports.Api``."""
        stream, reply = Stream(self._line), self._reply()
        self._line.open(self._request("GET", path, query, None), stream, reply)
        try:
            await self._answer(reply, 10.0)
            yield self._lines(stream, silence)
        finally:
            stream.close()

    async def _lines(self, stream: Stream, silence: float) -> AsyncIterator[bytes]:
        while True:
            while stream.arrived:
                yield self._learn(stream.arrived.pop(0))
            if stream.error is not None:
                raise stream.error
            await stream.wait(silence)

    def _request(self, method: str, path: str, query: Query, body: object) -> Request:
        encoded = None if body is None else msgspec.json.encode(body)
        return Request(
            method=method,
            path=path,
            query=dict(query),
            body=encoded,
            node=self.node,
            life=self.life,
            asked=universal_time(),
        )

    @staticmethod
    def _reply() -> "asyncio.Future[Answer]":
        if effectless():
            raise ApiUnavailable("a killed process asks nobody")
        return asyncio.get_running_loop().create_future()

    @staticmethod
    async def _answer(reply: "asyncio.Future[Answer]", timeout: float) -> Answer:
        timer = asyncio.get_running_loop().call_later(timeout, _give_up, reply, timeout)
        try:
            return await reply
        finally:
            timer.cancel()

    def _learn(self, answer: Answer) -> bytes:
        for fact in answer.facts:
            if not effectless():
                self._chronicle.add(Told(universal_time(), self.node, self.life, fact.lease, fact.holder, fact.version))
        return answer.content


def _give_up(reply: "asyncio.Future[Answer]", timeout: float) -> None:
    if not reply.done():
        reply.set_exception(ApiUnavailable(f"the API server does not answer: no answer within {timeout:g} s"))
