"""What the agent tells over HTTP: ``/metrics``, ``/healthz``, ``/readyz``."""

import logging
from collections.abc import Callable
from typing import Protocol

import anyio
import attrs
from aiohttp import web

from kubevip.listening import listening
from kubevip.metrics import CONTENT_TYPE, exposition, metrics
from kubevip.statistics import AgentStatistics

log = logging.getLogger(__name__)

_PAGE = """<!doctype html><title>kubevip</title><h1>kubevip</h1>
<p><a href="/metrics">metrics</a> <a href="/healthz">healthz</a> <a href="/readyz">readyz</a></p>"""


class Health(Protocol):
    """What is known of a process: see ``kubevip.statistics``."""

    def ailments(self) -> list[str]:
        """Say why the process has to be started anew."""

    def obstacles(self) -> list[str]:
        """Say why it doesn't do its work now."""


@attrs.define(eq=False)
class Server:
    """Answers on one port, from ``run()`` until it is cancelled."""

    _host: str
    _port: int
    _metrics: Callable[[], bytes]
    _statistics: Callable[[], Health]

    async def run(self) -> None:
        """Serve. A port that is taken is only logged: the addresses matter more."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/", self._front),
                web.get("/metrics", self._answer_metrics),
                web.get("/healthz", self._healthz),
                web.get("/livez", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        try:
            async with listening(runner, self._host or None, self._port):
                await anyio.sleep_forever()
        except OSError as error:
            where = f"{self._host}:{self._port}"
            log.warning(
                "not serving metrics and health", extra={"listen": where, "reason": error.strerror or str(error)}
            )

    async def _front(self, _request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self._statistics().ailments())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self._statistics().obstacles())


def of_agent(host: str, port: int, statistics: Callable[[], AgentStatistics]) -> Server:
    """Return what serves the metrics and the health of an agent."""
    return Server(host, port, lambda: exposition(metrics(statistics())), statistics)


def _verdict(complaints: list[str]) -> web.Response:
    if not complaints:
        return web.Response(text="ok\n")
    return web.Response(status=503, text="".join(f"{complaint}\n" for complaint in complaints))
