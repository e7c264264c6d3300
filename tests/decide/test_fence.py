"""The fence against a model of the kernel."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubevip import fence

# net/ipv4/devinet.c and net/ipv6/addrconf.c: ADDRCONF_TIMER_FUZZ_MINUS, ADDRCONF_TIMER_FUZZ, ADDRCONF_TIMER_FUZZ_MAX.
SPARES, ROUNDS, APART = 0.02, 0.25, 1.0
# include/linux/timer.h: each level of the timer wheel is an eighth as fine as what it is for.
WHEEL = 1 / 8

lateness = st.one_of(st.just(WHEEL), st.floats(0, WHEEL))
before_the_end = st.lists(st.floats(-0.2, 2.5), max_size=3)


def removed_at(lifetime: float, *, phase: float, late: list[float], others: list[float]) -> float:
    """Put an address at 0 for *lifetime* seconds; return when the kernel removes it.

    At each of *others* another address is added on the node, which has lifetimes checked at once. *phase* is
    when the kernel's full seconds are, *late* how late its timers are, as a part of their length.
    """
    pending, turn, now = sorted(others), 0, 0.0
    while True:
        # The work: remove what is over, then plan the next check.
        if math.floor(now + SPARES) >= lifetime:
            return now
        due = lifetime
        full = math.ceil(due - phase) + phase
        due = full if full < due + ROUNDS else due
        due = max(due, now + APART)
        due = now + (due - now) * (1 + late[turn % len(late)])
        turn += 1
        while pending and pending[0] <= now:
            pending.pop(0)
        now = min(due, pending[0]) if pending else due


def shortest_rest(lifetime: int) -> float:
    """Return the shortest rest of a Lease that is given *lifetime*."""
    low, high = 0.0, 100.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if fence.lifetime(middle) >= lifetime else (middle, high)
    return high


@given(st.integers(1, 60), st.floats(0, 1), st.lists(lateness, min_size=1), before_the_end)
@settings(max_examples=1000)
def test_an_address_is_gone_within_the_rest_of_its_lease(
    lifetime: int, phase: float, late: list[float], before_the_end: list[float]
) -> None:
    others = [max(0.0, lifetime - before) for before in before_the_end if before > 1]
    assert removed_at(lifetime, phase=phase, late=late, others=others) <= shortest_rest(lifetime)


@given(st.integers(1, 60), st.floats(0, 1), st.lists(lateness, min_size=1), before_the_end)
@settings(max_examples=1000)
def test_what_else_ends_in_its_last_second_delays_it_by_no_more_than_is_said(
    lifetime: int, phase: float, late: list[float], before_the_end: list[float]
) -> None:
    others = [max(0.0, lifetime - before) for before in before_the_end]
    assert removed_at(lifetime, phase=phase, late=late, others=others) <= shortest_rest(lifetime) + fence.OVERDUE


@pytest.mark.parametrize("lifetime", range(1, 15))
@pytest.mark.parametrize("before_end", [0.021, 0.05, 0.1, 0.24, 0.26, 0.5, 0.9])
def test_the_worst_moments_for_a_check_delay_it_by_no_more_than_is_said(lifetime: int, before_end: float) -> None:
    gone = removed_at(lifetime, phase=0.0, late=[WHEEL], others=[lifetime - before_end])
    assert gone <= shortest_rest(lifetime) + fence.OVERDUE


def test_the_model_is_as_late_as_a_kernel_was_measured() -> None:
    # Another address ended 0.06 s before this one on Linux 6.18, and this one went 1.06 s late.
    assert removed_at(3, phase=0.5, late=[0.03], others=[2.97]) - 3 == pytest.approx(1.0, abs=0.06)


@given(st.floats(-100, 1.79))
def test_a_lease_that_is_about_to_end_is_not_worth_an_address(rest: float) -> None:
    assert fence.lifetime(rest) == 0


@pytest.mark.parametrize(
    ("rest", "lifetime"), [(3, 2), (4.7, 3), (4.9, 4), (5, 4), (9.99, 8), (14.96, 13), (15, 13), (60, 52)]
)
def test_lifetimes_of_usual_leases(rest: float, lifetime: int) -> None:
    assert fence.lifetime(rest) == lifetime


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_a_longer_rest_never_gives_a_shorter_lifetime(one: float, other: float) -> None:
    assert fence.lifetime(min(one, other)) <= fence.lifetime(max(one, other))


@given(st.integers(1, 60), st.floats(0, 1000))
def test_the_latest_start_is_the_one_at_which_the_lifetime_just_fits(lifetime: int, expires: float) -> None:
    start = fence.latest_start(lifetime, expires)
    assert fence.lifetime(expires - start + 1e-6) == lifetime
    assert fence.lifetime(expires - start - 1e-6) < lifetime


@given(st.floats(0, 5), st.floats(0, 1000))
def test_a_lifetime_that_begins_at_the_next_start_ends_as_late_as_it_may(rest: float, now: float) -> None:
    expires = now + rest
    start = fence.next_start(expires, now)
    if start == math.inf:
        assert fence.lifetime(rest - fence.SLACK) == 0
    else:
        assert now < start <= now + 1 + 1e-9
        assert start + fence.lifetime(expires - start) == pytest.approx(expires - fence.LATEST_CHECK - fence.SLACK)


@given(st.floats(2.2, 1000))
def test_no_more_than_an_eighth_and_two_seconds_are_given_away(rest: float) -> None:
    assert fence.lifetime(rest) >= rest / fence.WHEEL - 2.2
