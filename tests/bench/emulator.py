"""The built-in API server: Lease updates, fan-out. The same measurement as tests/emulator/bench_emulator.py prints."""

import asyncio
import statistics
import sys
from pathlib import Path

from figures import Figure, hand_over

# The measurement is that of the emulator's tests.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.emulator import bench_emulator as bench


async def measure() -> list[Figure]:
    """Run the parts of the other benchmark that have a figure to reach."""
    async with bench.server_process() as (url, _pid):
        rate = await bench.update_leases(url)
        delays = await bench.fan_out(url)
    late, usual = 1000 * bench.percentile(delays, 0.99), 1000 * statistics.median(delays)
    return [
        Figure("built-in API server: Lease updates a second", ">= 2,000", f"{rate:,.0f} /s"),
        Figure("built-in API server: fan-out to 20 watchers, p99", "<= 10 ms", f"{late:.1f} ms (median {usual:.1f})"),
    ]


if __name__ == "__main__":
    hand_over(asyncio.run(measure()))
