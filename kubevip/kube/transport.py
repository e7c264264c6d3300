"""HTTP to one API server: connections that are kept, the credentials with each request, and nothing else.

What kubernetes_asyncio has for this asks two threads before each request, whether ``~/.netrc`` or the environment have
something to say; a renewal of a Lease would wait for them.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import attrs
import msgspec
from yarl import URL

from kubevip.kube.credentials import Credentials
from kubevip.kube.sockets import Sockets
from kubevip.ports import MERGE_PATCH

# A watch may send an object as large as etcd takes, in one line.
_BUFFER = 2 << 20


@attrs.define(eq=False)
class Transport:
    """A pool of connections, until ``close()``. *agent* is what it calls itself."""

    credentials: Credentials
    _session: aiohttp.ClientSession
    _sockets: Sockets
    _given: dict[str, Any]
    agent: str

    @classmethod
    def open(cls, credentials: Credentials, agent: str) -> "Transport":
        """Open it in a running event loop.

        :raises OSError: if the certificates are none.
        """
        sockets = Sockets()
        connector = aiohttp.TCPConnector(ssl=credentials.tls() or True, socket_factory=sockets.make)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_BUFFER, raise_for_status=False
        )
        given: dict[str, Any] = {}
        if credentials.tls_server_name:
            given["server_hostname"] = credentials.tls_server_name
        way = credentials.way()
        if way is not None:
            given["proxy"] = way
        return cls(credentials, session, sockets, given, agent)

    async def request(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: object, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Return the answer, whatever its status; its body is still to be read."""
        form = MERGE_PATCH if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": form, "User-Agent": self.agent}
        authorization = await self.credentials.authorization()
        if authorization is not None:
            headers["Authorization"] = authorization
        url = f"{self.credentials.host}{path}"
        return await self._session.request(
            method,
            URL(f"{url}?{urlencode(query)}" if query else url, encoded=True),
            data=None if body is None else msgspec.json.encode(body),
            headers=headers,
            timeout=timeout,
            **self._given,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._sockets.shut()
