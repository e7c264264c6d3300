"""Who uses which address: counted users, one governing Lease each, the control plane first."""

import ipaddress

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubevip.claims import CONTROL_PLANE, Changes, Claims, Fixed, User
from kubevip.model import IPAddress, LeaseKey, ServiceKey, Vip

CP, SVCS = LeaseKey("kube-system", "plndr-cp-lock"), LeaseKey("kube-system", "plndr-svcs-lock")
A, B, C = (ipaddress.ip_address(text) for text in ("10.0.0.1", "10.0.0.2", "fd00::1"))
WEB, DB = ServiceKey("default", "web"), ServiceKey("default", "db")


def vip(address: IPAddress, interface: str = "eth0") -> Vip:
    return Vip(address, interface)


def claims() -> Claims:
    return Claims(Fixed({A: CP}, SVCS))


def test_a_first_user_makes_an_address_wanted_by_the_services_lease() -> None:
    assert claims().claim(WEB, [vip(B)]) == Changes({vip(B): SVCS})


def test_the_last_user_makes_it_unwanted() -> None:
    known = claims()
    known.claim(WEB, [vip(B)])
    assert known.claim(WEB, []) == Changes(unwant=frozenset({vip(B)}))


def test_a_second_user_changes_nothing_and_keeps_it() -> None:
    known = claims()
    known.claim(WEB, [vip(B)])
    assert known.claim(DB, [vip(B)]) == Changes()
    assert known.claim(WEB, []) == Changes()
    assert known.users(B) == (DB,)


def test_an_address_of_the_control_plane_is_governed_by_its_lease_also_for_services() -> None:
    assert claims().claim(WEB, [vip(A)]) == Changes({vip(A): CP})


def test_without_a_services_election_only_governed_addresses_are_held() -> None:
    known = Claims(Fixed({A: CP}, None))
    assert known.claim(WEB, [vip(A), vip(B)]) == Changes({vip(A): CP})
    assert known.lease(B) is None


def test_the_control_plane_goes_before_services_on_another_interface() -> None:
    known = claims()
    known.claim(WEB, [vip(A, "eth1")])
    assert known.claim(CONTROL_PLANE, [vip(A)]) == Changes({vip(A): CP}, frozenset({vip(A, "eth1")}))
    assert known.held(A) == vip(A)


def test_among_services_the_first_one_decides_the_interface() -> None:
    known = claims()
    known.claim(WEB, [vip(B, "eth1")])
    assert known.claim(DB, [vip(B)]) == Changes()
    assert known.claim(WEB, []) == Changes({vip(B): SVCS}, frozenset({vip(B, "eth1")}))


def test_a_user_that_moves_an_address_moves_it() -> None:
    known = claims()
    known.claim(WEB, [vip(B)])
    assert known.claim(WEB, [vip(B, "eth1")]) == Changes({vip(B, "eth1"): SVCS}, frozenset({vip(B)}))


def test_claiming_the_same_again_changes_nothing() -> None:
    known = claims()
    known.claim(WEB, [vip(A), vip(B)])
    assert known.claim(WEB, [vip(B), vip(A)]) == Changes()


def test_one_who_claims_nothing_is_forgotten() -> None:
    known = claims()
    known.claim(WEB, [vip(B)])
    known.claim(WEB, [])
    assert known.of(WEB) == frozenset()
    assert known.users(B) == ()
    assert known.held(B) is None


@attrs.define
class Model:
    """The same by brute force: everyone's claims in their order, and all else worked out from them each time."""

    claimed: dict[User, dict[IPAddress, Vip]] = attrs.field(factory=dict)
    order: list[tuple[IPAddress, User]] = attrs.field(factory=list)

    def claim(self, user: User, vips: frozenset[Vip]) -> None:
        before, now = self.claimed.get(user, {}), {each.address: each for each in vips}
        for address in before.keys() | now.keys():
            if before.get(address) != now.get(address):
                self.order = [entry for entry in self.order if entry != (address, user)]
                if address in now:
                    self.order.append((address, user))
        self.claimed[user] = now

    def held(self) -> dict[IPAddress, Vip]:
        found: dict[IPAddress, Vip] = {}
        for address, user in sorted(self.order, key=lambda entry: entry[1] != CONTROL_PLANE):
            found.setdefault(address, self.claimed[user][address])
        return found


addresses = st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(["eth0", "eth1"]))
steps = st.lists(st.tuples(st.sampled_from([CONTROL_PLANE, WEB, DB]), addresses), max_size=12)
Steps = list[tuple[User, dict[IPAddress, str]]]


@given(steps)
def test_claims_are_what_the_model_says_after_every_step(taken: Steps) -> None:
    known, model = claims(), Model()
    wanted: dict[Vip, LeaseKey] = {}
    for user, places in taken:
        vips = frozenset(Vip(address, interface) for address, interface in places.items())
        changes = known.claim(user, vips)
        model.claim(user, vips)
        for gone in changes.unwant:
            del wanted[gone]
        assert not wanted.keys() & changes.want.keys()
        wanted |= changes.want
        held = model.held()
        assert {address: known.held(address) for address in (A, B, C) if known.held(address)} == held
        assert wanted == {each: CP if each.address == A else SVCS for each in held.values()}


@given(steps)
def test_nothing_is_left_when_everyone_has_let_go(taken: Steps) -> None:
    known = claims()
    for user, places in taken:
        known.claim(user, [Vip(address, interface) for address, interface in places.items()])
    for user in (CONTROL_PLANE, WEB, DB):
        known.claim(user, [])
    assert all(known.held(address) is None and known.users(address) == () for address in (A, B, C))


class Changing:
    """Whatever a test says."""

    def __init__(self, lease: LeaseKey | None) -> None:
        self.says = lease

    def lease(self, address: IPAddress) -> LeaseKey | None:
        return self.says

    def asks(self, key: ServiceKey, view: object, vips: object) -> tuple[IPAddress, ...]:
        return ()

    def objection(self, view: object) -> str:
        return ""


def test_another_lease_for_an_address_moves_it_without_letting_it_go() -> None:
    governance = Changing(SVCS)
    known = Claims(governance)
    known.claim(WEB, [vip(B)])
    governance.says = CP
    assert known.regovern([B]) == Changes({vip(B): CP})


def test_the_same_lease_again_is_no_change() -> None:
    known = claims()
    known.claim(WEB, [vip(B)])
    assert known.regovern([A, B, C]) == Changes()


def test_an_address_that_no_lease_governs_any_more_is_unwanted() -> None:
    governance = Changing(SVCS)
    known = Claims(governance)
    known.claim(WEB, [vip(B)])
    governance.says = None
    assert known.regovern([B]) == Changes(unwant=frozenset({vip(B)}))
