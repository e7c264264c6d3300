"""What is told of routers in Events of the Node: what is new, and once."""

import attrs

from kubevip.backend import Peering
from kubevip.controllers.peers import NodeTeller, Peers
from kubevip.model import ObjectKey

DOWN = Peering(peer="10.0.0.9:179", state="Idle", established=False)
REFUSED = attrs.evolve(DOWN, reason="the peer says: OPEN Message Error: Bad Peer AS (2/2)")
UP = attrs.evolve(DOWN, state="Established", established=True)


class Noted:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.about: set[tuple[ObjectKey, str, str]] = set()

    def normal(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str) -> None:
        self._note("Normal", key, uid, reason, message, kind)

    def warning(self, key: ObjectKey, uid: str, reason: str, message: str, *, kind: str) -> None:
        self._note("Warning", key, uid, reason, message, kind)

    def _note(self, level: str, key: ObjectKey, uid: str, reason: str, message: str, kind: str) -> None:
        self.told.append((level, reason, message))
        self.about.add((key, uid, kind))


def looked_at(*seen: Peering) -> Noted:
    now: list[Peering] = []
    noted = Noted()
    peers = Peers(lambda: now, NodeTeller("node1", noted))
    for each in seen:
        now[:] = [each]
        peers.look()
    return noted


def told(*seen: Peering) -> list[tuple[str, str, str]]:
    return looked_at(*seen).told


LOST = ("Warning", "PeerLost", f"10.0.0.9:179 hears nothing of this node: {REFUSED.reason}")
HEARS = ("Normal", "PeerEstablished", "10.0.0.9:179 hears what this node announces")


def test_a_session_that_never_came_about_is_told_with_its_reason_and_once() -> None:
    assert told(DOWN, REFUSED, REFUSED) == [LOST]


def test_a_session_that_comes_about_is_told() -> None:
    assert told(DOWN, UP, UP) == [HEARS]


def test_a_session_that_ends_and_comes_again_is_told_each_time() -> None:
    assert told(UP, REFUSED, UP) == [HEARS, LOST, HEARS]


def test_a_session_that_was_away_between_two_looks_is_told() -> None:
    assert told(UP, attrs.evolve(UP, flaps=1)) == [HEARS, HEARS]


def test_another_reason_is_news() -> None:
    assert [message for _level, _reason, message in told(REFUSED, attrs.evolve(DOWN, reason="no connection"))] == [
        LOST[2],
        "10.0.0.9:179 hears nothing of this node: no connection",
    ]


def test_malformed_messages_are_told_by_what_is_wrong_and_the_same_again_is_no_news() -> None:
    bad = attrs.evolve(UP, malformed=1, complaint="ORIGIN 07")
    again, other = attrs.evolve(bad, malformed=2), attrs.evolve(bad, malformed=3, complaint="a route without AS_PATH")
    assert told(UP, bad, again, other)[1:] == [
        ("Warning", "PeerMalformed", "10.0.0.9:179 has sent what can't be used: ORIGIN 07"),
        ("Warning", "PeerMalformed", "10.0.0.9:179 has sent what can't be used: a route without AS_PATH"),
    ]


def test_what_is_told_is_told_of_the_node() -> None:
    assert looked_at(REFUSED).about == {(ObjectKey("default", "node1"), "node1", "Node")}
