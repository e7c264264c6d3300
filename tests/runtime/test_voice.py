"""When others may have missed a holder, by what it knows itself."""

import anyio
import pytest

from kubevip.runtime.voice import Voice, answer_within
from kubevip.testing import virtual
from tests.runtime.sites import now


@virtual
async def test_who_never_spoke_can_not_be_missed() -> None:
    voice = Voice()
    voice.cut()
    assert voice.unmissed_until == float("inf")


@virtual
async def test_a_holder_is_unmissed_until_shortly_before_three_heartbeats_are_missing() -> None:
    voice = Voice()
    voice.spoke(0.1)
    assert 0.25 < voice.unmissed_until - now() < 0.3 - answer_within(0.1)


@virtual
async def test_what_was_said_just_before_the_link_was_known_to_be_down_does_not_count() -> None:
    voice = Voice()
    voice.spoke(0.1)
    before = voice.unmissed_until
    await anyio.sleep(0.02)
    voice.cut()
    assert voice.unmissed_until == pytest.approx(before - 0.1)


@virtual
async def test_what_was_said_some_time_before_counts() -> None:
    voice = Voice()
    voice.spoke(0.1)
    before = voice.unmissed_until
    await anyio.sleep(0.05)
    voice.cut()
    assert voice.unmissed_until == before


@virtual
async def test_a_link_that_is_said_to_be_down_twice_is_down_once() -> None:
    voice = Voice()
    voice.spoke(0.1)
    before = voice.unmissed_until
    voice.cut()
    voice.cut()
    assert voice.unmissed_until == pytest.approx(before - 0.1)


@virtual
async def test_in_another_term_nobody_was_heard_yet() -> None:
    voice = Voice()
    voice.spoke(0.1)
    voice.begin()
    assert voice.unmissed_until == float("inf")


def test_a_link_that_was_down_for_a_moment_is_told_once() -> None:
    spoken = []
    voice = Voice(lambda: spoken.append(True))

    async def down_and_up() -> None:
        voice.cut()
        voice.mend()

    virtual(down_and_up)()
    assert spoken == [True]
    assert (voice.could_hear(), voice.could_hear()) == (False, True)


@virtual
async def test_while_a_link_is_down_nobody_is_heard() -> None:
    voice = Voice()
    voice.cut()
    assert (voice.could_hear(), voice.could_hear(), voice.is_cut) == (False, False, True)
