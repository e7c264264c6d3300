"""Where credentials for the API server are looked for, in which order, and why. Nothing is opened here.

The order is ``KUBECONFIG``, ``k8s_config_file``, ``/etc/kubernetes/admin.conf``, ``~/.kube/config``, and the
ServiceAccount of the Pod. So a DaemonSet without mounts uses its ServiceAccount, and a static Pod the
kubeconfig that is mounted into it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from kubevip.config.table import Settings

ADMIN_CONF = Path("/etc/kubernetes/admin.conf")
LOCAL_NAME = "kubernetes"


@attrs.frozen(kw_only=True)
class Server:
    """An API server to use in place of the kubeconfig's.

    With *if_resolves* it counts only where that host name has an address; else the file's own server does.
    """

    url: str
    if_resolves: str | None = None


@attrs.frozen(kw_only=True)
class Kubeconfig:
    """Kubeconfig files to merge, the first strongest, tried because of *reason*.

    If none of *paths* exists the next candidate counts, but with *required* that is an error: somebody asked
    for these files.
    """

    paths: tuple[Path, ...]
    reason: str
    required: bool = False
    server: Server | None = None


@attrs.frozen(kw_only=True)
class InCluster:
    """The Pod's own ServiceAccount."""

    reason: str


def kubeconfig_candidates(settings: Settings, environ: Mapping[str, str]) -> tuple[Kubeconfig | InCluster, ...]:
    """Return what to try, the first that exists wins."""
    return tuple(_candidates(settings, environ))


def _candidates(settings: Settings, environ: Mapping[str, str]) -> Iterator[Kubeconfig | InCluster]:
    merged = tuple(Path(part) for part in environ.get("KUBECONFIG", "").split(":") if part)
    if merged:
        yield Kubeconfig(paths=merged, reason="KUBECONFIG names it", required=True)
    named = settings.kubernetes.config_file
    if named and named != ADMIN_CONF:
        yield Kubeconfig(paths=(named,), reason="k8s_config_file names it", required=True)
    yield Kubeconfig(
        paths=(ADMIN_CONF,), reason="control-plane nodes have it, static Pods mount it", server=_server(settings)
    )
    if home := environ.get("HOME"):
        yield Kubeconfig(paths=(Path(home, ".kube", "config"),), reason="the user's own")
    yield InCluster(reason="the Pod's ServiceAccount")


def _server(settings: Settings) -> Server | None:
    """Return what takes the place of the server in admin.conf.

    That server is as a rule the very address that kubevip is to keep, which nobody holds before the first
    election. So a control-plane node talks to its own API server, by the name that is in its certificate and
    that the static Pod's hostAliases point to 127.0.0.1.
    """
    if settings.kubernetes.address:
        return Server(url=settings.kubernetes.address)
    if settings.control_plane.enable:
        return Server(url=f"https://{LOCAL_NAME}:{settings.control_plane.port}", if_resolves=LOCAL_NAME)
    return None
