"""What the events of a contest cost each contestant: medians and ranges, as a table and as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Self

import attrs

from kubevip.demo.record import Outcome


@attrs.frozen
class Range:
    """The median of several values, and between what they are."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))


@attrs.frozen
class Outages:
    """What all runs of one event cost: times in milliseconds, and lost probes."""

    runs: int
    gap_ms: Range
    lost: Range
    two_holders_ms: Range

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        return cls(
            len(outcomes),
            Range.of([each.gap_ms for each in outcomes]),
            Range.of([each.lost for each in outcomes]),
            Range.of([each.two_holders_ms for each in outcomes]),
        )


# By the name of the contestant, then by that of the event.
Results = Mapping[str, Mapping[str, Outages]]


def summary(found: Mapping[str, Sequence[Outcome]]) -> dict[str, Outages]:
    """Return what each event cost one contestant."""
    return {event: Outages.of(outcomes) for event, outcomes in found.items()}


def table(results: Results, events: Sequence[str]) -> str:
    """Return the outage of each event and contestant as text; in brackets, ms with two holders."""
    names = list(results)
    rows = [("median outage, ms (with two holders)", *names)]
    for event in events:
        cells = []
        for name in names:
            outages = results[name][event]
            cells.append(f"{outages.gap_ms.median:,.0f} ({outages.two_holders_ms.median:,.0f})")
        rows.append((event, *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def as_json(results: Results) -> str:
    """Return the same as JSON, with the ranges."""
    plain = {
        name: {event: attrs.asdict(outages) for event, outages in events.items()} for name, events in results.items()
    }
    return json.dumps(plain, indent=1)
