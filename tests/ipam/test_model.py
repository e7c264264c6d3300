"""Random histories against an oracle that searches linearly: the same addresses, and none twice."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kubevip.errors import IpamError
from kubevip.ipam import Allocator, FamilyPolicy, Request, read
from kubevip.ipam.blocks import address_at
from kubevip.model import Family, IPAddress
from tests.ipam.asking import ip
from tests.ipam.oracle import MARKER, Config, Elements, Fails, Oracle

CIDRS = ("10.0.0.252/30", "10.0.1.0/30", "10.0.0.254/31", "10.0.1.1/32", "10.0.1.2/29", "fd00::/126", "fd00::3/127")
RANGES = ("10.0.0.253-10.0.1.2", "10.0.1.1-10.0.1.1", "10.0.1.2-10.0.1.4", "fd00::1-fd00::4", "fd00::2-fd00::2")
DHCP = "0.0.0.0/32"
UNIVERSE = [
    *(address_at(place) for place in range(int(ip("10.0.0.250")), int(ip("10.0.1.9")))),
    *(ip(f"fd00::{number:x}") for number in range(8)),
]
NAMES = (*(f"a/{number}" for number in range(5)), *(f"b/{number}" for number in range(4)), "c/1", "global/1")
NODES = ("node 1", "node 2")
HTTP, QUIC, HTTPS = (80, "TCP"), (443, "UDP"), (443, "TCP")
PORTS = tuple(map(frozenset, ([], [HTTP], [HTTP], [HTTPS], [HTTPS], [QUIC], [HTTP, HTTPS], [HTTPS, QUIC])))
SELECTORS = ((), (("app", "web"),), (("app", "db"),))
SCOPES = ("a", "b", "global")

elements = st.one_of(
    st.lists(st.sampled_from(CIDRS), min_size=1, max_size=3).map(tuple).map(Elements),
    st.lists(st.sampled_from(RANGES), min_size=1, max_size=3).map(tuple).map(Elements),
    st.sampled_from([Elements((DHCP,)), Elements((DHCP, "fd00::/126")), None]),
)
truths = st.dictionaries(st.sampled_from(SCOPES), st.booleans(), max_size=2)
configs = st.builds(
    Config,
    pools=st.dictionaries(
        st.sampled_from([f"{kind}-{scope}" for kind in ("cidr", "range") for scope in SCOPES]), elements, max_size=5
    ),
    share=st.one_of(st.just({"global": True}), truths),
    fallback=truths,
    descending=st.booleans(),
    skip_ends=st.booleans(),
    use_all=st.booleans(),
    cool_down=st.sampled_from([0, 0, 10]),
    reserved=st.frozensets(st.sampled_from(UNIVERSE), max_size=2),
)
some_addresses = st.lists(st.sampled_from([*UNIVERSE, MARKER, ip("::"), ip("192.168.0.1")]), max_size=3)


@st.composite
def some_request(draw: st.DrawFn) -> Request:
    key = draw(st.sampled_from(NAMES))
    return Request(
        key=key,
        namespace=key.partition("/")[0],
        policy=draw(st.sampled_from([FamilyPolicy.SINGLE, *FamilyPolicy])),
        family=draw(st.sampled_from([None, *Family])),
        ports=draw(st.sampled_from(PORTS)),
        local=draw(st.sampled_from([False, False, True])),
        selector=draw(st.sampled_from(SELECTORS)),
    )


class Histories(RuleBasedStateMachine):
    """The allocator and the oracle are told the same, and have to answer the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        # Which address two have who may not, because they had it before.
        self.contested: set[IPAddress] = set()

    @initialize(config=configs)
    def begin(self, config: Config) -> None:
        self.oracle = Oracle(config)
        self.known = Allocator(read(config.data()))

    # What happens

    @rule(request=some_request(), addresses=some_addresses)
    def adopt(self, request: Request, addresses: list[IPAddress]) -> None:
        found = self.known.adopt(request, addresses, now=self.now)
        wanted = self.oracle.adopt(request, addresses, self.now)
        assert {address: set(others) for address, others in found.items()} == wanted
        self.contested |= set(found)

    @rule(owner=st.sampled_from(NODES), addresses=some_addresses)
    def reserve(self, owner: str, addresses: list[IPAddress]) -> None:
        self.known.reserve(owner, addresses, now=self.now)
        self.contested |= set(self.oracle.adopt(Request(key=owner, namespace=""), addresses, self.now))

    @rule(request=some_request())
    def assign(self, request: Request) -> None:
        self.compare(request, [])

    @rule(request=some_request(), which=st.integers(0, 3), marked=st.booleans())
    def assign_beside_what_it_has(self, request: Request, which: int, marked: bool) -> None:
        keep = [address for bit, address in enumerate(self.known.addresses(request.key)) if not which >> bit & 1]
        if marked and not any(address.version == 4 for address in keep):
            keep.insert(0, MARKER)
        self.compare(request, keep)

    def compare(self, request: Request, keep: list[IPAddress]) -> None:
        before = self.known.addresses(request.key)
        try:
            pool, addresses, shared = self.oracle.assign(request, keep, self.now)
        except Fails:
            with pytest.raises(IpamError):
                self.known.assign(request, keep=keep, now=self.now)
            assert self.known.addresses(request.key) == before
            return
        made = self.known.assign(request, keep=keep, now=self.now)
        assert (made.key, made.addresses, made.pool, set(made.shared)) == (request.key, addresses, pool, shared)
        assert bool(made.without) <= (request.policy is FamilyPolicy.PREFER_DUAL)
        for address in set(made.addresses) - set(keep) - {MARKER}:
            assert address in self.oracle.config.usable(pool, Family.of(address))
        # What is kept stays, also where an edit of its ports has it collide with who shares it.
        self.contested |= set(made.addresses) & set(keep)

    @rule(key=st.sampled_from([*NAMES, *NODES]))
    def release(self, key: str) -> None:
        self.known.release(key, now=self.now)
        self.oracle.release(key, self.now)
        assert self.known.addresses(key) == ()

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(config=configs)
    def reconfigure(self, config: Config) -> None:
        self.start_again(config)

    @precondition(lambda self: self.oracle.has)
    @rule()
    def restart(self) -> None:
        self.start_again(self.oracle.config)

    def start_again(self, config: Config) -> None:
        before = self.oracle
        self.oracle, self.known, self.contested = Oracle(config), Allocator(read(config.data())), set()
        for key, addresses in before.has.items():
            self.adopt(before.requests[key], list(addresses))
        assert self.oracle.has == before.has

    # What is always so

    @invariant()
    def everybody_has_what_the_oracle_says(self) -> None:
        for key in (*NAMES, *NODES):
            assert self.known.addresses(key) == self.oracle.has.get(key, ())
        assert len(self.known) == len(self.oracle.has)

    @invariant()
    def nobody_has_what_another_one_has_unless_they_may_share_or_had_it_before(self) -> None:
        for address in UNIVERSE:
            holders = self.oracle.holders(address)
            if address not in self.oracle.cooling:
                assert set(self.known.holders(address)) == holders
            if address not in self.contested:
                assert self.oracle.may_share(address, [self.oracle.requests[key] for key in holders])
            elif not holders:
                self.contested.discard(address)

    @invariant()
    def statistics_add_up(self) -> None:
        config = self.oracle.config
        wanted = {}
        for key in config.pools:
            for family in Family:
                if config.part(key, family):
                    usable = config.usable(key, family)
                    used = [each for each in usable if self.oracle.holders(each) or each in self.oracle.cooling]
                    wanted[key, family] = (len(usable), len(used), len(usable) - len(used))
        found = {(each.pool, each.family): (each.size, each.used, each.free) for each in self.known.statistics()}
        assert found == wanted

    @invariant()
    def the_next_thaw_is_that_of_the_oracle(self) -> None:
        assert self.known.next_thaw() == min(self.oracle.cooling.values(), default=None)

    def teardown(self) -> None:
        """Release all: nothing is left in the account, and all pools give their first addresses."""
        if not hasattr(self, "known"):
            return
        for key in (*NAMES, *NODES):
            self.known.release(key, now=self.now)
        self.known.release("nobody", now=self.now + 1000)
        known = self.known
        assert not known._taken
        assert not known._places
        assert not known._cooling
        assert not known._sharing._places
        config = self.oracle.config
        for key, parts in known._parts.items():
            for family, free in parts.free.items():
                first = free.first()
                wanted = config.usable(key, family)[:1]
                assert ([] if first is None else [address_at(first)]) == wanted


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestHistories = Histories.TestCase
