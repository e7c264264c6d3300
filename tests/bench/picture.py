"""A picture of the outages: for each event a bar for each contestant, on a logarithmic scale."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from outages import Results

WIDTH, LABEL, BAR, GAP, HEAD = 860, 150, 15, 14, 46
# Nothing is watched for longer than 20 s.
FLOOR, CEILING = 1.0, 20_000.0
OURS, OTHERS = ("#0b5394", "#3d85c6", "#9fc5e8"), ("#783f04", "#b45f06", "#f6b26b")


def bars(results: Results, events: Sequence[str]) -> str:
    """Return an SVG: the median outage, and hatched red the time with two holders."""
    names = list(results)
    group = len(names) * BAR + GAP
    height = HEAD + len(events) * group + 40
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
    )
    parts = [head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    colours = _colours(names)
    parts += _legend(colours)
    parts += _scale(height)
    for row, event in enumerate(events):
        top = HEAD + row * group
        parts.append(f'<text x="{LABEL - 8}" y="{top + group / 2}" text-anchor="end">{escape(event)}</text>')
        for at, name in enumerate(names):
            outages = results[name][event]
            outage, two = outages.gap_ms.median, outages.two_holders_ms.median
            parts += _bar(top + at * BAR, outage, two, colours[name])
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each, one kind for us and another one for others."""
    ours, others = iter(OURS), iter(OTHERS)
    return {name: next(ours if name.startswith("kubevip") else others) for name in names}


def _legend(colours: Mapping[str, str]) -> Iterator[str]:
    step = (WIDTH - 20) / len(colours)
    for at, name in enumerate(colours):
        x = 10 + at * step
        yield f'<rect x="{x:.0f}" y="10" width="11" height="11" fill="{colours[name]}"/>'
        yield f'<text x="{x + 15:.0f}" y="20" font-size="11">{escape(name)}</text>'


def _scale(height: int) -> Iterator[str]:
    for power in range(5):
        x = _x(10**power)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD - 8}" y2="{height - 34}" stroke="#ddd"/>'
        label = f"{10**power:,} ms"
        yield f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle" fill="#555">{label}</text>'
    yield (
        f'<text x="{WIDTH - 10}" y="{height - 4}" text-anchor="end" fill="#555" font-size="11">'
        "median outage for a client that probes each ms; in red: longer than 100 ms with two holders</text>"
    )


def _bar(top: int, outage: float, two: float, fill: str) -> Iterator[str]:
    width = _x(max(outage, FLOOR)) - LABEL
    yield f'<rect x="{LABEL}" y="{top}" width="{max(width, 1):.1f}" height="{BAR - 3}" fill="{fill}"/>'
    text = f"{outage:,.0f}" + (f", two holders {two:,.0f}" if two > 100 else "")
    colour = "#c00" if two > 100 else "#222"
    x = LABEL + max(width, 1) + 4
    yield f'<text x="{x:.1f}" y="{top + BAR - 5}" font-size="10" fill="{colour}">{text}</text>'


def _x(value: float) -> float:
    part = math.log10(min(max(value, FLOOR), CEILING) / FLOOR) / math.log10(CEILING / FLOOR)
    return LABEL + part * (WIDTH - LABEL - 110)
