"""What ``kubevip ipam`` is told: its flags, and what is read from them and from the environment."""

import argparse
import ipaddress
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kubevip.config.provider import CONFIG_MAP, CONFIG_NAMESPACE, ProviderSettings, load_provider
from kubevip.ipam import Block, read_address
from kubevip.ipam.findings import Surroundings
from kubevip.model import IPAddress

Value = TypeVar("Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three commands and their flags."""
    parser.usage = "%(prog)s {check,show,plan} [flag ...]"
    commands = parser.add_subparsers(dest="command", required=True, metavar="{check,show,plan}", prog=parser.prog)
    one = _add(commands, "check", "say what is wrong with a ConfigMap, and what its pools have", "FILE|- [flag ...]")
    one.add_argument("file", metavar="FILE|-", help="a manifest, or just keys and their texts, in YAML or JSON")
    _add_surroundings(one)
    _add_place(one)
    two = _add(commands, "show", "show the pools and how full they are, who has what, and who waits", "[flag ...]")
    _add_place(two)
    _add_cluster(two)
    three = _add(commands, "plan", "say what becomes of each Service under an edited ConfigMap", "-f NEW [flag ...]")
    three.add_argument("-f", "--filename", metavar="NEW", required=True, help="the edited ConfigMap; - is stdin")
    section = three.add_argument_group("Without an API server")
    section.add_argument("--from", dest="dump", metavar="FILE", help="kubectl get services,nodes -A -o json")
    section.add_argument("--old", metavar="FILE", help="the present ConfigMap")
    _add_place(three)
    _add_cluster(three)
    _add_surroundings(three)


def _add(commands: Any, name: str, text: str, usage: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False, usage=f"%(prog)s {usage}"
    )
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml"), default="table", help="for people, or for programs (table)"
    )
    return parser


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("Networks that the pools must not have a part in")
    for flag, what, read_one in (
        ("--pod-cidr", "network of the Pods", _network),
        ("--service-cidr", "network of Services' cluster addresses", _network),
        ("--node-ip", "address of a node", _address),
    ):
        text = f"{what}; several with commas, or as several flags"
        metavar = "ADDRESS" if flag == "--node-ip" else "CIDR"
        section.add_argument(flag, metavar=metavar, type=_listed(read_one), action="extend", default=[], help=text)


def _add_place(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("The provider's ConfigMap")
    section.add_argument("-n", "--namespace", help=f"its namespace [{CONFIG_NAMESPACE}, default kube-system]")
    section.add_argument("--config-map", metavar="NAME", help=f"its name [{CONFIG_MAP}, default kubevip]")


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    section = parser.add_argument_group("The cluster", "These are the provider's flags; give those that it has.")
    section.add_argument("--kubeconfig", metavar="FILE", help="credentials; otherwise as the agent finds them")
    section.add_argument("--master", metavar="URL", help="the API server, in place of the kubeconfig's")
    section.add_argument("--classless", metavar="true|false", help="whether Services without a class are served")
    section.add_argument("--load-balancer-classes", metavar="NAME,…", help="classes that are served")


def read_settings(arguments: argparse.Namespace) -> ProviderSettings:
    """Return the provider's settings, as far as they matter here.

    :raises ConfigError: if they can't be used.
    """
    given = {
        f"--{name.replace('_', '-')}": getattr(arguments, name, None)
        for name in ("kubeconfig", "master", "classless", "load_balancer_classes")
    }
    environ = dict(os.environ)
    for name, value in ((CONFIG_NAMESPACE, arguments.namespace), (CONFIG_MAP, arguments.config_map)):
        if value:
            environ[name] = value
    return load_provider(environ, given)[0]


def read_surroundings(arguments: argparse.Namespace, nodes: Mapping[str, tuple[IPAddress, ...]]) -> Surroundings:
    """Return the networks that are given, and *nodes* beside those that are given."""
    given = {"": tuple(arguments.node_ip)} if arguments.node_ip else {}
    return Surroundings(
        pods=tuple(arguments.pod_cidr), services=tuple(arguments.service_cidr), nodes={**nodes, **given}
    )


def _listed(read_one: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    def read_all(text: str) -> list[Value]:
        try:
            return [read_one(part.strip()) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read_all


def _network(text: str) -> Block:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network: write it such as 10.244.0.0/16") from None
    return Block.between(network[0], network[-1])


def _address(text: str) -> IPAddress:
    return read_address(text)
