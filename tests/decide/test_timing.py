"""The times of an election: client-go's rules, and the beats in which a node renews."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.errors import ConfigError
from kubevip.lease import JITTER_FACTOR, Timing


def test_defaults_are_those_of_kube_vip_at_head() -> None:
    assert (Timing().duration, Timing().renew_deadline, Timing().retry_period) == (15, 10.0, 2.0)


def test_the_times_of_the_seed_are_right() -> None:
    assert Timing(duration=5, renew_deadline=3, retry_period=1).problems() == []


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((10, 10, 2), "renew deadline 10 s: it has to be below the lease duration of 10 s"),
        ((10, 11, 2), "renew deadline 11 s: it has to be below the lease duration of 10 s"),
        ((15, 2.4, 2), "renew deadline 2.4 s: it has to be above 1.2 times the retry period, here 2.4 s"),
        ((15, 10, 0), "retry period 0 s: it has to be above 0"),
        ((15, 10, -1), "retry period -1 s: it has to be above 0"),
        ((2, 1, 0.5), "lease duration 2 s: write whole seconds, 3 or more"),
        ((4.5, 3, 1), "lease duration 4.5 s: write whole seconds, 3 or more"),
    ],
)
def test_times_that_break_a_rule_are_refused_with_values_and_remedy(times: tuple[int, float, float], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Timing(duration=times[0], renew_deadline=times[1], retry_period=times[2])
    assert said in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Timing(duration=2, renew_deadline=5, retry_period=0)
    assert len(caught.value.problems) == 3


def test_two_attempts_fit_into_the_deadline() -> None:
    assert Timing(duration=15, renew_deadline=10, retry_period=2).attempt_timeout == 5


def test_an_attempt_has_at_least_the_retry_period() -> None:
    assert Timing(duration=15, renew_deadline=3, retry_period=2).attempt_timeout == 2


@given(st.floats(0, 1e9), st.floats(0.1, 60))
def test_a_beat_is_a_whole_multiple_and_comes_well_after_the_moment(moment: float, period: float) -> None:
    timing = Timing(duration=1000, renew_deadline=900, retry_period=period)
    beat = timing.beat_after(moment)
    assert beat / period == pytest.approx(round(beat / period), abs=1e-6)
    assert 0.1 - 1e-6 <= (beat - moment) / period <= 1.1 + 1e-6


@given(st.floats(0, 1e6), st.floats(0.1, 60))
def test_a_renewal_on_the_beat_comes_before_the_smallest_deadline(moment: float, period: float) -> None:
    timing = Timing(duration=1000, renew_deadline=JITTER_FACTOR * period + 0.001, retry_period=period)
    assert timing.beat_after(moment) < moment + timing.renew_deadline


def test_leases_taken_at_different_moments_are_renewed_in_step() -> None:
    timing = Timing(duration=15, renew_deadline=10, retry_period=2)
    assert timing.beat_after(100.3) == timing.beat_after(101.7) == 102
