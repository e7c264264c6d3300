"""Messages against bytes of other speakers, there and back, and against whatever else may arrive."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubevip_bgp.attributes import AsSegment, PathAttributes, Reach, SegmentKind, Unreach
from kubevip_bgp.capabilities import Capabilities
from kubevip_bgp.messages import (
    KEEPALIVE,
    Keepalive,
    Open,
    RouteRefresh,
    Stream,
    Terms,
    Update,
    decode,
    encode,
)
from kubevip_bgp.notification import Notification, ProtocolError
from kubevip_bgp.prefixes import Afi

from tests.bgp.captured import BIRD, CAPTURED, MARKER, path
from tests.bgp.strategies import as_number, messages, updates

ANY = Terms(extended=True, internal=True)


def read(data, terms=ANY):
    stream = Stream(terms)
    stream.feed(data)
    return list(stream.messages())


def outcome(data, terms=ANY):
    try:
        read(data, terms)
    except ProtocolError as error:
        return error.notification.code
    return 0


def refused(data, terms=ANY):
    with pytest.raises(ProtocolError) as caught:
        read(data, terms)
    notification = caught.value.notification
    return notification.code, notification.subcode


@pytest.mark.parametrize("name", CAPTURED)
def test_message_of_another_speaker_reads_as_what_it_was_told_to_send(name):
    text, message = CAPTURED[name]
    assert decode(bytes.fromhex(MARKER + text), Terms()) == message


@pytest.mark.parametrize("text", [text for text, message in BIRD.items() if "900e" not in text])
def test_written_message_is_byte_for_byte_what_bird_sends(text):
    assert encode(BIRD[text]).hex() == MARKER + text


def test_keepalive_is_its_header():
    assert encode(Keepalive()) == KEEPALIVE == bytes.fromhex(MARKER + "001304")


def test_route_refresh_names_family():
    assert encode(RouteRefresh(Afi.IPV6)) == bytes.fromhex(MARKER + "001705" + "00020001")


def test_notification_has_code_subcode_and_data():
    assert encode(Notification(2, 1, b"\0\4")) == bytes.fromhex(MARKER + "001703" + "02010004")


@given(messages)
def test_every_message_reads_as_it_was_written(message):
    assert read(encode(message, ANY)) == [message]


@given(st.lists(messages, max_size=6), st.integers(1, 50))
def test_messages_come_out_of_any_cut_of_the_stream(sent, size):
    stream, found = Stream(ANY), []
    data = b"".join(encode(message, ANY) for message in sent)
    for at in range(0, len(data), size):
        stream.feed(data[at : at + size])
        found += stream.messages()
    assert found == sent


@given(updates())
def test_path_of_long_numbers_reaches_who_knows_short_ones_only(update):
    terms = attrs.evolve(ANY, four_octet=False)
    sets = (SegmentKind.SEQUENCE,)
    plain = tuple(segment for segment in update.attributes.as_path if segment.kind in sets)[:1]
    update = attrs.evolve(update, attributes=attrs.evolve(update.attributes, as_path=plain))
    assert read(encode(update, terms), terms) == [update]


@given(st.binary(max_size=200), st.sampled_from([1, 2, 3, 5]))
def test_any_body_is_read_or_refused_and_nothing_else(body, kind):
    data = bytes.fromhex(MARKER) + (19 + len(body)).to_bytes(2) + bytes([kind]) + body
    assert 0 <= outcome(data, Terms()) <= 7


@given(updates(as_number), st.data())
def test_any_damage_to_an_update_is_read_or_refused_and_nothing_else(update, data):
    whole = bytearray(encode(update, ANY))
    for at in data.draw(st.lists(st.integers(19, len(whole) - 1), min_size=1, max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    assert outcome(bytes(whole)) in (0, 3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff" * 15 + b"\0" + b"\0\x13\4", (1, 1)),
        (b"HTTP/1.1 400 Bad Request\r\n", (1, 1)),
        (bytes.fromhex(MARKER + "001309"), (1, 3)),
        (bytes.fromhex(MARKER + "001204"), (1, 2)),
        (bytes.fromhex(MARKER + "001404") + b"\0", (1, 2)),
        (bytes.fromhex(MARKER + "001601"), (1, 2)),
        (bytes.fromhex(MARKER + "001805" + "0001000100"), (7, 1)),
    ],
)
def test_wrong_header_is_answered_with_its_code(data, code):
    assert refused(data) == code


def test_long_message_is_refused_unless_both_sides_agreed():
    update = Update(announced=tuple(IPv4Network((n << 8, 32)) for n in range(1000)))
    assert refused(encode(update), Terms()) == (1, 2)
    assert read(encode(update), Terms(extended=True))[0].announced == update.announced


def test_open_is_never_longer_than_4096_bytes():
    data = bytes.fromhex(MARKER) + (4097).to_bytes(2) + b"\1"
    assert refused(data, Terms(extended=True)) == (1, 2)


SAID = Open(number=65001, identifier=IPv4Address("10.0.0.1"), hold_time=90)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (attrs.evolve(SAID, hold_time=1), (2, 6)),
        (attrs.evolve(SAID, hold_time=2), (2, 6)),
        (attrs.evolve(SAID, identifier=IPv4Address(0)), (2, 3)),
        (attrs.evolve(SAID, number=0), (2, 2)),
        (attrs.evolve(SAID, capabilities=Capabilities(four_octet_as=0)), (2, 2)),
    ],
)
def test_open_that_can_not_be_is_answered_with_its_code(message, code):
    assert refused(encode(message)) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("03fde9005a0a00000100", (2, 1)),
        ("04fde9005a0a00000101", (2, 0)),
        ("04fde9005a0a0000010401020000", (2, 4)),
        ("04fde9005a0a0000010402034102", (2, 0)),
        ("04fde9005a0a000001050203410100", (2, 0)),
    ],
)
def test_malformed_open_is_answered_with_its_code(body, code):
    data = bytes.fromhex(body)
    assert refused(bytes.fromhex(MARKER) + (19 + len(data)).to_bytes(2) + b"\1" + data) == code


def test_open_without_long_number_has_the_short_one():
    assert read(encode(SAID)) == [SAID]


def test_many_capabilities_are_written_with_a_long_length():
    told = Capabilities(others=tuple((200, bytes(100)) for _ in range(5)))
    data = encode(attrs.evolve(SAID, capabilities=told))
    assert data[28:32] == b"\xff\xff" + (3 + 5 * 102).to_bytes(2)
    assert read(data)[0].capabilities == told


def test_end_of_rib_of_each_family_is_recognised():
    assert Update().end_of_rib is Afi.IPV4
    assert Update(attributes=PathAttributes(unreach=Unreach(Afi.IPV6))).end_of_rib is Afi.IPV6
    assert Update(withdrawn=(IPv4Network("10.0.0.0/8"),)).end_of_rib is None


def test_long_path_is_cut_into_segments_of_255():
    message = Update(attributes=PathAttributes(as_path=path(*range(1, 301))))
    (found,) = read(encode(message))
    assert [len(segment.numbers) for segment in found.attributes.as_path] == [255, 45]
    assert isinstance(found.attributes.as_path[0], AsSegment)


def test_reached_and_unreached_name_prefixes_of_both_families():
    reach = Reach(Afi.IPV6, (), (IPv6Network("fd00::/64"),))
    gone = Unreach(Afi.IPV6, (IPv6Network("fd01::/64"),))
    update = Update(
        withdrawn=(IPv4Network("10.1.0.0/16"),),
        attributes=PathAttributes(reach=reach, unreach=gone),
        announced=(IPv4Network("10.0.0.0/16"),),
    )
    assert set(update.reached) == {IPv4Network("10.0.0.0/16"), IPv6Network("fd00::/64")}
    assert set(update.unreached) == {IPv4Network("10.1.0.0/16"), IPv6Network("fd01::/64")}
