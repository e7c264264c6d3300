"""What ``kubevip manifest`` is asked for, and the text that answers it. Printing is left to the command line."""

import argparse
from collections.abc import Mapping
from typing import Any

import attrs

from kubevip.config import ADMIN_CONF, add_flags, load
from kubevip.config.parse import BOOLEAN, NAMESPACE
from kubevip.errors import ConfigError
from kubevip.manifest.provider import ProviderManifests
from kubevip.manifest.rbac import Rights
from kubevip.manifest.workload import Workload
from kubevip.version import __version__

_NAMESPACE = "kube-system"


@attrs.frozen
class Written:
    """A manifest's YAML, and sentences that whoever asked for it should see."""

    text: str
    notices: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of manifest, their own flags and those of all settings to *parser*."""
    parser.usage = "%(prog)s {pod,daemonset,rbac,provider} [flag ...]"
    parser.add_argument("kind", choices=("pod", "daemonset", "rbac", "provider"), help="what to print")
    section = parser.add_argument_group("Manifest", "What is printed.")
    section.add_argument(
        "--image", default="kubevip", metavar="image", help="image of the agent; without a tag, this version's"
    )
    _switch(section, "--inCluster", "use the ServiceAccount, not a kubeconfig of the node")
    _switch(section, "--taint", "daemonset: on control-plane nodes only, whatever their taints")
    _switch(section, "--role", "rbac: rights in one namespace only")
    _switch(section, "--rolebinding", "rbac: bind the ClusterRole in one namespace only")
    _switch(section, "--events", "rbac: the right to write Events too")
    _switch(section, "--patches", "rbac: the right to patch Services too, which spread mode makes use of")
    add_flags(parser)


def _switch(section: Any, flag: str, text: str) -> None:
    section.add_argument(flag, type=_boolean, nargs="?", const=True, default=False, metavar="true|false", help=text)


def _boolean(text: str) -> bool:
    try:
        return BOOLEAN.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def written(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Written:
    """Return the manifest that *arguments* ask for, with the settings that they and *environ* give.

    As kube-vip does, ``svc_namespace`` in the environment is the namespace of the manifest too.

    :raises ConfigError: if the settings can't be used; for ``rbac`` and ``provider`` they don't matter.
    """
    from kubevip.manifest.text import write  # here, so that YAML is loaded only by those who write it

    namespace = _namespace(environ)
    if arguments.kind == "rbac":
        return Written(write(_rights(arguments, namespace).manifests()))
    if arguments.kind == "provider":
        return Written(write(ProviderManifests(image=_tagged(arguments.image), namespace=namespace).manifests()))
    loaded = load(environ, arguments)
    workload = Workload(
        settings=loaded.settings,
        image=_tagged(arguments.image),
        namespace=namespace,
        in_cluster=arguments.inCluster,
        kubeconfig=loaded.settings.kubernetes.config_file or ADMIN_CONF,
        control_plane_only=arguments.taint,
    )
    manifest = workload.pod() if arguments.kind == "pod" else workload.daemon_set()
    return Written(write([manifest]), loaded.notices)


def _namespace(environ: Mapping[str, str]) -> str:
    text = environ.get("svc_namespace") or _NAMESPACE
    try:
        return NAMESPACE.read(text)
    except ValueError as error:
        raise ConfigError([f"svc_namespace={text!r}: {error}"]) from error


def _rights(arguments: argparse.Namespace, namespace: str) -> Rights:
    return Rights(
        namespace=namespace,
        role=arguments.role,
        role_binding=arguments.rolebinding,
        events=arguments.events,
        patches=arguments.patches,
    )


def _tagged(image: str) -> str:
    """Return *image* with this version's tag, unless it has a tag or a digest."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in image else f"{image}:{__version__}"
