"""What is found about keys beside one another: pools that others hide, and settings for namespaces without a pool."""

import difflib
import re
from collections.abc import Iterator, Mapping

from kubevip.ipam.dialect import (
    CIDR,
    FALLBACK,
    GLOBAL,
    INTERFACE,
    PREFIXES,
    RANGE,
    SHARE,
    SOURCE,
    Pool,
    Pools,
)
from kubevip.ipam.findings import Finding, note, shorten, warning

KINDS = (CIDR, RANGE, SOURCE)
# strncpy() into IFNAMSIZ bytes: what the kernel takes for the name of an interface.
_INTERFACE = re.compile(r"[^\s/]{1,15}")


def split_key(key: str) -> tuple[str, str]:
    """Return the prefix and the scope of a key; empty texts for one that has none."""
    prefix = next((each for each in PREFIXES if key.startswith(each)), "")
    return prefix, key.removeprefix(prefix) if prefix else ""


def in_force(pools: Pools) -> dict[str, Pool]:
    """Return the pools that are ever asked, by their keys."""
    scopes = dict.fromkeys(split_key(key)[1] for key in pools.pools)
    return {pool.key: pool for scope in scopes for pool in pools.chain(scope)}


def check_scopes(pools: Pools, data: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is found about keys beside one another."""
    yield from _check_hidden(pools)
    yield from _check_lone_settings(pools)
    yield from _check_sharing(pools)
    yield from _check_fallback(pools)
    yield from _check_interfaces(pools)
    yield from _check_typos(data)


def _check_hidden(pools: Pools) -> Iterator[Finding]:
    used = in_force(pools)
    for key in pools.pools:
        _, scope = split_key(key)
        if key not in used:
            first = pools.chain(scope)[0].key
            yield warning(
                key,
                f'it is never used: {first} goes before it, and only with {FALLBACK}{scope}: "true" it would come next',
            )
    if CIDR + GLOBAL not in pools.pools:
        return
    for key in used:
        prefix, scope = split_key(key)
        if prefix == RANGE and scope != GLOBAL and CIDR + scope not in pools.pools:
            text = f"namespace {scope} is served from here; kube-vip-cloud-provider serves it from {CIDR}{GLOBAL}"
            yield note(key, text)


def _check_lone_settings(pools: Pools) -> Iterator[Finding]:
    scopes = sorted({split_key(key)[1] for key in pools.pools} - {GLOBAL})
    for prefix, values in _settings(pools):
        for scope in values:
            if scope != GLOBAL and not pools.chain(scope):
                near = difflib.get_close_matches(scope, scopes, n=1, cutoff=0.7)
                text = f"it has no effect: there is no pool for namespace {scope}"
                yield warning(prefix + scope, text, prefix + near[0] if near else "")


def _settings(pools: Pools) -> tuple[tuple[str, Mapping[str, object]], ...]:
    return (SHARE, pools.share), (INTERFACE, pools.interface), (FALLBACK, pools.fallback)


def _check_sharing(pools: Pools) -> Iterator[Finding]:
    for scope, shares in pools.share.items():
        served = _served(pools, scope)
        if shares and served and not any(pool.ipv4 or pool.source or pool.broken for pool in served.values()):
            yield warning(SHARE + scope, f"it has no effect: {_named(served)} has no IPv4 addresses to share")


def _check_fallback(pools: Pools) -> Iterator[Finding]:
    for scope, falls in pools.fallback.items():
        if falls and len(_served(pools, scope)) == 1:
            yield warning(FALLBACK + scope, f"it has no effect: {_named(_served(pools, scope))} is the only pool")


def _served(pools: Pools, scope: str) -> dict[str, Pool]:
    """Return the pools that a setting for *scope* is about: that of ``global`` is about those of all namespaces."""
    return in_force(pools) if scope == GLOBAL else {pool.key: pool for pool in pools.chain(scope)}


def _named(pools: Mapping[str, Pool]) -> str:
    return shorten(list(pools))


def _check_interfaces(pools: Pools) -> Iterator[Finding]:
    common = pools.interface.get(GLOBAL, "")
    for scope, name in pools.interface.items():
        if not name and scope != GLOBAL and common:
            yield warning(
                INTERFACE + scope, f"it is empty, so {INTERFACE}{GLOBAL}, {common}, doesn't count for {scope}"
            )
        elif name and not _INTERFACE.fullmatch(name):
            yield warning(
                INTERFACE + scope, "no interface has such a name: write at most 15 characters, without blanks"
            )


def _check_typos(data: Mapping[str, str]) -> Iterator[Finding]:
    for key in data:
        prefix, scope = split_key(key)
        if scope != GLOBAL and difflib.get_close_matches(scope, [GLOBAL], cutoff=0.8):
            yield warning(key, f"it is for the namespace {scope} alone", prefix + GLOBAL)
