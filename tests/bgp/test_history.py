"""What is remembered and logged of a peer: why there is no session, with its last words, and each thing once."""

import logging

import pytest
from kubevip_bgp.agreement import Ended
from kubevip_bgp.fsm import State
from kubevip_bgp.history import History
from kubevip_bgp.notification import Notification
from kubevip_bgp.reading import Finding, Verdict

SAID = Ended("the peer says: Cease: Administrative Shutdown (6/2)", Notification(6, 2), by_peer=True)
CLOSED, REFUSED = Ended("the peer has closed the connection"), Ended("no connection: Connection refused")
TOLD = Ended("the peer is of AS 65009, not 65001; OPEN Message Error: Bad Peer AS (2/2)", Notification(2, 2))


@pytest.fixture
def history(caplog):
    caplog.set_level(logging.DEBUG)
    return History("10.0.0.9:179")


def reason(history):
    return history.statistics(state=State.IDLE, told=0).reason


def warned(caplog):
    return [record.reason for record in caplog.records if record.levelno == logging.WARNING]


def test_last_words_of_the_peer_stay_when_it_only_shuts_the_door(history):
    for ended in (SAID, CLOSED, REFUSED):
        history.end(ended)
    assert reason(history) == f"{REFUSED.reason}; before that {SAID.reason}"


def test_last_words_go_when_something_else_is_wrong(history):
    for ended in (SAID, TOLD, CLOSED):
        history.end(ended)
    assert reason(history) == CLOSED.reason


def test_session_ends_all_that_was_said_before(history):
    history.end(SAID)
    history.begin()
    assert reason(history) == ""
    history.end(CLOSED)
    assert reason(history) == CLOSED.reason


def test_same_reason_again_is_no_news(history, caplog):
    for ended in (REFUSED, REFUSED, CLOSED, REFUSED):
        history.end(ended)
    assert warned(caplog) == [REFUSED.reason, CLOSED.reason, REFUSED.reason]


def test_planned_end_is_no_news(history, caplog):
    history.closing = True
    history.end(CLOSED)
    assert warned(caplog) == []


def test_malformed_routes_are_counted_and_each_kind_of_them_is_told_once(history, caplog):
    one, other = Finding(Verdict.TREAT_AS_WITHDRAW, "ORIGIN 07"), Finding(Verdict.DISCARD_ATTRIBUTE, "AS4_PATH: short")
    for findings in ((one,), (one, one), (other,)):
        history.complain(findings)
    assert warned(caplog) == ["ORIGIN 07", "AS4_PATH: short"]
    found = history.statistics(state=State.ESTABLISHED, told=0)
    assert (found.malformed, found.complaint) == (4, "AS4_PATH: short")
