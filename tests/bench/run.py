"""Measures what the project promises, and prints it beside what was asked.

``python tests/bench/run.py [NAME ...]`` runs all parts or those named. It needs root or unprivileged user
namespaces, some minutes, and an idle machine; absolute times are a machine's own.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, table

PARTS = {
    "start": "start to Lease, memory and processor time of an idle agent",
    "failover": "planned stop, kill -9, SIGSTOP, power-off",
    "frames": "leadership to first frame, for one address and for a thousand",
    "heartbeats": "what heartbeats cost, a thousand VIPs after a power-off, two minutes of load",
    "elections": "five hundred Services with a Lease each, for two minutes",
    "thousand": "a planned stop of the holder of a thousand Services",
    "scale": "five thousand Services, fifty agents: at rest, churn, restarts",
    "lost": "a node that shares Services with others loses its power, or its agent",
    "spread": "writes a second in spread mode, how even it is, what a lost node moves",
    "listing": "ten thousand Services listed and watched",
    "provider": "a thousand Services at once, alone and beside ten thousand; a restart",
    "bgp": "a route to BIRD, ten thousand of them, a node that is cut off",
    "endpoints": "the last endpoint of a Service goes: until a router forgets the route",
    "emulator": "Lease updates and fan-out of the built-in API server",
    "ipam": "assignments a second, memory of each, adoption of what is there",
}


def main() -> int:
    """Run the parts; return 1 if one of them could not be run."""
    names = sys.argv[1:] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    failed = False
    for name in names:
        print(f"{name}: {PARTS[name]} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        # In a process of its own: it enters namespaces, and its memory is measured.
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name(f"{name}.py")], stdout=subprocess.PIPE, check=False
        )
        failed = failed or done.returncode != 0
        if done.returncode == 0:
            figures += [Figure(*row) for row in json.loads(done.stdout.splitlines()[-1])]
        print(
            f"{name}: {'failed' if done.returncode else 'done'} after {time.monotonic() - began:.0f} s", file=sys.stderr
        )
    print(table(figures))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
