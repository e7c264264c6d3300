"""Move Services between nodes until each has its share, without losing a packet (svc_placement=spread).

Nothing moves by itself because a node came back. This moves the fewest Services that bring all nodes within their
bounds, a few at a time. Their holders are asked by an annotation of their Leases, so the credentials need the right
to update those. The exit code is 0 where all was moved, 1 where something wasn't, 2 where the request makes no sense.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Collection
from pathlib import Path

import anyio

from kubevip.cli.waits import seconds
from kubevip.config import Kubernetes, Settings, kubeconfig_candidates
from kubevip.custody import Facts, Orders
from kubevip.errors import ConfigError, KubeVipError, LeaseConflict
from kubevip.kube.connect import connect
from kubevip.kube.leases import KubeLeases
from kubevip.kube.nodeleases import PREFIX
from kubevip.kube.spreadview import Survey, survey
from kubevip.model import LeaseKey, ServiceKey
from kubevip.placement import Move
from kubevip.ports import Api
from kubevip.spread.rebalancing import rebalance

# So many Services are on their way at once, and so often is looked whether they have arrived, in seconds.
AT_ONCE = 10
LOOK_EVERY = 0.5
_TRIES = 10
# No cluster has so many Services that their number is longer.
_DIGITS = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own flags."""
    parser.usage = "%(prog)s [--max-moves N] [--dry-run] [--why TARGET] [flag ...]"
    parser.add_argument("--max-moves", type=_count, metavar="N", help="move at most so many Services")
    parser.add_argument("--dry-run", action="store_true", help="tell what would move, and move nothing")
    parser.add_argument("--why", metavar="TARGET", help="only say why an address, or NAMESPACE/NAME, is where it is")
    parser.add_argument("--namespace", "-n", default="", metavar="NAMESPACE", help="of the Leases (cp_namespace)")
    parser.add_argument("--timeout", type=seconds, default=15.0, metavar="SECONDS", help="to wait for each move (15)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people, or for programs")
    parser.add_argument("--kubeconfig", metavar="FILE", help="credentials; otherwise as the agent finds them")


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:_DIGITS]!r}: write a number of Services, 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Ask and tell; see the module for the exit code."""
    try:
        return anyio.run(_run, arguments)
    except ConfigError as error:
        print(*(f"kubevip rebalance: {each}" for each in error.problems), sep="\n", file=sys.stderr)
        return 2
    except KubeVipError as error:
        print(f"kubevip rebalance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _run(arguments: argparse.Namespace) -> int:
    environ = dict(os.environ)
    if arguments.kubeconfig:
        environ["KUBECONFIG"] = arguments.kubeconfig
    file = Path(environ["k8s_config_file"]) if environ.get("k8s_config_file") else None
    settings = Settings(kubernetes=Kubernetes(config_file=file))
    namespace = arguments.namespace or environ.get("cp_namespace") or settings.control_plane.namespace
    async with await connect(kubeconfig_candidates(settings, environ)) as client:
        found = await survey(client, namespace)
        if not found.nodes:
            raise ConfigError([f"no node spreads Services: there is no Lease {PREFIX}* that is held in {namespace}"])
        if arguments.why:
            return _explain(found, arguments.why)
        moves = planned(found, arguments.max_moves)
        stuck = [] if arguments.dry_run else await carry_out(client, namespace, moves, arguments.timeout)
    _tell(arguments, found, moves, stuck)
    return 1 if stuck else 0


def planned(found: Survey, most: int | None) -> list[Move]:
    """Return the moves that are due."""
    holders = {found.items[key].key: node for key, node in found.holders.items()}
    return rebalance([found.items[key] for key in found.holders], found.nodes, holders, most=most)


def _explain(found: Survey, target: str) -> int:
    about = [key for key, item in found.items.items() if target == str(key) or target in map(str, item.addresses)]
    if not about:
        raise ConfigError([f"{target!r} is no address and no NAMESPACE/NAME of a Service that is spread"])
    for key in about:
        print(f"{key}: {found.why(key)}")
    return 0


async def carry_out(client: Api, namespace: str, moves: Collection[Move], within: float) -> list[Move]:
    """Have *moves* made, a few at a time; return those that weren't made *within* so many seconds."""
    stuck: list[Move] = []
    todo = list(moves)
    while todo:
        batch, todo = todo[:AT_ONCE], todo[AT_ONCE:]
        for source in sorted({move.source for move in batch}):
            await _order(client, namespace, source, [move for move in batch if move.source == source])
        stuck += await _wait_for(client, namespace, batch, within)
    for source in sorted({move.source for move in moves}):
        await _order(client, namespace, source, ())
    return stuck


async def _order(client: Api, namespace: str, node: str, moves: Collection[Move]) -> None:
    """Write into the Lease of *node* what it is to hand over; nothing takes back what was asked."""
    leases, lease = KubeLeases(client), LeaseKey(namespace, PREFIX + node)
    for attempt in range(_TRIES):
        record = await leases.read(lease)
        facts = Facts.parse(record.word) if record is not None else None
        if record is None or facts is None:
            return
        wanted = {ServiceKey.parse(move.item): move.target for move in moves}
        orders = str(Orders(facts.term, secrets.token_hex(4), wanted)) if wanted else ""
        try:
            await leases.ask(lease, orders, record)
        except LeaseConflict:
            if attempt == _TRIES - 1:
                raise
        else:
            return


async def _wait_for(client: Api, namespace: str, moves: Collection[Move], within: float) -> list[Move]:
    left = list(moves)
    with anyio.move_on_after(within):
        while left:
            await anyio.sleep(LOOK_EVERY)
            holders = (await survey(client, namespace)).holders
            left = [move for move in left if holders.get(ServiceKey.parse(move.item)) == move.source]
    return left


def _tell(arguments: argparse.Namespace, found: Survey, moves: Collection[Move], stuck: Collection[Move]) -> None:
    if arguments.output == "json":
        told = [
            {"service": move.item, "from": move.source, "to": move.target, "moved": _moved(arguments, move, stuck)}
            for move in moves
        ]
        print(json.dumps({"services": dict(found.loads), "moves": told}))
        return
    print("before: " + ", ".join(f"{node} {count}" for node, count in sorted(found.loads.items())))
    for move in moves:
        note = "" if arguments.dry_run else ": still there" if move in stuck else ": moved"
        print(f"{move.item} from {move.source} to {move.target}{note}")
    if not moves:
        print("all nodes are within their bounds")


def _moved(arguments: argparse.Namespace, move: Move, stuck: Collection[Move]) -> bool:
    return not arguments.dry_run and move not in stuck
