"""Requests to the API server: kubernetes_asyncio's configuration, credentials and transport, and raw answers.

Its models, its Watch and its election are not used: the first are slow, the second leaks connections and
doesn't back off, the third goes on leading while the server is silent.
"""

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.request import getproxies

import aiohttp
import anyio
import attrs
import msgspec

from kubevip.errors import (
    ApiError,
    ApiUnavailable,
    ConfigError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ResourceExpired,
    Unauthorized,
)
from kubevip.version import __version__

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

log = logging.getLogger(__name__)

_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    410: ResourceExpired,
    415: Invalid,
    422: Invalid,
}
# A peer that is gone without a word is noticed after 5 + 3 x 3 s of silence, or 10 s after it stopped to acknowledge.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000),
)
DEFAULT_TIMEOUT = 10.0
# As kubernetes_asyncio has it: an event of a watch may be as large as an object may be.
_LONGEST_READ = 2**21

Query = Sequence[tuple[str, str]]


class _Status(msgspec.Struct):
    """The part of a ``meta/v1`` Status that is shown."""

    message: str = ""
    reason: str = ""
    code: int = 0


@attrs.define(eq=False)
class Client:
    """A connection pool to one API server. Open it in a running event loop; it lives as long as the agent.

    All errors are ``ApiError``: ``ApiUnavailable`` where there is no answer, and one of its siblings by the
    HTTP status of the answer.
    """

    _configuration: "Configuration"
    _origin: str = "the credentials"
    _refresh: Any = None
    _api: "ApiClient" = attrs.field(init=False)

    async def __aenter__(self) -> Self:
        """Open the pool.

        :raises ConfigError: if the certificates are none.
        """
        from kubernetes_asyncio.client import ApiClient

        try:
            self._api = ApiClient(self._configuration)
        except OSError as error:
            raise ConfigError([f"{self._origin}: the certificates can't be used: {error}"]) from error
        self._api.user_agent = f"kubevip/{__version__}"
        if not getproxies():
            _read_no_environment(self._api)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the pool."""
        with anyio.CancelScope(shield=True):
            await self._api.close()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self._configuration.host)

    async def request(
        self, method: str, path: str, *, query: Query = (), body: object = None, timeout: float = DEFAULT_TIMEOUT
    ) -> bytes:
        """Return the body of a successful answer; *timeout* is for all of it, in seconds."""
        try:
            response = await self._call(method, path, query, body, aiohttp.ClientTimeout(total=timeout))
            async with response:
                content: bytes = await response.read()
                if response.status >= 400:
                    raise self._error(response, content, f"{method} {path}")
                if response.content_type != "application/json":
                    # Some proxy's page: nothing is known of the request.
                    raise ApiUnavailable(f"{method} {path}: the answer isn't JSON: {_start(content)}")
                return content
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unavailable(error, timeout) from error

    @asynccontextmanager
    async def stream(self, path: str, *, query: Query, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and give its lines. After *silence* seconds without a byte the server counts as gone."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=DEFAULT_TIMEOUT, sock_read=silence)
        try:
            async with await self._open(path, query, timeout) as response:
                if response.status >= 400:
                    raise self._error(response, await response.read(), f"watching {path}")
                _notice_silence(response)
                yield _lines(response.content)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unavailable(error, silence) from error

    async def _open(self, path: str, query: Query, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        try:
            with anyio.fail_after(DEFAULT_TIMEOUT):
                return await self._call("GET", path, query, None, timeout)
        except TimeoutError as error:
            raise self._unavailable(error, DEFAULT_TIMEOUT) from error

    async def _call(
        self, method: str, path: str, query: Query, body: object, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        from kubernetes_asyncio.config.config_exception import ConfigException

        try:
            response: aiohttp.ClientResponse = await self._api.call_api(
                path,
                method,
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout,
            )
        except (ConfigException, FileNotFoundError) as error:
            # The file of a token is read anew now and then.
            raise Unauthorized(f"the credentials for {self.server} can't be renewed: {error}") from error
        return response

    def _error(self, response: aiohttp.ClientResponse, content: bytes, doing: str) -> ApiError:
        status = _Status()
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            status = msgspec.json.decode(content, type=_Status)
        message = status.message or _start(content) or response.reason or ""
        text = f"{doing}: {message} ({response.status})"
        error = _BY_STATUS.get(response.status, ApiUnavailable)(text, status=response.status, reason=status.reason)
        if isinstance(error, ApiUnavailable):
            error.retry_after = _seconds(response.headers.get("Retry-After"))
        return error

    def _unavailable(self, error: Exception, timeout: float) -> ApiUnavailable:
        why = f"no answer within {timeout:g} s" if isinstance(error, TimeoutError) else str(error) or repr(error)
        return ApiUnavailable(f"the API server {self.server} does not answer: {why}")

    async def keep_credentials_fresh(self) -> None:
        """Run what renews short-lived credentials (exec plugins and the like), until cancelled."""
        if self._refresh is not None:
            await self._refresh()


def _read_no_environment(api: "ApiClient") -> None:
    """Don't look for a proxy and for passwords (``.netrc``) anew with each request: two threads take turns for that.

    A renewal of a Lease would wait for them, and thousands of writes cost half as much again.
    """
    rest = api.rest_client
    connector = rest.pool_manager.connector
    rest.pool_manager.detach()
    rest.pool_manager = aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_READ)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line:
                yield line


def _start(content: bytes) -> str:
    return content[:200].decode(errors="replace").strip()


def _notice_silence(response: aiohttp.ClientResponse) -> None:
    connection = response.connection
    sock = connection.transport.get_extra_info("socket") if connection and connection.transport else None
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        for level, option, value in _KEEPALIVE:
            sock.setsockopt(level, option, value)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
