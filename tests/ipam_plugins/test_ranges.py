"""The bundled source: it gives what the same text gives as a pool of the ConfigMap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.errors import NoFamily, NoPool, PoolExhausted
from kubevip.ipam import Allocator, FamilyPolicy, Request, read
from kubevip.model import Family
from kubevip.plugin import Capacity
from kubevip.ranges import Ranges
from kubevip.testing import run_virtual
from tests.ipam_plugins.ipams import ips


def ranges(text, key="source-web"):
    return Ranges(key, text, {})


def request(name="a", **wish):
    return Request(key=f"web/{name}", namespace="web", **wish)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "pool is not specified"),
        ("10.0.0.0/33", "a plain number from 0 to 32"),
        ("10.0.0.9-10.0.0.1", "runs backwards: write 10.0.0.1-10.0.0.9"),
        ("ten", r"write first-last, such as 10\.0\.0\.5-10\.0\.0\.9"),
    ],
)
def test_a_text_that_is_no_pool_is_refused(text, said):
    with pytest.raises(NoPool, match=said):
        ranges(text)


async def test_exhaustion_names_the_key_of_the_config_map():
    pool = ranges("10.0.0.1-10.0.0.1")
    await pool.allocate(request())
    with pytest.raises(PoolExhausted, match=r"no addresses available in source-web \[10\.0\.0\.1/32\]"):
        await pool.allocate(request("b"))


async def test_a_family_that_lacks_names_the_key_too():
    with pytest.raises(NoFamily, match="source-web has no IPv6 addresses"):
        await ranges("10.0.0.0/24").allocate(request(family=Family.IPV6))


async def test_a_key_keeps_its_address():
    pool = ranges("10.0.0.0/24")
    assert [await pool.allocate(request()) for _ in range(3)] == [ips("10.0.0.1")] * 3


async def test_a_family_is_added_to_the_one_that_is_there():
    pool = ranges("10.0.0.0/24,fd00::/120")
    await pool.allocate(request(family=Family.IPV4))
    wish = request(policy=FamilyPolicy.REQUIRE_DUAL, family=Family.IPV4)
    assert await pool.allocate(wish) == ips("10.0.0.1", "fd00::")


async def test_another_family_takes_the_place_of_the_one_that_is_there():
    pool = ranges("10.0.0.0/24,fd00::/120")
    await pool.allocate(request(family=Family.IPV4))
    assert await pool.allocate(request(family=Family.IPV6)) == ips("fd00::")
    assert await pool.allocate(request("b", family=Family.IPV4)) == ips("10.0.0.1")


async def test_what_is_adopted_is_given_to_nobody_else():
    pool = ranges("10.0.0.0/24")
    await pool.adopt("web/old", ips("10.0.0.1"))
    assert await pool.allocate(request()) == ips("10.0.0.2")
    assert await pool.allocate(request("old")) == ips("10.0.0.1")


async def test_an_address_of_an_earlier_pool_is_adopted_and_does_not_count():
    pool = ranges("10.0.0.0/24")
    await pool.adopt("web/old", ips("192.168.0.1"))
    assert await pool.capacity() == Capacity(254, 0)
    assert await pool.allocate(request("old")) == ips("192.168.0.1")


async def test_dhcp_is_asked_for_by_its_marker():
    assert await ranges("0.0.0.0/32").allocate(request()) == ips("0.0.0.0")


async def test_what_is_released_is_given_again():
    pool = ranges("10.0.0.1-10.0.0.1")
    await pool.allocate(request())
    await pool.release("web/a")
    await pool.release("web/never")
    assert await pool.allocate(request("b")) == ips("10.0.0.1")


@given(st.lists(st.tuples(st.sampled_from(["allocate", "release"]), st.integers(0, 9)), max_size=40))
def test_it_gives_what_a_pool_of_the_config_map_gives(history):
    async def play():
        pool, twin = ranges("10.0.0.1-10.0.0.5"), Allocator(read({"range-web": "10.0.0.1-10.0.0.5"}))
        for verb, number in history:
            wish = request(str(number))
            if verb == "release":
                await pool.release(wish.key)
                twin.release(wish.key)
            elif twin.addresses(wish.key) or len(twin) < 5:
                wanted = twin.addresses(wish.key) or twin.assign(wish).addresses
                assert await pool.allocate(wish) == wanted
            else:
                with pytest.raises(PoolExhausted):
                    await pool.allocate(wish)
            assert (await pool.capacity()).used == len(twin)

    run_virtual(play)
