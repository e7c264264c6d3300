"""Requests to the API server, by the credentials that kubernetes_asyncio loads, and raw answers.

Its models, its Watch and its election are not used: the first are slow, the second leaks connections and
doesn't back off, the third goes on leading while the server is silent. What is used for transport is aiohttp alone.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

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
from kubevip.kube.credentials import Credentials
from kubevip.kube.transport import Transport
from kubevip.version import __version__

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
DEFAULT_TIMEOUT = 10.0

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

    _credentials: Credentials
    _origin: str = "the credentials"
    _refresh: Any = None
    _transport: Transport = attrs.field(init=False)

    async def __aenter__(self) -> Self:
        """Open the pool.

        :raises ConfigError: if the certificates are none.
        """
        try:
            self._transport = Transport.open(self._credentials, f"kubevip/{__version__}")
        except OSError as error:
            raise ConfigError([f"{self._origin}: the certificates can't be used: {error}"]) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the pool."""
        with anyio.CancelScope(shield=True):
            await self._transport.close()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self._credentials.host

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
            return await self._transport.request(method, path, query, body, timeout)
        except (ConfigException, FileNotFoundError) as error:
            # The file of a token is read anew now and then.
            raise Unauthorized(f"the credentials for {self.server} can't be renewed: {error}") from error

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


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line:
                yield line


def _start(content: bytes) -> str:
    return content[:200].decode(errors="replace").strip()


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
