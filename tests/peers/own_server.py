"""A node's own API server, as far as a check of its health sees it: HTTPS, by an authority of its own."""

import contextlib
import socket
import ssl

import attrs
import trustme
from aiohttp import web

PORT = 16443


@attrs.define(eq=False)
class OwnServer:
    """Answers each request with *status*."""

    status: int = 200
    asked: int = 0
    failed: int = 0

    async def answer(self, _request):
        self.asked += 1
        self.failed += self.status != 200
        return web.Response(status=self.status, text="ok")


@contextlib.asynccontextmanager
async def own_server(machine, directory):
    """Serve on the loopback interface of *machine*; give the server, and the settings of an agent that checks it."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(directory / "ca.crt")
    with machine.entered():
        sock = socket.create_server(("127.0.0.1", PORT))
    server, application = OwnServer(), web.Application()
    application.add_routes([web.get("/livez", server.answer)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, sock, ssl_context=context).start()
    name = "control_plane_health_check_"
    settings = {
        f"{name}address": f"https://localhost:{PORT}/livez",
        f"{name}ca_path": str(directory / "ca.crt"),
        f"{name}period_seconds": "1",
        f"{name}timeout_seconds": "1",
    }
    try:
        yield server, settings
    finally:
        await runner.cleanup()
