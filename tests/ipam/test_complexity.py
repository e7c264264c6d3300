"""What it costs, counted in steps and not in time: the size of a pool doesn't matter, and a long history neither."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.ipam import Allocator, read
from kubevip.ipam.blocks import position
from kubevip.ipam.pool import FreeList
from tests.ipam.asking import HTTP, PREFER, blocks, ip, ips, sound, want


def steps(work: Callable[[], object]) -> int:
    """Count the lines of Python that *work* runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class Taken(set[int]):
    """Counts how often it is asked."""

    asked = 0

    def __contains__(self, place: object) -> bool:
        self.asked += 1
        return super().__contains__(place)


# The size of a pool

SMALL = {4: "10.0.0.4/30", 6: "fd00::4/126"}
LARGE = {4: ["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"], 6: ["fd00::/120", "fd00::/64", "::/0"]}
OTHERS = "10.0.0.5/32,10.200.0.0/24,fd00::5/128,fd00::ffff/128"


def works(text: str) -> dict[str, Callable[[], object]]:
    """Return everything that is done with a pool, each ready to run."""
    data = {"cidr-global": text, "reserved": "10.9.9.9,fd00::9:9:9"}
    found, family = blocks(text), 6 if ":" in text else 4
    known, unaware = Allocator(read(data)), Allocator(read(data))
    inside = ip({4: "10.0.0.6", 6: "fd00::6"}[family])
    sharing = sound(cidr_global=text, allow_share_global="true")
    return {
        "read": lambda: read(data),
        "size": lambda: found.size,
        "contains": lambda: position(inside) in found,
        "count": lambda: found.count([position(inside)]),
        "of": lambda: (found.of(4), found.of(6)),
        "without": lambda: found.without(blocks(OTHERS).blocks),
        "write": lambda: str(found),
        "begin": lambda: Allocator(known.pools),
        "first": lambda: FreeList(found, set()).first(),
        "first descending": lambda: FreeList(found, set(), descending=True).first(),
        "adopt": lambda: known.adopt(want("old"), [inside]),
        "assign": lambda: unaware.assign(want("a")),
        "assign, slowly": lambda: unaware.assign(want("b", policy=PREFER)),
        "assign, to share": lambda: sharing.assign(want("a", HTTP)),
        "release": lambda: known.release("default/old"),
        "statistics": lambda: known.statistics(),
        "pool_of": lambda: known.pool_of("default", [inside]),
    }


@pytest.mark.parametrize("work", list(works(SMALL[4])))
@pytest.mark.parametrize("family", [4, 6])
def test_a_large_pool_costs_no_more_than_a_small_one(family: int, work: str) -> None:
    small = steps(works(SMALL[family])[work])
    for text in LARGE[family]:
        # What is reserved may cut a large pool in two, and its first network may have an end to be spared.
        assert steps(works(text)[work]) <= 1.3 * small + 12, text


def test_steps_are_counted() -> None:
    def loop() -> None:
        for _ in range(1000):
            pass

    assert steps(loop) >= 1000


# The number of parts of a pool


def test_taking_parts_away_costs_as_much_as_there_are_parts() -> None:
    def work(parts: int) -> int:
        many = blocks(",".join(f"10.{part >> 6}.{4 * (part & 63)}.0/24" for part in range(parts)))
        others = blocks(",".join(f"10.{part >> 6}.{4 * (part & 63)}.9/32" for part in range(parts))).blocks
        return steps(lambda: many.without(others))

    assert work(1600) <= 5 * work(400)


# Long histories

PLACES = [position(ip(f"10.0.{third}.{last}")) for third in range(2) for last in range(256)]


@pytest.mark.parametrize("descending", [False, True])
@given(seed=st.integers(0, 2**32), busy=st.floats(0, 1))
def test_looking_for_a_free_address_is_paid_for_by_what_happened_since(
    descending: bool, seed: int, busy: float
) -> None:
    random_ = random.Random(seed)
    found, taken = blocks("10.0.0.3-10.0.0.90,10.0.1.7-10.0.1.20,10.0.1.200-10.0.1.207"), Taken()
    free = FreeList(found, taken, descending=descending)
    held: set[int] = set()
    for events in range(1, 301):
        what = random_.random()
        if what < 0.5 * busy + 0.2:
            place = free.first()
            if place is not None:
                assert place not in held
                held.add(place)
                taken.add(place)
        elif what < 0.7:
            # By another way: another pool, or adoption.
            place = random_.choice(PLACES)
            held.add(place)
            taken.add(place)
        elif held:
            place = random_.choice(sorted(held))
            held.remove(place)
            taken.remove(place)
            free.give_back(place)
        # A look asks about its answer, and once about what was taken since it was free; tidying asks about what came.
        assert taken.asked <= 3 * events
        assert len(free._freed) + len(free._sorted) <= 3 * found.size + 200


def test_an_exhausted_pool_is_known_to_be_one() -> None:
    found, taken = blocks("10.0.0.0/16"), Taken()
    free = FreeList(found, taken)
    for run in found.runs():
        taken.update(range(run.first, run.last + 1))
    assert free.first() is None
    taken.asked = 0
    assert [free.first() for _ in range(100)] == [None] * 100
    assert taken.asked == 0


def test_giving_back_thousands_costs_a_little_each() -> None:
    found, taken = blocks("10.0.0.0/16"), Taken()
    free = FreeList(found, taken)
    places = [place for run in found.runs() for place in range(run.first, run.last + 1)][:5000]
    taken.update(places)
    free.first()
    taken.asked = 0
    for place in places:
        taken.remove(place)
        free.give_back(place)
    assert taken.asked <= 2 * len(places)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_ten_thousandth_assignment_costs_as_much_as_the_tenth(order: str) -> None:
    known = sound(cidr_global="10.0.0.0/8", search_order=order)
    for number in range(10):
        known.assign(want(f"{number}"))
    early = steps(lambda: known.assign(want("early")))
    for number in range(10, 10_000):
        known.assign(want(f"{number}"))
    # A network's end may come between.
    assert steps(lambda: known.assign(want("late"))) <= early + 40


def test_requests_of_equal_ports_do_not_search_all_that_others_share() -> None:
    known = sound(cidr_global="10.0.0.0/8", allow_share_global="true")

    def assign(number: int) -> None:
        known.assign(want(f"{number}", HTTP, local=bool(number % 2), selector=(("app", f"{number}"),)))

    for number in range(10):
        assign(number)
    early = steps(lambda: assign(10))
    for number in range(11, 2000):
        assign(number)
    assert steps(lambda: assign(2000)) <= early + 40


def test_what_can_not_be_shared_is_searched_once() -> None:
    known = sound(cidr_global="10.0.0.0/16", allow_share_global="true")
    for number in range(500):
        known.assign(want(f"{number}"))
    for number in range(2):
        known.assign(want(f"http {number}", HTTP))
    assert steps(lambda: known.assign(want("one more", HTTP))) <= 200


def test_looking_at_a_service_again_costs_no_more_the_thousandth_time() -> None:
    known = sound(cidr_global="10.0.0.0/8", allow_share_global="true", cool_down="60")
    request = want("a", HTTP)
    known.assign(request)
    counts = [steps(lambda: known.adopt(request, ips("10.0.0.1"), now=1.0)) for _ in range(1000)]
    assert counts[-1] <= counts[1]
