"""Giving up a Lease once, and leaving a free one to others for a while."""

import math

import attrs
import pytest

from kubevip.election import Cause, Read, Standing, Wait, Write
from kubevip.lease import RELEASED_DURATION, Claim, Record
from tests.decide.records import TIMING, candidate, record, saw, written
from tests.decide.world import World


def leader(now=100.0):
    """A candidate that has just taken the Lease, and the record that it left."""
    a = candidate()
    a.read(record("", 7, transitions=3), now)
    step = a.next(now)
    left = written(step.claim, 8, step.base)
    a.wrote(left, asked=now, now=now)
    return a, left


def test_a_leader_that_steps_down_releases_the_lease_with_its_next_step():
    a, left = leader()
    a.step_down()
    assert a.next(101) == Write(Claim("", RELEASED_DURATION, 4, fresh=True), left, Cause.RELEASE)


def test_it_leads_until_that_is_done():
    a, _left = leader()
    a.step_down()
    a.next(101)
    assert a.standing(101) is Standing.LEADING


def released(deference=0.0):
    a, left = leader()
    a.deference = lambda _record: deference
    a.step_down()
    step = a.next(101)
    a.wrote(written(step.claim, 9, left), asked=101, now=101.5)
    return a


def test_then_it_is_a_candidate_again():
    step = released().next(101.5)
    assert (step.cause, step.claim.transitions) == (Cause.VACANT, 5)


def test_it_waits_as_long_as_it_defers_from_the_release_on():
    a = released(deference=2.5)
    assert a.next(101.5) == Wait(104)
    assert a.next(104).cause is Cause.VACANT


def test_it_steps_down_once():
    a = released(deference=2.5)
    step = a.next(104)
    a.wrote(written(step.claim, 10, step.base), asked=104, now=104)
    assert isinstance(a.next(104), Wait)


def test_one_who_does_not_lead_goes_on_waiting():
    a = candidate()
    a.read(record("b", 7), 100)
    a.step_down()
    assert a.next(101) == Wait(115)
    assert a.next(115).cause is Cause.EXPIRED


def test_one_whose_write_is_on_its_way_gives_up_what_it_gets():
    a = candidate()
    a.read(record("", 7), 100)
    step = a.next(100)
    a.step_down()
    a.wrote(written(step.claim, 8, step.base), asked=100, now=100.1)
    assert a.next(100.1).cause is Cause.RELEASE


def test_one_that_has_heard_nothing_of_its_release_asks_before_it_tries_again():
    a, _left = leader()
    a.step_down()
    a.next(101)
    a.no_answer(101, 103)
    assert a.next(103) == Read()


def test_when_the_release_turns_out_to_have_happened_it_is_over():
    a, _left = leader()
    a.step_down()
    a.next(101)
    a.no_answer(101, 103)
    a.read(record("", 9, duration=1, transitions=4), 103)
    assert a.next(103).cause is Cause.VACANT


def test_a_lease_that_names_us_from_before_is_released_too():
    a = candidate()
    a.read(record("a", 7, transitions=4), 100)
    a.step_down()
    assert a.next(100).cause is Cause.RELEASE


def test_a_successor_that_is_seen_ends_it():
    a, _left = leader()
    a.step_down()
    saw(a, record("b", 9, transitions=5), 101)
    assert a.next(101) == Wait(116)


def test_who_has_resigned_stays_so():
    a = released()
    a.resign()
    assert a.resigned
    assert a.next(102) == Wait(math.inf)


@pytest.mark.parametrize(
    ("seen", "free", "cause"),
    [
        (None, 100, Cause.ABSENT),
        (record("", 7), 100, Cause.VACANT),
        (record("b", 7, duration=15), 115, Cause.EXPIRED),
    ],
)
def test_deference_counts_from_the_moment_that_others_may_take_the_lease(seen, free, cause):
    a = candidate()
    a.deference = lambda _record: 3.0
    a.read(seen, 100)
    assert a.next(100) == Wait(free + 3)
    assert a.next(free + 3).cause is cause


def test_it_counts_for_a_missed_holder_from_the_moment_that_it_was_missed():
    a = candidate()
    a.deference = lambda _record: 3.0
    a.read(record("b", 7), 100)
    for now in (101, 102):
        a.miss("b", now)
    assert a.next(102) == Wait(104)
    assert a.next(104).cause is Cause.MISSED


def test_endless_deference_never_takes():
    a = candidate()
    a.deference = lambda _record: math.inf
    a.read(None, 100)
    assert a.next(1e9) == Wait(math.inf)


def test_what_is_ours_is_taken_whatever_the_deference():
    a = candidate()
    a.deference = lambda _record: math.inf
    a.read(record("a", 7), 100)
    assert a.next(100).cause is Cause.OURS


def test_deference_is_asked_for_each_record():
    a = candidate()
    a.deference = lambda found: 1.0 if found is None else 2.0
    a.read(None, 100)
    assert a.next(100) == Wait(101)
    saw(a, record("", 7), 100.5)
    assert a.next(100.5) == Wait(102.5)


def test_a_request_in_the_lease_does_not_start_the_wait_again():
    a = candidate()
    a.read(record("b", 7, renewed="r"), 100)
    saw(a, attrs.evolve(record("b", 8, renewed="r"), request="please"), 110)
    assert a.next(114) == Wait(115)


def test_a_renewal_is_an_update_of_a_record_with_its_request():
    a, left = leader()
    asked: Record = attrs.evolve(left, version="9", request="please")
    saw(a, asked, 101)
    step = a.next(103)
    assert (step.cause, step.base) == (Cause.RENEWAL, asked)


class Leaving(World):
    """Who is about to hand over may be succeeded before it hears that its release has arrived."""

    def check(self):
        leaders = [
            node.name
            for node in self.nodes
            if node.candidate.leading(self.now + node.offset) and not node.candidate.stepping_down
        ]
        assert len(leaders) <= 1, f"seed {self.seed}: at {self.now:.3f} s {' and '.join(leaders)} lead"


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_never_two_lead_though_all_step_down_and_defer_at_random(first):
    for seed in range(first, first + 40):
        world = Leaving(seed, TIMING)
        for node in world.nodes:
            node.candidate.deference = lambda _record, world=world: world.chance.choice((0.0, 0.5, 4.0))
        world.trouble(200, edits=False)

        def step_down(world=world):
            node = world.chance.choice(world.nodes)
            node.candidate.step_down()
            world.soon(world.chance.choice((0.001, 0.02, 2, 100)), node.candidate.stay)

        for at in range(0, 200, 7):
            world.soon(at, step_down)
        world.run(200)


def test_somebody_leads_again_soon_after_the_last_one_has_stepped_down():
    world = Leaving(1, TIMING, faults=False)
    for turn in range(1, 20):
        world.run(20 * turn)
        for node in world.nodes:
            node.candidate.step_down()
            world.drive(node)
        world.run(20 * turn + 1)
        assert world.leader


def test_one_that_stays_in_time_goes_on_leading():
    a, _left = leader()
    a.step_down()
    a.stay()
    assert a.next(101) == Wait(102)


def test_one_that_stays_too_late_is_a_candidate():
    a, left = leader()
    a.step_down()
    step = a.next(101)
    a.stay()
    a.wrote(written(step.claim, 9, left), asked=101, now=101.5)
    assert a.next(101.5).cause is Cause.VACANT


def test_one_that_stays_while_nobody_knows_of_its_release_asks_first():
    a, left = leader()
    a.step_down()
    a.next(101)
    a.stay()
    a.no_answer(101, 103)
    assert a.next(103) == Read()
    a.read(left, 103.5)
    assert a.leading(103.5)
    assert a.next(103.5).cause is Cause.RENEWAL


def test_who_steps_down_goes_on_by_its_own_word_only_where_nobody_answers():
    a, _left = leader()
    a.step_down()
    a.next(101)
    assert a.overdue(103.5)
    a.lost_race(103.5)
    assert not a.overdue(103.5)
