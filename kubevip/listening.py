"""An HTTP server's sockets: none of them is left open when its context is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiohttp import web

# asyncio accepts a connection in one turn of the loop, makes its transport in the next and tells the protocol in the
# third. A server that closes in between forgets it, and so would aiohttp, which closes those that it was told of.
_TURNS = 3
_BACKLOG = 128


@asynccontextmanager
async def listening(
    runner: web.BaseRunner, host: str | None, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serve by *runner* until the context is left; give the address and the port that it listens on first.

    Without a *host* it listens on all addresses. Then all of its connections are closed, those included that were
    accepted just now.

    :raises OSError: if the address can't be listened on.
    """
    await runner.setup()
    try:
        loop = asyncio.get_running_loop()
        protocol = runner.server
        assert protocol is not None
        # Cancelled half-way, it would leave open sockets behind that nobody knows.
        with anyio.CancelScope(shield=True):
            server = await loop.create_server(protocol, host, port, ssl=tls, backlog=_BACKLOG)
        try:
            bound = server.sockets[0].getsockname()
            yield bound[0], bound[1]
        finally:
            with anyio.CancelScope(shield=True):
                for sock in server.sockets:
                    loop.remove_reader(sock.fileno())
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
            server.close()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
