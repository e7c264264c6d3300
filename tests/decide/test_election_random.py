"""Elections under arbitrary faults: never two leaders, and one again soon after the faults have ended.

A failure names its seed; the same seed is the same run.
"""

import attrs
import pytest

from kubevip.election import Candidate, Write
from kubevip.lease import Record, Timing
from tests.decide.world import Violation, World

SEED_5_3_1 = Timing(duration=5, renew_deadline=3, retry_period=1)
DEFAULT = Timing()
FAULTS_FOR = 200.0


def run_with_faults(seed: int, timing: Timing = SEED_5_3_1, **how: object) -> World:
    world = World(seed, timing, **how)
    world.trouble(FAULTS_FOR, edits=seed % 3 == 0)
    world.run(FAULTS_FOR)
    return world


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_never_two_lead_whatever_gets_lost_late_or_stopped(first: int) -> None:
    for seed in range(first, first + 50):
        run_with_faults(seed)


def test_never_two_lead_with_the_default_times() -> None:
    for seed in range(1000, 1060):
        run_with_faults(seed, DEFAULT)


@pytest.mark.parametrize("timing", [SEED_5_3_1, DEFAULT])
def test_somebody_leads_soon_after_the_faults_and_goes_on(timing: Timing) -> None:
    for seed in range(2000, 2100):
        world = run_with_faults(seed, timing)
        world.faults = False
        for node in world.nodes:
            world.resume(node)
        # What is late arrives, whoever waits for it gives up and pauses, and a Lease that nobody renews expires.
        settled = FAULTS_FOR + 20 + timing.attempt_timeout + 2.2 * timing.retry_period + timing.duration
        world.run(settled)
        leader = world.leader
        assert leader, f"seed {seed}: nobody leads"
        for second in range(60):
            world.run(settled + second)
            assert world.leader == leader, f"seed {seed}: {leader} doesn't go on leading"


def test_without_faults_one_leads_at_once_and_for_ever() -> None:
    world = World(0, DEFAULT, faults=False)
    world.run(1)
    leader = world.leader
    assert leader
    for second in range(2, 600, 10):
        world.run(second)
        assert world.leader == leader


def test_the_lease_of_a_leader_that_stops_is_taken_after_its_duration() -> None:
    world = World(0, DEFAULT, faults=False)
    world.run(10)
    leader = next(node for node in world.nodes if node.name == world.leader)
    leader.paused = True
    last = world.written_at
    for after in (DEFAULT.renew_deadline, DEFAULT.duration):
        world.run(last + after)
        assert world.leader == ""
    world.run(last + DEFAULT.duration + 0.1)
    assert world.leader not in ("", leader.name)


def test_the_same_seed_is_the_same_run() -> None:
    ends = {(world.now, world.version, world.leader) for world in (run_with_faults(7), run_with_faults(7))}
    assert len(ends) == 1


# The simulation is worth something only if it finds what is wrong: each of these mistakes has to be found.


def run_many(**how: object) -> None:
    for seed in range(200):
        run_with_faults(seed, **how)


class DeadlineFromTheAnswer(Candidate):
    def wrote(self, record: Record, asked: float, now: float) -> None:
        super().wrote(record, now, now)


class CountsTheWaitFromTheLastRenewalItWrote(Candidate):
    def read(self, record: Record | None, now: float) -> None:
        super().read(record, now)
        self._observed_at -= self.timing.duration


class ForgetsToCount(Candidate):
    def _claim(self, cause: object) -> Write:
        write = super()._claim(cause)
        return attrs.evolve(write, claim=attrs.evolve(write.claim, transitions=0))


class GoesOnUntilTheLeaseExpires(Candidate):
    def leading(self, now: float) -> bool:
        return self._granted is not None and now < self._granted + self.timing.duration + 0.5


class BelievesALateAnswer(Candidate):
    def wrote(self, record: Record, asked: float, now: float) -> None:
        self._version = ""
        super().wrote(record, asked, now)


class DoesNotLookAtTheHolder(Candidate):
    def _ours(self, record: Record) -> bool:
        return self._granted is not None or super()._ours(record)


@pytest.mark.parametrize(
    "mistake",
    [
        DeadlineFromTheAnswer,
        CountsTheWaitFromTheLastRenewalItWrote,
        ForgetsToCount,
        GoesOnUntilTheLeaseExpires,
        BelievesALateAnswer,
        DoesNotLookAtTheHolder,
    ],
)
def test_mistakes_are_found(mistake: type[Candidate]) -> None:
    with pytest.raises(Violation):
        run_many(kind=mistake)


def test_a_store_that_does_not_compare_is_found() -> None:
    with pytest.raises(Violation):
        run_many(swaps_blindly=True)
