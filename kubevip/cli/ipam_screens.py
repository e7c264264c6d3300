"""What ``kubevip ipam`` found, as people read it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kubevip.cli.tables import Page, bar
from kubevip.ipam import Pools
from kubevip.ipam.checking import Check
from kubevip.ipam.findings import Finding, Grade, plural, readable, shorten
from kubevip.provision.inventory import Inventory
from kubevip.provision.replan import Fate, Outcome
from kubevip.provision.verdict import join

_OUTCOMES = {
    Outcome.LOSES: ("loses its address", "lose their address"),
    Outcome.CHANGES: ("changes its address", "change their address"),
    Outcome.OUTSIDE: ("is left outside of every pool", "are left outside of every pool"),
    Outcome.PENDING: ("stays without an address", "stay without an address"),
    Outcome.GETS: ("gets an address", "get an address"),
    Outcome.KEEPS: ("keeps what it has", "keep what they have"),
}
_WIDE = 100


def show_findings(page: Page, findings: Iterable[Finding], lines: Mapping[str, int]) -> None:
    """Write each finding, and where its key is."""
    for finding in findings:
        line = f" (line {lines[finding.key]})" if finding.key in lines else ""
        nearest = f"; did you mean {finding.nearest}?" if finding.nearest else ""
        page.finding(finding.grade, finding.key + line, finding.text + nearest)


def show_check(page: Page, name: str, checked: Check, findings: Sequence[Finding], lines: Mapping[str, int]) -> None:
    """Write what was found about a ConfigMap, and what its pools have."""
    page.line(name)
    show_findings(page, findings, lines)
    if checked.sizes:
        page.line()
        rows = [
            (
                size.key,
                "every other" if size.scope == "global" else size.scope,
                f"IPv{size.family.value}" if size.family else "",
                readable(size.size) if size.addresses and not size.addresses.startswith("by ") else "",
                size.use,
                shorten(size.addresses.split(","), most=6) if size.addresses else "-",
            )
            for size in checked.sizes
        ]
        page.table(("POOL", "NAMESPACE", "FAMILY", "SIZE", "USE", "ADDRESSES"), rows, right=("SIZE",))
    page.line()
    page.line(_counted(findings))


def _counted(findings: Sequence[Finding]) -> str:
    grades = Counter(finding.grade for finding in findings)
    told = [plural(grades[grade], grade.value, f"{grade.value}s") for grade in Grade if grades[grade]]
    return ", ".join(told) or "nothing is wrong"


def show_inventory(page: Page, where: str, pools: Pools | None, found: Inventory) -> None:
    """Write how full the pools are, who has what, and who waits."""
    if pools is None:
        page.line(f"There is no ConfigMap {where}, so there are no pools.")
    else:
        page.line(f"Pools of the ConfigMap {where}")
        show_findings(page, map(Finding.of, pools.problems), {})
        page.line()
        _show_usage(page, pools, found)
    page.line()
    _show_holdings(page, found)
    if found.waiting:
        page.line()
        page.line(f"{plural(len(found.waiting), 'Service waits', 'Services wait')} for an address")
        page.line()
        page.table(("SERVICE", "WHY"), [(str(key), why) for key, why in found.waiting.items()])


def _show_usage(page: Page, pools: Pools, found: Inventory) -> None:
    length = 10 if page.width and page.width < _WIDE else 20
    rows = [
        (
            each.pool,
            f"IPv{each.family.value}",
            bar(each.used, each.size, length),
            readable(each.used),
            readable(each.free),
            readable(each.size),
            "",
        )
        for each in found.usage
    ]
    for pool in pools.pools.values():
        if pool.broken:
            rows.append((pool.key, "", "", "", "", "", f"can't be used: {pool.broken}"))
        elif pool.source:
            rows.append((pool.key, "", "", "", "", "", f"the IPAM {pool.source!r}, which isn't asked here"))
        elif pool.dhcp:
            rows.append((pool.key, "IPv4", "", "", "", "", "by DHCP"))
    if not rows:
        page.line("  none")
        return
    head = ("POOL", "FAMILY", "IN USE", "USED", "FREE", "SIZE", "")
    page.table(head, sorted(rows), right=("USED", "FREE", "SIZE"))


def _show_holdings(page: Page, found: Inventory) -> None:
    page.line(f"{plural(len(found.holdings), 'address is', 'addresses are')} in use")
    if found.holdings:
        page.line()
        rows = [
            (
                str(each.address),
                each.owner,
                f"{each.origin}, in no pool" if each.outside else each.origin,
                shorten(each.shared_with, most=5) or "-",
            )
            for each in found.holdings
        ]
        page.table(("ADDRESS", "OWNER", "ORIGIN", "SHARED WITH"), rows)


def show_plan(page: Page, fates: Sequence[Fate]) -> None:
    """Write what becomes of each Service."""
    if not fates:
        page.line("There are no Services to give addresses to.")
        return
    rows = [(str(fate.key), fate.outcome.value, _change(fate), fate.origin or "-", fate.why or "-") for fate in fates]
    page.table(("SERVICE", "OUTCOME", "ADDRESS", "ORIGIN", "WHY"), rows)
    page.line()
    counts = Counter(fate.outcome for fate in fates)
    told = [f"{counts[each]:,} {_OUTCOMES[each][counts[each] != 1]}" for each in Outcome if counts[each]]
    page.line(f"{plural(len(fates), 'Service', 'Services')}: {', '.join(told)}")
    if counts[Outcome.OUTSIDE]:
        page.line(
            "An address outside of every pool stays with its Service, through restarts too; a Service that is deleted "
            "and created again gets another one."
        )


def _change(fate: Fate) -> str:
    before, after = join(fate.before) or "-", join(fate.after) or "-"
    return before if before == after else f"{before} -> {after}"
