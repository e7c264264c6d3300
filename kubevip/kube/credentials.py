"""What it takes to speak to an API server: kubernetes_asyncio fills it from a kubeconfig, or from what a Pod has.

Its own ``Configuration`` would be filled in the same way, and imports two HTTP libraries for that.
"""

import inspect
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs


@attrs.define(eq=False, kw_only=True)
class Credentials:
    """Where an API server is, and who we are. The names are those of kubernetes_asyncio's ``Configuration``."""

    host: str = "http://localhost"
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    api_key: dict[str, str] = attrs.field(factory=dict, repr=False)
    refresh_api_key_hook: Callable[["Credentials"], Any] | None = None

    @property
    def has_token(self) -> bool:
        """Whether there is a token, which may have to be renewed."""
        return "BearerToken" in self.api_key

    async def authorization(self) -> str | None:
        """Return what the header ``Authorization`` says now.

        :raises OSError: if the file of the token is gone.
        :raises kubernetes_asyncio.config.config_exception.ConfigException: if it is empty.
        """
        if self.has_token and self.refresh_api_key_hook is not None:
            renewed = self.refresh_api_key_hook(self)
            if inspect.isawaitable(renewed):
                await renewed
        return self.api_key.get("BearerToken")

    def tls(self) -> ssl.SSLContext | None:
        """Return a context for TLS; ``None`` for a server that doesn't speak it.

        :raises OSError: if the certificates are none.
        """
        if not self.host.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=self.ssl_ca_cert)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, keyfile=self.key_file)
        if not self.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def way(self) -> str | None:
        """Return the URL of the proxy that leads to the server: the kubeconfig's, else the environment's, else none."""
        if self.proxy:
            return self.proxy
        server = urlsplit(self.host)
        if server.hostname is None or proxy_bypass(server.hostname):
            return None
        return getproxies().get(server.scheme)
