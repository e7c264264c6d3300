"""What ``kubevip ipam`` found, as programs read it: mappings, lists, texts and numbers."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubevip.ipam import Pools
from kubevip.ipam.checking import Check
from kubevip.ipam.findings import Finding
from kubevip.provision.inventory import Inventory
from kubevip.provision.replan import Fate, Outcome


def write(document: Mapping[str, Any], form: str) -> None:
    """Print *document* as ``json`` or ``yaml``."""
    if form == "json":
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    import yaml  # here, because few ask for it

    yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True, width=10_000)


def findings_document(findings: Iterable[Finding], lines: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return findings; *line* and *nearest* are ``None`` where there is none."""
    return [
        {
            "severity": finding.grade.value,
            "key": finding.key,
            "line": lines.get(finding.key),
            "text": finding.text,
            "nearest": finding.nearest or None,
        }
        for finding in findings
    ]


def check_document(name: str, checked: Check, findings: Sequence[Finding], lines: Mapping[str, int]) -> dict[str, Any]:
    """Return what was found about a ConfigMap."""
    return {
        "name": name,
        "valid": not any(finding.is_error for finding in findings),
        "findings": findings_document(findings, lines),
        "pools": [
            {
                "key": size.key,
                "namespace": size.scope,
                "family": size.family and f"IPv{size.family.value}",
                "size": size.size,
                "use": size.use,
                "addresses": size.addresses.split(",") if size.addresses else [],
            }
            for size in checked.sizes
        ],
    }


def inventory_document(where: str, pools: Pools | None, found: Inventory, notices: Sequence[str]) -> dict[str, Any]:
    """Return who has what."""
    return {
        "configMap": where,
        "found": pools is not None,
        "findings": findings_document(map(Finding.of, pools.problems if pools else ()), {}),
        "pools": [
            {
                "key": each.pool,
                "family": f"IPv{each.family.value}",
                "size": each.size,
                "used": each.used,
                "free": each.free,
            }
            for each in found.usage
        ],
        "addresses": [
            {
                "address": str(each.address),
                "owner": each.owner,
                "origin": each.origin,
                "sharedWith": list(each.shared_with),
                "outside": each.outside,
            }
            for each in found.holdings
        ],
        "waiting": [{"service": str(key), "why": why} for key, why in found.waiting.items()],
        "notices": list(notices),
    }


def plan_document(
    where: str, findings: list[dict[str, Any]], fates: Sequence[Fate], notices: Sequence[str]
) -> dict[str, Any]:
    """Return what becomes of each Service."""
    counts = Counter(fate.outcome for fate in fates)
    return {
        "configMap": where,
        "findings": findings,
        "services": [
            {
                "service": str(fate.key),
                "outcome": fate.outcome.value,
                "before": list(map(str, fate.before)),
                "after": list(map(str, fate.after)),
                "origin": fate.origin or None,
                "why": fate.why or None,
            }
            for fate in fates
        ],
        "summary": {outcome.value: counts[outcome] for outcome in Outcome},
        "notices": list(notices),
    }
