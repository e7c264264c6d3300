"""Figures, as rows of the table that the benchmark prints."""

import json
import statistics
from collections.abc import Sequence

import attrs


@attrs.frozen
class Figure:
    """One row: what was measured, what it has to reach, and what it is."""

    what: str
    asked: str
    measured: str


def spread(values: Sequence[float], unit: str, digits: int = 0) -> str:
    """Write the median, and the range of several values."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} {unit} ({low} to {high}, n={len(values)})"


def hand_over(figures: Sequence[Figure]) -> None:
    """Print figures for the program that runs all parts."""
    print(json.dumps([attrs.astuple(figure) for figure in figures]))


def table(figures: Sequence[Figure]) -> str:
    """Return the table."""
    rows = [("what", "asked", "measured"), *(attrs.astuple(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
