"""What becomes of an UPDATE with wrong attributes (RFC 7606): the session ends only where prefixes can't be told."""

from ipaddress import IPv4Network

import pytest
from kubevip_bgp.messages import PLAIN, Terms, decode
from kubevip_bgp.notification import Notification, ProtocolError
from kubevip_bgp.reading import Verdict

from tests.bgp.captured import MARKER

ORIGIN, PATH, HOP = "40010100", "400206" + "02010000fde9", "400304" + "0a000001"
PREFIX = IPv4Network("192.0.2.0/24")
INTERNAL = Terms(internal=True)


def update(attributes, prefix="18c00002", terms=PLAIN):
    body = bytes(2) + len(bytes.fromhex(attributes)).to_bytes(2) + bytes.fromhex(attributes + prefix)
    return decode(bytes.fromhex(MARKER) + (19 + len(body)).to_bytes(2) + b"\2" + body, terms)


def test_route_with_all_it_needs_is_accepted():
    found = update(ORIGIN + PATH + HOP)
    assert (found.reached, found.unreached, found.findings) == ((PREFIX,), (), ())


@pytest.mark.parametrize(
    "attributes",
    {
        "origin of two bytes": "4001020000" + PATH + HOP,
        "unknown origin": "40010103" + PATH + HOP,
        "origin said to be optional": "C0010100" + PATH + HOP,
        "path with an unknown kind of segment": ORIGIN + "40020609010000fde9" + HOP,
        "path with an empty segment": ORIGIN + "4002020200" + HOP,
        "path that ends within a segment": ORIGIN + "40020502010000fd" + HOP,
        "next hop of three bytes": ORIGIN + PATH + "4003030a0000",
        "med of two bytes": ORIGIN + PATH + HOP + "8004020001",
        "communities of five bytes": ORIGIN + PATH + HOP + "c0080500000000ff",
        "no communities in the attribute": ORIGIN + PATH + HOP + "c00800",
        "large communities of eight bytes": ORIGIN + PATH + HOP + "c020080000000000000000",
        "no origin": PATH + HOP,
        "no path": ORIGIN + HOP,
        "no next hop": ORIGIN + PATH,
        "attribute beyond the end": ORIGIN + PATH + HOP + "8004ff01",
        "end within a head": ORIGIN + PATH + HOP + "80",
    }.values(),
)
def test_route_with_a_wrong_attribute_is_treated_as_withdrawn(attributes):
    found = update(attributes)
    assert (found.reached, found.unreached) == ((), (PREFIX,))
    assert found.findings[0].verdict is Verdict.TREAT_AS_WITHDRAW


@pytest.mark.parametrize(
    "extra",
    {
        "local preference from another AS": "400504" + "00000064",
        "atomic aggregate with a value": "40060100",
        "aggregator of six bytes": "c00706fde90a000001",
        "an attribute twice": "800404" + "00000001" + "800404" + "00000002",
        "family that isn't spoken": "800e0600198004" + "0a00",
        "withdrawal in a family that isn't spoken": "800f03001980",
    }.values(),
)
def test_attribute_that_does_no_harm_is_left_out(extra):
    found = update(ORIGIN + PATH + HOP + extra)
    assert found.reached == (PREFIX,)
    assert [finding.verdict for finding in found.findings] == [Verdict.DISCARD_ATTRIBUTE]


def test_first_of_two_attributes_counts():
    found = update(ORIGIN + PATH + HOP + "800404" + "00000001" + "800404" + "00000002")
    assert found.attributes.med == 1


def test_internal_route_needs_a_local_preference():
    assert "LOCAL_PREF" in update(ORIGIN + PATH + HOP, terms=INTERNAL).findings[0].reason
    assert update(ORIGIN + PATH + HOP + "40050400000064", terms=INTERNAL).attributes.local_pref == 100


@pytest.mark.parametrize(
    ("attributes", "prefix", "subcode"),
    [
        (ORIGIN + PATH + HOP, "21c0000201", 10),
        (ORIGIN + PATH + HOP, "18c000", 10),
        (ORIGIN + PATH + "800e0b" + "00020105fd00000000" + "0000", "", 9),
        (ORIGIN + PATH + "800e03" + "000201", "", 9),
        (ORIGIN + "800f02" + "0002", "", 9),
        (ORIGIN + "800f04" + "00020181", "", 10),
        ("800f03000201" + "800f03000201", "", 1),
        (ORIGIN + PATH + HOP + "402a00", "18c00002", 2),
    ],
)
def test_session_ends_where_prefixes_can_not_be_told(attributes, prefix, subcode):
    with pytest.raises(ProtocolError) as caught:
        update(attributes, prefix)
    assert (caught.value.notification.code, caught.value.notification.subcode) == (3, subcode)


def test_session_ends_where_the_parts_of_an_update_do_not_fit():
    for body in ("00ff00000000", "000000ff00"):
        data = bytes.fromhex(body)
        with pytest.raises(ProtocolError) as caught:
            decode(bytes.fromhex(MARKER) + (19 + len(data)).to_bytes(2) + b"\2" + data)
        assert caught.value.notification.subcode == 1


def test_notification_is_told_in_words_with_the_administrators_text():
    told = Notification.shutdown("maintenance until noon")
    assert str(told) == "Cease: Administrative Shutdown (6/2), it says 'maintenance until noon'"
    assert str(Notification(2, 2)) == "OPEN Message Error: Bad Peer AS (2/2)"
    assert str(Notification(99, 1)) == "unknown error (99/1)"
    assert str(Notification(4)) == "Hold Timer Expired (4/0)"


def test_text_of_a_shutdown_is_cut_between_letters():
    assert Notification.shutdown("é" * 200).text == "é" * 127
