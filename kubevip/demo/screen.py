"""What a person sees of the demo: a line for each turn, the state underneath while it moves, a table at the end."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

import anyio
import attrs

from kubevip.demo.scenario import CONTROL_PLANE_LEASE, SERVICES_LEASE, Report, Story

_REFRESH = 0.1
_CLEAR = "\r\x1b[2K"


@attrs.define(eq=False)
class Screen:
    """Writes to a terminal, or lines to a file."""

    _stream: TextIO = sys.stdout
    _began: float = attrs.field(factory=time.monotonic)

    def say(self, text: str) -> None:
        """Write a line."""
        self._wipe()
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=self._stream, flush=True)

    async def follow(self, story: Story) -> None:
        """Keep the state of things on the last line of a terminal, until cancelled."""
        if not self._stream.isatty():
            return
        try:
            while True:
                self._wipe()
                print(_state(story, self._colour), end="", file=self._stream, flush=True)
                await anyio.sleep(_REFRESH)
        finally:
            self._wipe()

    def table(self, report: Report) -> None:
        """Write what was measured."""
        rows = [("event", "from", "to", "outage", "probes lost", "two holders")]
        rows += [
            (
                event.event,
                event.source,
                event.target or "nobody",
                f"{event.gap_ms:,.1f} ms",
                f"{event.lost:,} of {event.sent:,}",
                f"{event.two_holders_ms:,.1f} ms",
            )
            for event in report.events
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print(file=self._stream)
        for row in rows:
            left = "  ".join(text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True))
            right = "  ".join(text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True))
            print(f"  {left}  {right}", file=self._stream)
        print(
            f"\n  an agent creates its Lease {report.startup_ms:.0f} ms after its start,"
            f" and idles with {report.rss_mib:.0f} MiB",
            file=self._stream,
        )

    def _wipe(self) -> None:
        if self._stream.isatty():
            print(_CLEAR, end="", file=self._stream)

    def _colour(self, text: str) -> str:
        return f"\x1b[32m{text}\x1b[0m"


def _state(story: Story, colour: Callable[[str], str]) -> str:
    holders = story.holders.holders
    nodes = "  ".join(colour(f"● {node}") if node in holders else f"○ {node}" for node in story.cluster.nodes)
    answer = story.probes.last_answer()
    now = time.monotonic()
    heard = "never answered"
    if answer is not None:
        silence = 1000 * (now - answer[0])
        late = f"silent for {silence:,.0f} ms" if silence > 20 else "answered"
        heard = f"{late} by {story.cluster.nodes[answer[1]]}" if silence <= 20 else late
    leases = (
        f"control plane: {story.cluster.holder(CONTROL_PLANE_LEASE) or '-'}"
        f"  Services: {story.cluster.holder(SERVICES_LEASE) or '-'}"
    )
    return f"          {nodes}   {story.address} {heard}   Leases  {leases}"
