"""Plans: level-triggered, in a safe order, and never beyond a term."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from kubevip import fence
from kubevip.model import LeaseKey, Term, Vip
from kubevip.reconcile import Held, Hold, Plan, plan

LEASE = LeaseKey("kube-system", "lock")
VIPS = [Vip(ipaddress.ip_address(f"10.0.0.{number}"), "eth0") for number in range(1, 5)]
VIP = VIPS[0]


def term(until: float, expires: float | None = None) -> Term:
    return Term(LEASE, "a", 1, until=until, expires=until + 5 if expires is None else expires)


def test_what_is_wanted_and_not_held_is_put_and_announced() -> None:
    made = plan([VIP], desired={VIP: term(110, 115)}, held={}, now=100)
    assert made == Plan(hold=(Hold(VIP, 13, announce=True, until=fence.latest_start(13, 115)),))


def test_a_step_may_be_late_until_its_lifetime_does_not_fit_any_more_or_the_term_ends() -> None:
    (step,) = plan([VIP], desired={VIP: term(110, 115)}, held={}, now=100).hold
    assert 100 < step.until < 100.1
    (step,) = plan([VIP], desired={VIP: term(100.01, 115)}, held={}, now=100).hold
    assert step.until == 100.01


def test_a_kernel_that_takes_its_time_is_given_a_shorter_lifetime() -> None:
    (step,) = plan([VIP], desired={VIP: term(110, 115)}, held={}, lag=3, now=100).hold
    assert step.lifetime == fence.lifetime(12)
    assert step.until >= 103


def test_a_kernel_that_took_longer_than_a_lease_lasts_is_tried_nevertheless() -> None:
    (step,) = plan([VIP], desired={VIP: term(110, 115)}, held={}, lag=20, now=100).hold
    assert step.lifetime == 7
    assert step.until == fence.latest_start(7, 115)


def test_a_kernel_that_took_too_long_gets_the_shortest_lifetime_where_no_other_fits() -> None:
    (step,) = plan([VIP], desired={VIP: term(101, 102)}, held={}, lag=20, now=100).hold
    assert step.lifetime == 1
    assert plan([VIP], desired={VIP: term(101, 101.5)}, held={}, lag=20, now=100).hold == ()


def test_what_is_held_and_not_wanted_is_released() -> None:
    assert plan([VIP], desired={}, held={VIP: Held(VIP, 110, True)}, now=100) == Plan(release=(VIP,))


def test_what_is_held_long_enough_and_announced_is_left_alone() -> None:
    assert plan([VIP], desired={VIP: term(110, 115)}, held={VIP: Held(VIP, 113, True)}, now=100) == Plan()


def test_a_renewed_lease_extends_the_lifetime_without_a_new_announcement() -> None:
    made = plan([VIP], desired={VIP: term(112, 117)}, held={VIP: Held(VIP, 113, True)}, now=102)
    assert made == Plan(hold=(Hold(VIP, 13, announce=False, until=fence.latest_start(13, 117)),))


def test_a_lifetime_that_ends_after_the_lease_is_made_shorter() -> None:
    # Its holder led on by its own word, and then the answer to an earlier renewal came.
    made = plan([VIP], desired={VIP: term(110, 115)}, held={VIP: Held(VIP, 114.3, True)}, now=100)
    assert made == Plan(hold=(Hold(VIP, 13, announce=False, until=fence.latest_start(13, 115)),))


def test_an_address_that_is_not_announced_yet_is_announced_without_being_put_again() -> None:
    made = plan([VIP], desired={VIP: term(110, 115)}, held={VIP: Held(VIP, 113, False)}, now=100)
    assert made == Plan(hold=(Hold(VIP, None, announce=True, until=110),))


def test_an_address_that_is_gone_is_put_and_announced_again() -> None:
    made = plan([VIP], desired={VIP: term(110, 115)}, held={VIP: Held(VIP, None, False)}, now=100)
    assert made == Plan(hold=(Hold(VIP, 13, announce=True, until=fence.latest_start(13, 115)),))


def test_a_term_that_has_ended_holds_nothing() -> None:
    assert plan([VIP], desired={VIP: term(100, 115)}, held={}, now=100) == Plan()
    assert plan([VIP], desired={VIP: term(100, 115)}, held={VIP: Held(VIP, 113, True)}, now=100).release == (VIP,)


def test_a_lease_that_ends_at_once_is_not_worth_an_address() -> None:
    assert plan([VIP], desired={VIP: term(110, 101)}, held={}, now=100) == Plan()


def test_what_is_kept_for_a_successor_stays_as_it_is() -> None:
    assert plan([VIP], desired={}, held={VIP: Held(VIP, 110, False)}, keep=[VIP], now=100) == Plan()


def test_what_is_kept_for_a_successor_is_kept_for_as_long_as_its_last_term_allows() -> None:
    kept = {"desired": {}, "keep": [VIP], "last": {VIP: term(100, 105)}}
    for ends, held in ((103.0, 4), (103.91, None), (99.9, None), (None, None)):
        made = plan([VIP], held={VIP: Held(VIP, ends, False)}, now=100, **kept)
        assert [step.lifetime for step in made.hold] == ([held] if held else [])
        assert not any(step.announce for step in made.hold)


def test_what_will_be_handed_over_is_given_what_its_last_term_allows() -> None:
    held, desired = {VIP: Held(VIP, 112.8, True)}, {VIP: term(110, 115)}
    assert plan([VIP], desired=desired, held=held, now=100) == Plan()
    assert plan([VIP], desired=desired, held=held, last=desired, now=100).hold[0].lifetime == 13


def test_what_is_wanted_is_held_though_it_was_kept() -> None:
    made = plan([VIP], desired={VIP: term(110, 115)}, held={VIP: Held(VIP, 113, False)}, keep=[VIP], now=100)
    assert made == Plan(hold=(Hold(VIP, None, announce=True, until=110),))


def test_only_what_is_asked_for_is_looked_at() -> None:
    held = {vip: Held(vip, 110, True) for vip in VIPS}
    assert plan(VIPS[:2], desired={}, held=held, now=100).release == tuple(VIPS[:2])


NOW = 100.0
terms = st.builds(term, st.floats(NOW - 5, NOW + 20), st.floats(NOW - 5, NOW + 30))
helds = st.tuples(st.none() | st.floats(NOW - 5, NOW + 20), st.booleans())
worlds = st.tuples(
    st.dictionaries(st.sampled_from(VIPS), terms),
    st.dictionaries(st.sampled_from(VIPS), helds),
    st.frozensets(st.sampled_from(VIPS)),
)
World = tuple[dict[Vip, Term], dict[Vip, tuple[float | None, bool]], frozenset[Vip]]


def make(world: World, now: float = NOW) -> tuple[Plan, dict[Vip, Held]]:
    desired, parts, keep = world
    held = {vip: Held(vip, ends, announced) for vip, (ends, announced) in parts.items()}
    return plan(VIPS, desired=desired, held=held, keep=keep, now=now), held


def carried_out(made: Plan, held: dict[Vip, Held], now: float) -> dict[Vip, Held]:
    """What is held after a plan has been carried out."""
    after = {vip: known for vip, known in held.items() if vip not in made.release}
    for step in made.hold:
        before = after.get(step.vip, Held(step.vip, None, False))
        ends = before.ends if step.lifetime is None else now + step.lifetime
        after[step.vip] = Held(step.vip, ends, before.announced or step.announce)
    return after


@given(worlds)
def test_a_plan_that_was_carried_out_is_followed_by_an_empty_one(world: World) -> None:
    made, held = make(world)
    desired, _parts, keep = world
    assert plan(VIPS, desired=desired, held=carried_out(made, held, NOW), keep=keep, now=NOW) == Plan()


@given(worlds)
def test_nothing_is_both_released_and_held(world: World) -> None:
    made, _held = make(world)
    assert not {step.vip for step in made.hold} & set(made.release)


@given(worlds)
def test_nothing_is_held_without_a_term_or_beyond_its_end(world: World) -> None:
    made, _held = make(world)
    for step in made.hold:
        assert world[0][step.vip].until > NOW
        assert step.until <= world[0][step.vip].until


@given(worlds)
def test_no_lifetime_is_longer_than_the_fence_allows(world: World) -> None:
    made, _held = make(world)
    for step in made.hold:
        if step.lifetime is not None:
            assert 0 < step.lifetime <= fence.lifetime(world[0][step.vip].expires - NOW)
            assert step.until <= fence.latest_start(step.lifetime, world[0][step.vip].expires)


@given(worlds)
def test_only_what_is_held_is_released_and_nothing_that_is_kept(world: World) -> None:
    made, held = make(world)
    assert set(made.release) <= held.keys() - world[2]


@given(worlds, st.permutations(VIPS))
def test_a_plan_follows_the_order_that_it_was_asked_in(world: World, order: list[Vip]) -> None:
    desired, parts, keep = world
    held = {vip: Held(vip, ends, announced) for vip, (ends, announced) in parts.items()}
    made = plan(order, desired=desired, held=held, keep=keep, now=NOW)
    assert list(made.release) == [vip for vip in order if vip in made.release]
    assert [step.vip for step in made.hold] == [vip for vip in order if vip in {step.vip for step in made.hold}]


@given(worlds)
def test_a_plan_for_all_is_the_plans_for_each(world: World) -> None:
    desired, parts, keep = world
    held = {vip: Held(vip, ends, announced) for vip, (ends, announced) in parts.items()}
    each = [plan([vip], desired=desired, held=held, keep=keep, now=NOW) for vip in VIPS]
    made, _held = make(world)
    assert made.release == tuple(vip for one in each for vip in one.release)
    assert made.hold == tuple(step for one in each for step in one.hold)
