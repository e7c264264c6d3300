"""Says what a person should know about a ConfigMap before it counts: what is wrong with it, and what it comes to.

The provider goes by such a ConfigMap nevertheless: what can't be used hurts the namespaces that it is for. Pure.
"""

import re
from collections.abc import Iterator, Mapping

import attrs

from kubevip.ipam.blocks import Blocks
from kubevip.ipam.dialect import CIDR, GLOBAL, RANGE, RESERVED, SHARE, SKIP_ENDS, USE_0_AND_255, Pool, Pools, read
from kubevip.ipam.findings import Finding, Grade, Surroundings, error, note, plural, shorten, warning
from kubevip.ipam.notation import sift_blocks
from kubevip.ipam.overlaps import MOST_PAIRS, find_overlaps
from kubevip.ipam.pool_checks import Subject, check_pool
from kubevip.ipam.scope_checks import check_scopes, in_force, split_key
from kubevip.model import Family

_GRADES = list(Grade)
_ALONE = Surroundings()


@attrs.frozen
class PoolSize:
    """One family of a pool: how many addresses it can give out, and which, before anybody has one.

    A pool that can't be used has no *family*. *use* says what the pool is there for.
    """

    key: str
    scope: str
    family: Family | None
    size: int
    addresses: str
    use: str


@attrs.frozen
class Check:
    """What was found, the worst first. *pools* are as the provider reads them."""

    pools: Pools
    findings: tuple[Finding, ...]
    sizes: tuple[PoolSize, ...]

    @property
    def is_right(self) -> bool:
        """Whether there is no error."""
        return not any(finding.is_error for finding in self.findings)


def check(data: Mapping[str, str], around: Surroundings = _ALONE) -> Check:
    """Check the data of a ConfigMap, as far as what is *around* it is known."""
    pools = read(data)
    found = set(map(_with_nearest, map(Finding.of, pools.problems)))
    if not pools.pools and not any(finding.is_error for finding in found):
        found.add(error("data", f"there is no pool in it: write one of {pools.wanted_keys('NAMESPACE')}"))
    found.update(_check_pools(pools, data, around))
    found.update(check_scopes(pools, data))
    findings = sorted(found, key=lambda finding: (_GRADES.index(finding.grade), finding.key, finding.text))
    return Check(pools, tuple(findings), tuple(_sizes(pools)))


def _with_nearest(finding: Finding) -> Finding:
    """Suggest a namespace for what can't be one."""
    prefix, scope = split_key(finding.key)
    if not prefix or finding.nearest or "can't be a namespace" not in finding.text:
        return finding
    better = re.sub(r"[^a-z0-9]+", "-", scope.lower()).strip("-")
    return attrs.evolve(finding, nearest=prefix + (better or GLOBAL))


def _check_pools(pools: Pools, data: Mapping[str, str], around: Surroundings) -> Iterator[Finding]:
    skip_ends, sparing = _is_true(data, SKIP_ENDS), not _is_true(data, USE_0_AND_255)
    for pool in pools.pools.values():
        if pool.source:
            yield note(pool.key, f"the IPAM {pool.source!r} gives its addresses, and isn't asked here")
        elif not pool.broken:
            yield from check_pool(Subject.of(pool, skip_ends=skip_ends, sparing=sparing), around)
    yield from _check_overlaps(pools)
    yield from _check_reserved(pools, data)
    if skip_ends and pools.pools and not any("/" in pool.text and not pool.source for pool in pools.pools.values()):
        yield warning(SKIP_ENDS, "it has no effect: no pool is written as CIDRs")


def _is_true(data: Mapping[str, str], key: str) -> bool:
    """Read a truth value as the ConfigMap's other ones are read."""
    return read({f"{SHARE}{GLOBAL}": data.get(key, "false")}).shares(GLOBAL)


def _check_overlaps(pools: Pools) -> Iterator[Finding]:
    used = in_force(pools)
    sets = {key: [block for family in Family for block in pool.of(family).blocks] for key, pool in used.items()}
    common, complete = find_overlaps(sets)
    for (one, other), blocks in common.items():
        # Those that nobody gives out don't matter.
        size = Blocks(blocks, used[one].ipv4.sparing).size
        if size:
            listed = shorten([str(block) for block in blocks])
            text = f"it has {plural(size, 'address', 'addresses')} in common with {other} ({listed})"
            yield warning(one, f"{text}: whichever is first gives each out, once")
    if not complete:
        yield warning("data", f"there are more overlaps of pools than the first {MOST_PAIRS:,}")


def _check_reserved(pools: Pools, data: Mapping[str, str]) -> Iterator[Finding]:
    if not data.get(RESERVED, "").strip() or not pools.pools:
        return
    blocks, _ = sift_blocks(data[RESERVED])
    written = read({key: text for key, text in data.items() if key.startswith((CIDR, RANGE))})
    given = [block for pool in written.pools.values() for family in Family for block in pool.of(family).blocks]
    common, complete = find_overlaps({"reserved": blocks, "given": given})
    inside = common.get(("reserved", "given"), ())
    outside = [str(block) for block in blocks if not any(block.overlaps(each) for each in inside)]
    if complete and outside:
        yield warning(RESERVED, f"no pool has {shorten(outside)}, so nothing has to be kept free there")


def _sizes(pools: Pools) -> Iterator[PoolSize]:
    used = in_force(pools)
    for pool in pools.pools.values():
        _, scope = split_key(pool.key)
        yield from _sizes_of(pool, scope, _use(pools, pool, scope) if pool.key in used else "never used")


def _use(pools: Pools, pool: Pool, scope: str) -> str:
    return "first choice" if pools.chain(scope)[0] == pool else "fallback"


def _sizes_of(pool: Pool, scope: str, use: str) -> Iterator[PoolSize]:
    if pool.broken:
        yield PoolSize(pool.key, scope, None, 0, "", "can't be used")
    elif pool.source:
        yield PoolSize(pool.key, scope, None, 0, f"by {pool.source}", use)
    if pool.dhcp:
        yield PoolSize(pool.key, scope, Family.IPV4, 0, "by DHCP", use)
    for family in Family:
        blocks = pool.of(family)
        if blocks:
            yield PoolSize(pool.key, scope, family, blocks.size, str(blocks), use)
