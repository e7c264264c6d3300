"""Hand an address over to another node, without losing a packet, and say what came of it.

TARGET is a virtual address, or the Lease that governs it as NAMESPACE/NAME. All addresses of that Lease move
together; where Services are spread, an address moves alone. The holder is asked by an annotation of the Lease, so the
credentials need the right to update it. The exit code is 0 where the address is where it was wanted, 1 where it isn't,
2 where the request makes no sense.
"""

import argparse
import ipaddress
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from kubevip.cli.passing import pass_on
from kubevip.cli.waits import seconds
from kubevip.config import Kubernetes, Settings, kubeconfig_candidates
from kubevip.config.parse import NODE_NAME
from kubevip.config.table import BY_NAME
from kubevip.errors import ConfigError, KubeVipError, NotFound
from kubevip.kube.client import Client
from kubevip.kube.connect import connect
from kubevip.kube.governing import Leases, unknown_node
from kubevip.kube.leases import KubeLeases
from kubevip.model import IPAddress, LeaseKey
from kubevip.runtime.asking import Outcome, Result, hand_over

# The agents' names for what the command has to know of them, with its own flags.
_PLACES = {
    "address": ("--address", "the control plane's address"),
    "cp_namespace": ("--namespace", "namespace of the Leases"),
    "vip_leasename": ("--leaseName", "Lease of the control plane's address"),
    "svc_leasename": ("--servicesLeaseName", "Lease of all Services"),
    "svc_election": ("--servicesElection", "whether each Service has its own Lease"),
    "per_service_election_on_demand": ("--perServiceElectionOnDemand", "whether annotated Services have their own"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own flags, and those of the agents' that it has to know."""
    parser.usage = "%(prog)s TARGET [--to NODE] [flag ...]"
    parser.add_argument("target", metavar="TARGET", help="a virtual address, or NAMESPACE/NAME of a Lease")
    parser.add_argument("--to", default="", metavar="NODE", help="node that is to have it (any other than now)")
    parser.add_argument("--timeout", type=seconds, default=15.0, metavar="SECONDS", help="how long to wait (15)")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="for people, or for programs (text)"
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="credentials; otherwise as the agent finds them")
    section = parser.add_argument_group("The agents", "Give those that the agents are told, where they differ.")
    for name, (flag, text) in _PLACES.items():
        flags = (flag, "-n") if name == "cp_namespace" else (flag,)
        shown = BY_NAME[name].default_shown
        default = f", default {shown}" if shown else ""
        form, shown = BY_NAME[name].form.name, f"{text} [{name}{default}]"
        if form == "boolean":
            section.add_argument(*flags, dest=name, nargs="?", const="true", metavar=form, help=shown)
        else:
            section.add_argument(*flags, dest=name, metavar=form, help=shown)


def run(arguments: argparse.Namespace) -> int:
    """Ask and tell; see the module for the exit code."""
    try:
        return anyio.run(_run, arguments)
    except ConfigError as error:
        return _complain(error.problems, 2)
    except NotFound as error:
        return _complain([str(error)], 2)
    except KubeVipError as error:
        return _complain([str(error)], 1)
    except KeyboardInterrupt:
        return 130


def _complain(sentences: Any, code: int) -> int:
    for sentence in sentences:
        print(f"kubevip handover: {sentence}", file=sys.stderr)
    return code


async def _run(arguments: argparse.Namespace) -> int:
    leases, environ = _leases(arguments, os.environ), dict(os.environ)
    target, to = _target(arguments.target), _node(arguments.to)
    if arguments.kubeconfig:
        environ["KUBECONFIG"] = arguments.kubeconfig
    file = Path(environ["k8s_config_file"]) if environ.get("k8s_config_file") else None
    settings = Settings(kubernetes=Kubernetes(config_file=file))
    async with await connect(kubeconfig_candidates(settings, environ)) as client:
        if to and (nodes := await unknown_node(client, to)):
            raise ConfigError([f"there is no node {to!r}; there are: {', '.join(nodes)}"])
        lease = target if isinstance(target, LeaseKey) else await _governing(leases, client, target)
        passed = None
        if not isinstance(target, LeaseKey) and lease == leases.services:
            passed = await pass_on(client, lease.namespace, target, to, arguments.timeout)
        if passed is None:
            outcome = await hand_over(KubeLeases(client), lease, to=to, by="kubevip handover", within=arguments.timeout)
        else:
            lease, outcome = passed
    _tell(arguments.output, lease, to, outcome)
    return 0 if outcome.is_well else 1


def _leases(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Leases:
    values: dict[str, Any] = {}
    problems = []
    for name, (flag, _text) in _PLACES.items():
        setting, given = BY_NAME[name], getattr(arguments, name)
        text, shown = (given, flag) if given else (environ.get(name, ""), name)
        try:
            values[name] = setting.form.read(text) if text else setting.default
        except ValueError as error:
            problems.append(f"{shown}={text!r}: {error}")
    if problems:
        raise ConfigError(problems)
    namespace = values["cp_namespace"]
    known = (ipaddress.IPv4Address, ipaddress.IPv6Address)
    return Leases(
        control_plane=LeaseKey.parse(values["vip_leasename"], default_namespace=namespace),
        services=LeaseKey.parse(values["svc_leasename"], default_namespace=namespace),
        addresses=tuple(each for each in values["address"] if isinstance(each, known)),
        own=values["svc_election"],
        on_demand=values["per_service_election_on_demand"],
    )


def _target(text: str) -> IPAddress | LeaseKey:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:
        if "/" in BY_NAME["vip_leasename"].form.read(text):
            return LeaseKey.parse(text)
    except ValueError:
        pass
    raise ConfigError([f"{text!r} is neither an IP address nor the NAMESPACE/NAME of a Lease"])


def _node(text: str) -> str:
    try:
        return NODE_NAME.read(text) if text else ""
    except ValueError as error:
        raise ConfigError([f"--to={text!r}: {error}"]) from error


async def _governing(leases: Leases, client: Client, address: IPAddress) -> LeaseKey:
    found = await leases.governing(client, address)
    if found is None:
        unknown = f"nobody knows {address}: no LoadBalancer Service has it, and as far as is known here it isn't the"
        hint = f"control plane's; if it is, say so by --address {address}, or name its Lease: {leases.control_plane}"
        raise ConfigError([f"{unknown} {hint}"])
    return found


def _tell(output: str, lease: LeaseKey, to: str, outcome: Outcome) -> None:
    if output == "json":
        document = {
            "lease": str(lease),
            "result": outcome.result.name.lower(),
            "requested": to or None,
            "before": outcome.before or None,
            "holder": outcome.holder or None,
            "seconds": round(outcome.seconds, 3),
            "reason": outcome.why or None,
        }
        print(json.dumps(document))
        return
    print(f"{lease}: {_sentence(outcome)}", file=sys.stdout if outcome.is_well else sys.stderr)


def _sentence(outcome: Outcome) -> str:
    took = f"in {outcome.seconds:.3f} s"
    why = f": {outcome.why}" if outcome.why else ""
    return {
        Result.MOVED: f"{outcome.before} has handed over to {outcome.holder} {took}",
        Result.ALREADY: f"{outcome.holder} holds it already",
        Result.ELSEWHERE: f"{outcome.holder} holds it now, after {outcome.before}{why}",
        Result.KEPT: f"{outcome.holder} holds it again: nobody else took it{why}",
        Result.REFUSED: f"{outcome.holder} refuses{why}",
        Result.UNANSWERED: f"{outcome.holder} still holds it{why}",
        Result.FREE: f"nobody holds it{why}",
    }[outcome.result]
