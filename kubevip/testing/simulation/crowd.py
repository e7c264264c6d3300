"""Runs many seeds, in several processes."""

import concurrent.futures
import gc
import logging
import multiprocessing
import os
from collections.abc import Iterable, Iterator

from kubevip.testing.simulation import repeatable
from kubevip.testing.simulation.scenario import SEEDS_CHOICE, Choice
from kubevip.testing.simulation.verdict import Verdict, judge_seed

# So many seeds go to a process at a time.
CHUNK = 8


def judge_all(seeds: Iterable[int], *, jobs: int, choice: Choice = SEEDS_CHOICE) -> Iterator[Verdict]:
    """Yield the verdict on each seed, as they come. With one job they run in this process."""
    if jobs == 1:
        begin()
        yield from (judge_seed(seed, choice) for seed in seeds)
        return
    os.environ[repeatable.VARIABLE] = repeatable.VALUE
    wanted = list(seeds)
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, initializer=begin)
    try:
        futures = [pool.submit(_judge_some, wanted[at : at + CHUNK], choice) for at in range(0, len(wanted), CHUNK)]
        for future in concurrent.futures.as_completed(futures):
            yield from future.result()
    finally:
        # Whoever has seen enough doesn't wait for the rest.
        pool.shutdown(cancel_futures=True)


def begin() -> None:
    """Get this process ready to run simulations and nothing else."""
    repeatable.settle_hashes()
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _judge_some(seeds: list[int], choice: Choice) -> list[Verdict]:
    return [judge_seed(seed, choice) for seed in seeds]
