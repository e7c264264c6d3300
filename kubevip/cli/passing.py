"""Hands a single address over in spread mode, where no Lease governs it alone (for ``kubevip handover``)."""

import time

from kubevip.cli.rebalance import carry_out
from kubevip.errors import ConfigError
from kubevip.kube.nodeleases import PREFIX
from kubevip.kube.spreadview import Survey, is_spread, survey
from kubevip.model import IPAddress, LeaseKey, ServiceKey
from kubevip.placement import Move, settled
from kubevip.ports import Api
from kubevip.runtime.asking import Outcome, Result


async def pass_on(
    client: Api, namespace: str, address: IPAddress, to: str, within: float
) -> tuple[LeaseKey, Outcome] | None:
    """Have the holder of *address* hand it over to the node *to*, or to the one that should have it next.

    Return the Lease of the node that was asked, and what came of it; ``None`` where the address isn't spread.

    :raises ConfigError: if the node *to* can't have it.
    :raises ApiError: if the API server doesn't answer, or refuses.
    """
    if not await is_spread(client, namespace):
        return None
    found = await survey(client, namespace)
    key = next((key for key, item in found.items.items() if address in item.addresses and key in found.holders), None)
    if key is None:
        return None
    began, source = time.monotonic(), found.holders[key]
    target = _target(found, key, to)
    lease = LeaseKey(namespace, PREFIX + source)
    if target == source:
        return lease, Outcome(result=Result.ALREADY, before=source, holder=source)
    stuck = await carry_out(client, namespace, [Move(str(key), source, target)], within)
    holder = (await survey(client, namespace)).holders.get(key, "")
    seconds = time.monotonic() - began
    if stuck:
        why = f"{source} hasn't handed it over within {within:g} s"
        return lease, Outcome(result=Result.UNANSWERED, before=source, holder=holder, why=why, seconds=seconds)
    result = Result.MOVED if holder == target else Result.ELSEWHERE
    return lease, Outcome(result=result, before=source, holder=holder, seconds=seconds)


def _target(found: Survey, key: ServiceKey, to: str) -> str:
    item, holders = found.items[key], {found.items[each].key: node for each, node in found.holders.items()}
    placement = settled([found.items[each] for each in found.holders], found.nodes, holders)
    if not to:
        chosen = placement.choose(item, besides=(found.holders[key],))
        if chosen is None:
            raise ConfigError([f"no other node can have {key}: {found.why(key)}"])
        return chosen
    if to not in found.nodes:
        raise ConfigError([f"no agent spreads Services on {to!r}; there are: {', '.join(sorted(found.nodes))}"])
    if not placement.may_stay(item, to):
        able = ", ".join(sorted(node.name for node in placement.eligible(item)))
        raise ConfigError(
            [f"{to} can't have {key}, because of its links, its endpoints or its fitness; able are: {able}"]
        )
    return to
