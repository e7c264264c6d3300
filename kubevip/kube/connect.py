"""Loads credentials and makes a ``Client`` of them."""

import functools
import logging
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from kubevip.config import InCluster, Kubeconfig, Server
from kubevip.errors import ConfigError
from kubevip.kube.client import Client
from kubevip.kube.credentials import Credentials
from kubevip.model import LeaseKey

log = logging.getLogger(__name__)

# Where the kubelet puts the Pod's own namespace (client-go: rest.InClusterConfig, clientcmd's inClusterClientConfig).
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def warn_of_other_namespace(leases: Iterable[LeaseKey], file: Path = POD_NAMESPACE) -> None:
    """Warn of Leases that aren't in the Pod's own namespace.

    kube-vip after 1.0.2 puts its Leases there, whatever ``cp_namespace`` says; agents that use different Leases for
    an address don't know of each other.
    """
    try:
        own = file.read_text().strip()
    except OSError:
        return
    for lease in leases:
        if own and lease.namespace != own:
            log.warning(
                "the Lease isn't in the Pod's namespace: all agents have to use the same one",
                extra={"lease": str(lease), "reason": f"the Pod is in {own}, and newer kube-vip uses that"},
            )


async def connect(candidates: Sequence[Kubeconfig | InCluster]) -> Client:
    """Return a client, not yet open, with the first credentials of *candidates* that exist.

    :raises ConfigError: if there are none, or those that somebody asked for can't be used.
    """
    tried: list[str] = []
    for candidate in candidates:
        if isinstance(candidate, InCluster):
            client = _in_cluster(candidate, tried)
        else:
            client = await _from_files(candidate, tried)
        if client is not None:
            return client
    raise ConfigError(["no credentials for the API server were found; tried: " + "; ".join(tried)])


def _in_cluster(candidate: InCluster, tried: list[str]) -> Client | None:
    from kubernetes_asyncio.config.config_exception import ConfigException
    from kubernetes_asyncio.config.incluster_config import load_incluster_config

    credentials = Credentials()
    try:
        load_incluster_config(client_configuration=credentials)
    except (ConfigException, OSError) as error:
        tried.append(f"{candidate.reason} ({error})")
        return None
    return _client(credentials, candidate.reason)


async def _from_files(candidate: Kubeconfig, tried: list[str]) -> Client | None:
    from kubernetes_asyncio.config import kube_config

    named = ":".join(str(path) for path in candidate.paths)
    if (missing := _missing(candidate)) is not None:
        if candidate.required:
            raise ConfigError([f"kubeconfig {named} ({candidate.reason}): {missing}"])
        tried.append(f"{named} ({missing})")
        return None
    credentials = Credentials()
    try:
        loader = await kube_config.load_kube_config(
            config_file=named, client_configuration=credentials, persist_config=False
        )
    except Exception as error:
        # Whatever YAML, exec plugins and certificates can raise: the file can't be used.
        raise ConfigError([f"kubeconfig {named} ({candidate.reason}): {error}"]) from error
    if candidate.server is not None and await _counts(candidate.server):
        credentials.host = candidate.server.url
    # Only tokens can be renewed; of a file without a user kubernetes_asyncio would fail to.
    refresh = functools.partial(kube_config.refresh_token, loader, credentials) if credentials.has_token else None
    return _client(credentials, f"kubeconfig {named} ({candidate.reason})", refresh)


def _missing(candidate: Kubeconfig) -> str | None:
    """Return why there is none of the files; ``None`` if there is one."""
    try:
        return None if any(path.exists() for path in candidate.paths) else "there is no such file"
    except OSError as error:
        return str(error)


async def _counts(server: Server) -> bool:
    if server.if_resolves is None:
        return True
    try:
        await anyio.to_thread.run_sync(socket.getaddrinfo, server.if_resolves, None)
    except OSError:
        return False
    return True


def _client(credentials: Credentials, origin: str, refresh: Any = None) -> Client:
    log.info("using the API server", extra={"server": credentials.host, "reason": origin})
    return Client(credentials, origin, refresh)
