"""Which heartbeats wait, and which are heard at once."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import attrs

from kubevip.filtering import ACCEPT, REJECT
from kubevip.heartbeat import Badge, Beat, Role, seal
from kubevip.model import LeaseKey
from kubevip.runtime.hearing import Ears, Hearing, every, ordinary, unusual
from kubevip.testing import FakeHost, Segment, virtual
from kubevip.testing.bpf import accepts

LEASE, OTHER = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
BADGE = Badge("a", 7, 0.1, bytes(range(32)))


def beat(lease: LeaseKey = LEASE, term: int = 7, sequence: int = 1) -> bytes:
    return seal(Beat(lease, "a", Role.HOLDER, term, sequence, 0.1), BADGE, bytes(6))


def test_a_heartbeat_of_the_present_term_is_ordinary() -> None:
    assert accepts(ordinary(LEASE, 7), beat())
    assert not accepts(unusual(LEASE, 7), beat())


def test_a_heartbeat_of_any_other_term_is_unusual() -> None:
    for term in (0, 6, 8, 2**32 - 1):
        assert not accepts(ordinary(LEASE, 7), beat(term=term))
        assert accepts(unusual(LEASE, 7), beat(term=term))


def test_heartbeats_for_another_lease_are_kept_back() -> None:
    for program in (ordinary(LEASE, 7), unusual(LEASE, 7)):
        assert not accepts(program, beat(OTHER))
        assert not accepts(program, beat(OTHER, term=8))


def test_noise_is_unusual() -> None:
    frame = beat()
    wrong_magic, wrong_version = frame[:14] + b"!" + frame[15:], frame[:18] + b"\x09" + frame[19:]
    for noise in (wrong_magic, wrong_version, frame[:40], frame[:14]):
        assert not accepts(ordinary(LEASE, 7), noise)
        assert accepts(unusual(LEASE, 7), noise)


def test_programs_end_in_a_verdict() -> None:
    for program in (ordinary(LEASE, 7), unusual(LEASE, 7)):
        assert {program[-1], program[-2]} == {ACCEPT, REJECT}


@attrs.define(eq=False)
class Room:
    """Somebody who hears, and somebody who speaks."""

    host: FakeHost
    speaker: FakeHost
    hearing: Hearing = attrs.field(init=False)
    heard: list[tuple[bytes, float]] = attrs.field(factory=list)

    async def say(self, frame: bytes) -> None:
        self.speaker.send("eth0", frame)
        await anyio.sleep(0.01)

    @property
    def frames(self) -> list[bytes]:
        return [frame for frame, _at in self.heard]


@contextlib.asynccontextmanager
async def room() -> AsyncIterator[Room]:
    segment = Segment()
    made = Room(FakeHost("a", segment), FakeHost("b", segment))
    made.hearing = Hearing(made.host, LEASE, lambda frame, at: made.heard.append((frame, at)))
    made.hearing.listen({"eth0"}, 7)
    yield made
    made.hearing.close()


@virtual
async def test_ordinary_heartbeats_wait_for_a_look_and_tell_when_they_came() -> None:
    async with room() as here:
        said = here.host.now()
        await here.say(beat())
        await anyio.sleep(0.05)
        assert not here.heard
        here.hearing.look()
        [(frame, at)] = here.heard
        assert frame == beat()
        assert said <= at < said + 0.01


@virtual
async def test_a_later_term_is_heard_at_once() -> None:
    async with room() as here:
        await here.say(beat(term=8))
        assert here.frames == [beat(term=8)]


@virtual
async def test_who_is_alert_hears_everything_at_once() -> None:
    async with room() as here:
        here.hearing.be_alert(True)
        await here.say(beat())
        assert here.frames == [beat()]
        here.hearing.be_alert(False)
        await here.say(beat(sequence=2))
        assert here.frames == [beat()]


@virtual
async def test_a_new_term_makes_its_own_heartbeats_the_ordinary_ones() -> None:
    async with room() as here:
        here.hearing.listen({"eth0"}, 8)
        await here.say(beat(term=8))
        assert not here.heard
        here.hearing.look()
        assert here.frames == [beat(term=8)]


@virtual
async def test_an_interface_that_comes_back_is_listened_to_again() -> None:
    async with room() as here:
        mac = here.host.link("eth0").mac
        here.host.links.remove("eth0")
        here.hearing.listen({"eth0"}, 7)
        here.host.links.add("eth0", mac=mac, networks=("10.0.0.11/24",))
        here.hearing.listen({"eth0"}, 7)
        await here.say(beat())
        here.hearing.look()
        assert here.frames == [beat()]


@virtual
async def test_nothing_is_heard_after_the_end() -> None:
    async with room() as here:
        here.hearing.be_alert(True)
        here.hearing.close()
        await here.say(beat())
        await here.say(beat(term=8))
        here.hearing.look()
        assert not here.heard


def test_ears_take_the_heartbeats_for_all_leases_and_of_all_versions() -> None:
    frame = beat()
    for heartbeat in (frame, beat(OTHER), beat(term=9), frame[:18] + b"\x09" + frame[19:]):
        assert accepts(every(), heartbeat)
    for noise in (frame[:14] + b"!" + frame[15:], frame[:40], frame[:14]):
        assert not accepts(every(), noise)


@virtual
async def test_ears_tell_by_which_link_a_frame_came() -> None:
    segment, heard = Segment(), list[tuple[bytes, str]]()
    ears = Ears(FakeHost("a", segment), lambda frame, link, _at: heard.append((frame, link)))
    speaker = FakeHost("b", segment)
    ears.listen({"eth0"})
    speaker.send("eth0", beat())
    await anyio.sleep(0.01)
    assert not heard
    ears.look()
    assert heard == [(beat(), "eth0")]
    ears.listen(set())
    speaker.send("eth0", beat(sequence=2))
    await anyio.sleep(0.01)
    ears.look()
    assert len(heard) == 1
