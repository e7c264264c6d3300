"""Ten thousand Services listed and watched, in a process that has loaded what the agent loads."""

import anyio

from kubevip.cli.agent import rarely_look_for_garbage
from kubevip.kube.lean import load_lean

if __name__ == "__main__":
    # Before anything else: as in the agent's process, and in no other.
    load_lean()
    from figures import hand_over
    from listing_parts import measure

    rarely_look_for_garbage()
    hand_over(anyio.run(measure))
