"""Which nodes are heard where, and who is missed, where each node has a Lease of its own."""

import pytest

from kubevip.heartbeat import Badge, Beat, Role, Unreadable, seal
from kubevip.lease import Record
from kubevip.lookout import Lookout
from kubevip.model import LeaseKey

KEYS = {name: bytes([number]) * 32 for number, name in enumerate("abcdxyz")}


def lease(node: str) -> LeaseKey:
    return LeaseKey("kube-system", f"kubevip-node-{node}")


def badge(node: str, term: int = 1, key: bytes | None = None) -> Badge:
    return Badge(node, term, 0.1, key or KEYS[node])


def record(node: str, term: int = 1, key: bytes | None = None, holder: str | None = None) -> Record:
    return Record(node if holder is None else holder, 5, term, badge=str(badge(node, term, key)))


def frame(node: str, sequence: int, *, term: int = 1, key: bytes | None = None, sender: str | None = None) -> bytes:
    beat = Beat(lease(node), sender or node, Role.HOLDER, term, sequence, 0.1)
    return seal(beat, badge(node, term, key), bytes(6))


def fleet(names: str = "abcd", own: str = "b") -> Lookout:
    """Return what *own* knows who has just heard all others on eth0."""
    found = Lookout(own, lease)
    found.follow({name: record(name) for name in names}, 0.0)
    for name in names:
        if name != own:
            assert found.hear(frame(name, 1), "eth0", 0.0) == name
    return found


def test_a_node_that_was_heard_is_missed_after_so_many_of_its_intervals() -> None:
    found = fleet()
    assert not found.misses("a", 3, 0.3)
    assert found.misses("a", 3, 0.31)
    assert found.missed(3, 0.31) == ["a", "c", "d"]


def test_a_node_that_was_never_heard_in_its_term_is_not_missed() -> None:
    found = Lookout("b", lease)
    found.follow({"a": record("a")}, 0.0)
    assert not found.misses("a", 3, 100)
    assert found.deaf_to(100) == ["a"]


def test_a_heartbeat_is_heard_once_and_an_earlier_one_not_at_all() -> None:
    found = fleet()
    assert found.hear(frame("a", 3), "eth0", 1.0) == "a"
    assert found.hear(frame("a", 3), "eth0", 1.2) == ""
    assert found.hear(frame("a", 2), "eth0", 1.2) == ""
    assert found.misses("a", 3, 1.31)


def test_what_was_recorded_on_one_link_brings_nobody_back_on_another() -> None:
    found = fleet()
    for sequence in (2, 3):
        found.hear(frame("a", sequence), "eth0", 0.1 * sequence)
    for at in (1.0, 1.1, 1.2):
        assert found.hear(frame("a", 3), "eth1", at) == ""
        assert found.hear(frame("a", 2), "eth1", at) == ""
        assert not found.has_company("eth1", at, but="c")


def test_the_same_heartbeat_on_two_links_is_company_on_both() -> None:
    found = fleet()
    found.hear(frame("a", 2), "eth0", 1.0)
    assert not found.has_company("eth1", 1.0, but="c")
    found.hear(frame("a", 2), "eth1", 1.0)
    assert found.has_company("eth1", 1.2, but="c")
    assert found.has_company("eth0", 1.2, but="c")
    assert not found.has_company("eth1", 1.2, but="a")


def test_company_on_one_link_is_none_on_another() -> None:
    found = fleet()
    found.hear(frame("c", 2), "eth1", 1.0)
    assert found.has_company("eth1", 1.0, but="a")
    assert not found.has_company("eth0", 1.0, but="a")


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (frame("a", 9, key=KEYS["x"]), "its key is another one"),
        (frame("a", 9, term=0), "its key is another one"),
        (frame("a", 9, sender="c"), "its sender is not the node that has the Lease"),
        (b"short", "octets"),
    ],
)
def test_what_is_not_to_be_believed_is_refused(forged: bytes, why: str) -> None:
    found = fleet()
    with pytest.raises(Unreadable, match=why):
        found.hear(forged, "eth0", 1.0)
    assert found.misses("a", 3, 1.0)


def test_a_heartbeat_for_another_lease_is_passed_over() -> None:
    assert fleet().hear(frame("x", 1), "eth0", 1.0) == ""


def test_a_new_term_has_a_new_key_and_begins_unheard() -> None:
    found = fleet()
    found.follow({"a": record("a", 2, KEYS["x"])}, 1.0)
    assert not found.misses("a", 3, 5.0)
    with pytest.raises(Unreadable):
        found.hear(frame("a", 2), "eth0", 1.0)
    assert found.hear(frame("a", 1, term=2, key=KEYS["x"]), "eth0", 1.0) == "a"


@pytest.mark.parametrize("taken", [record("a", holder=""), record("a", holder="c"), Record("a", 5, 1)])
def test_a_lease_without_a_badge_of_its_holder_is_not_watched(taken: Record) -> None:
    found = fleet()
    found.follow({"a": taken}, 1.0)
    assert not found.misses("a", 3, 5.0)
    assert found.hear(frame("a", 2), "eth0", 1.0) == ""
    assert found.badge("a") == ""


def test_a_renewal_changes_nothing() -> None:
    found = fleet()
    found.follow({name: record(name) for name in "abcd"}, 0.2)
    assert found.misses("a", 3, 0.31)


def test_candidates_go_in_one_order_that_begins_behind_the_missing_node() -> None:
    orders = {}
    for own in "abd":
        found = fleet(own=own)
        for name in "abd":
            if name != own:
                found.hear(frame(name, 2), "eth0", 1.0)
        orders[own] = found.rank("c", 1.0)
    assert orders == {"d": 0, "a": 1, "b": 2}


def test_who_is_not_heard_has_no_turn() -> None:
    found = fleet(own="b")
    found.hear(frame("d", 2), "eth0", 1.0)
    assert found.rank("c", 1.0) == 1
    assert found.rank("c", 2.0) == 0


def test_alone_is_who_has_heard_somebody_and_hears_nobody() -> None:
    found = fleet()
    assert not found.is_alone(0.3)
    assert found.is_alone(0.31)
    found.hear(frame("d", 2), "eth0", 0.4)
    assert not found.is_alone(0.5)
    assert not Lookout("b", lease).is_alone(5.0)


def test_who_has_stood_still_itself_misses_nobody_for_that() -> None:
    found = fleet()
    found.excuse(5.0)
    assert found.missed(3, 5.3) == []
    assert found.missed(3, 5.31) == ["a", "c", "d"]


def test_who_was_heard_last_on_some_links_and_on_no_other_is_known() -> None:
    found = fleet()
    assert found.hear(frame("c", 2), "eth0", 0.1) == "c"
    assert found.hear(frame("c", 2), "eth1", 0.1) == ""
    assert found.heard_by(["eth0"]) == {"a", "d"}
    assert found.heard_by(["eth0", "eth1"]) == {"a", "c", "d"}
    assert found.heard_by(["eth1"]) == set()


def test_who_was_heard_on_another_link_long_ago_is_known_by_the_last_one() -> None:
    found = fleet()
    assert found.hear(frame("c", 2), "eth1", 0.1) == "c"
    assert found.hear(frame("c", 9), "eth0", 2.0) == "c"
    assert "c" in found.heard_by(["eth0"])


def test_who_is_excused_is_missed_later_and_is_no_company() -> None:
    found = fleet()
    found.excuse_some(["a"], 1.0)
    assert found.missed(3, 1.0) == ["c", "d"]
    assert found.missed(3, 1.31) == ["a", "c", "d"]
    assert not found.has_company("eth0", 1.0, but="d")
