"""The five messages (RFC 4271 section 4, RFC 2918): how they are written and read, a stream is cut into them."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

import attrs

from kubevip_bgp.attributes import AS_TRANS, PathAttributes, encode_attributes
from kubevip_bgp.capabilities import Capabilities, decode_capabilities, encode_capabilities
from kubevip_bgp.notification import Code, Notification, ProtocolError
from kubevip_bgp.prefixes import FAMILIES, UNICAST, Afi, Prefix, decode_prefixes, encode_prefixes
from kubevip_bgp.reading import Finding, Verdict, read_attributes

MARKER = b"\xff" * 16
HEADER = 19
LIMIT, EXTENDED_LIMIT = 4096, 65535
_VERSION = 4
_OPEN, _UPDATE, _NOTIFICATION, _KEEPALIVE, _ROUTE_REFRESH = 1, 2, 3, 4, 5
_SHORTEST = {_OPEN: 29, _UPDATE: 23, _NOTIFICATION: 21, _KEEPALIVE: 19, _ROUTE_REFRESH: 23}
_CAPABILITIES, _EXTENDED_PARAMETERS = 2, 255
_SHORT_PARAMETERS = 255


@attrs.frozen(kw_only=True)
class Open:
    """Who speaks: its AS number, its identifier, its hold time in seconds (0: never), what it can do."""

    number: int
    identifier: IPv4Address
    hold_time: int
    capabilities: Capabilities = attrs.field(factory=Capabilities)


@attrs.frozen(kw_only=True)
class Update:
    """Routes that are withdrawn, and routes that are announced with *attributes*.

    *findings* are what was wrong with the attributes of a message that was read.
    """

    withdrawn: tuple[Prefix, ...] = ()
    attributes: PathAttributes = attrs.field(factory=PathAttributes)
    announced: tuple[Prefix, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def reached(self) -> tuple[Prefix, ...]:
        """All prefixes that can be reached now, unless the message is to be treated as if it withdrew them."""
        return () if self._spoilt else self._named

    @property
    def unreached(self) -> tuple[Prefix, ...]:
        """All prefixes that can't be reached any more."""
        unreach = self.attributes.unreach
        gone = self.withdrawn + (unreach.prefixes if unreach else ())
        return gone + self._named if self._spoilt else gone

    @property
    def end_of_rib(self) -> Afi | None:
        """The family of which everything has been said (RFC 4724 section 2), where that is what it means."""
        if self._named or self.withdrawn or self.findings:
            return None
        if self.attributes == PathAttributes():
            return Afi.IPV4
        unreach = self.attributes.unreach
        alone = unreach is not None and attrs.evolve(self.attributes, unreach=None) == PathAttributes()
        return unreach.family if unreach is not None and alone and not unreach.prefixes else None

    @property
    def _named(self) -> tuple[Prefix, ...]:
        reach = self.attributes.reach
        return self.announced + (reach.prefixes if reach else ())

    @property
    def _spoilt(self) -> bool:
        return any(finding.verdict is Verdict.TREAT_AS_WITHDRAW for finding in self.findings)


@attrs.frozen
class Keepalive:
    """The sender is there."""


@attrs.frozen
class RouteRefresh:
    """All routes of *family* are to be sent anew; ``None`` is a family that isn't spoken here."""

    family: Afi | None


Message = Open | Update | Keepalive | Notification | RouteRefresh


@attrs.frozen(kw_only=True)
class Terms:
    """What both sides have agreed on, as far as it changes how messages are read and written."""

    four_octet: bool = True
    extended: bool = False
    internal: bool = False

    @property
    def limit(self) -> int:
        """The longest message, in bytes."""
        return EXTENDED_LIMIT if self.extended else LIMIT


KEEPALIVE = MARKER + struct.pack("!HB", HEADER, _KEEPALIVE)
# What holds before, and without, any agreement.
PLAIN = Terms()


def encode(message: Message, terms: Terms = PLAIN) -> bytes:
    """Return a message as it is sent."""
    kind, body = _body(message, terms)
    return MARKER + struct.pack("!HB", HEADER + len(body), kind) + body


def _body(message: Message, terms: Terms) -> tuple[int, bytes]:
    match message:
        case Open():
            return _OPEN, _open(message)
        case Update():
            return _UPDATE, _update(message, terms)
        case Notification():
            return _NOTIFICATION, bytes((message.code, message.subcode)) + message.data
        case RouteRefresh():
            return _ROUTE_REFRESH, struct.pack("!HBB", message.family or 0, 0, UNICAST)
        case Keepalive():
            return _KEEPALIVE, b""


def _open(message: Open) -> bytes:
    number = message.number if message.number <= 0xFFFF else AS_TRANS
    head = struct.pack("!BHH", _VERSION, number, message.hold_time) + message.identifier.packed
    told = encode_capabilities(message.capabilities)
    if not told:
        return head + b"\0"
    if len(told) + 2 <= _SHORT_PARAMETERS:
        return head + bytes((len(told) + 2, _CAPABILITIES, len(told))) + told
    # RFC 9072: the length that follows is the real one.
    return head + struct.pack("!BBHBH", 255, _EXTENDED_PARAMETERS, len(told) + 3, _CAPABILITIES, len(told)) + told


def _update(message: Update, terms: Terms) -> bytes:
    withdrawn = encode_prefixes(message.withdrawn)
    attributes = encode_attributes(message.attributes, four_octet=terms.four_octet)
    return b"".join(
        (
            struct.pack("!H", len(withdrawn)),
            withdrawn,
            struct.pack("!H", len(attributes)),
            attributes,
            encode_prefixes(message.announced),
        )
    )


@attrs.define(eq=False)
class Stream:
    """Cuts what arrives into messages, by the *terms* of the session."""

    terms: Terms = attrs.field(factory=Terms)
    _buffer: bytearray = attrs.field(factory=bytearray, init=False)

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._buffer += data

    def messages(self) -> Iterator[Message]:
        """Take out each message that has arrived whole; the *terms* may change between two of them.

        :raises ProtocolError: if one is wrong.
        """
        while len(self._buffer) >= HEADER:
            length = self._length()
            if len(self._buffer) < length:
                return
            whole = bytes(self._buffer[:length])
            del self._buffer[:length]
            yield decode(whole, self.terms)

    def _length(self) -> int:
        if self._buffer[:16] != MARKER:
            raise ProtocolError("what arrives is not BGP", Code.HEADER, 1)
        length, kind = struct.unpack_from("!HB", self._buffer, 16)
        if kind not in _SHORTEST:
            raise ProtocolError(f"a message of type {kind}", Code.HEADER, 3, bytes((kind,)))
        limit = LIMIT if kind in (_OPEN, _KEEPALIVE) else self.terms.limit
        if not _SHORTEST[kind] <= length <= limit or (kind == _KEEPALIVE and length != HEADER):
            raise ProtocolError(
                f"a message of type {kind} with {length} bytes", Code.HEADER, 2, struct.pack("!H", length)
            )
        return int(length)


def decode(data: bytes, terms: Terms = PLAIN) -> Message:
    """Read one whole message, whose header is right.

    :raises ProtocolError: if it is wrong.
    """
    kind, body = data[18], data[HEADER:]
    if kind == _OPEN:
        return _read_open(body)
    if kind == _UPDATE:
        return _read_update(body, terms)
    if kind == _NOTIFICATION:
        return Notification(body[0], body[1], body[2:])
    if kind == _ROUTE_REFRESH:
        return _read_refresh(body)
    return Keepalive()


def _read_open(body: bytes) -> Open:
    version, number, hold_time = struct.unpack_from("!BHH", body)
    if version != _VERSION:
        raise ProtocolError(f"BGP version {version}", Code.OPEN, 1, struct.pack("!H", _VERSION))
    identifier = IPv4Address(body[5:9])
    if hold_time in (1, 2):
        raise ProtocolError(f"a hold time of {hold_time} s, which has to be 0 or at least 3", Code.OPEN, 6)
    if not int(identifier):
        raise ProtocolError("the BGP identifier 0.0.0.0", Code.OPEN, 3)
    capabilities = decode_capabilities(b"".join(_parameters(body)))
    full = capabilities.four_octet_as if capabilities.four_octet_as is not None else number
    if not full:
        raise ProtocolError("AS 0", Code.OPEN, 2)
    return Open(number=full, identifier=identifier, hold_time=hold_time, capabilities=capabilities)


def _parameters(body: bytes) -> Iterator[bytes]:
    """Give the value of each optional parameter; those that are no capabilities are refused (RFC 4271 6.2)."""
    extended = len(body) >= 13 and body[9] != 0 and body[10] == _EXTENDED_PARAMETERS
    start, width = (13, 2) if extended else (10, 1)
    length = int.from_bytes(body[11:13]) if extended else body[9]
    if len(body) != start + length:
        raise ProtocolError(f"an OPEN with {len(body) - start} bytes of parameters, not {length}", Code.OPEN)
    at = start
    while at < len(body):
        size = int.from_bytes(body[at + 1 : at + 1 + width])
        value = body[at + 1 + width : at + 1 + width + size]
        if at + 1 + width > len(body) or len(value) < size:
            raise ProtocolError("an OPEN ends within a parameter", Code.OPEN)
        if body[at] != _CAPABILITIES:
            raise ProtocolError(f"the optional parameter {body[at]}", Code.OPEN, 4)
        yield value
        at += 1 + width + size


def _read_update(body: bytes, terms: Terms) -> Update:
    (gone,) = struct.unpack_from("!H", body)
    if len(body) < 4 + gone:
        raise ProtocolError(f"{gone} bytes of withdrawn routes in an UPDATE of {len(body)}", Code.UPDATE, 1)
    (length,) = struct.unpack_from("!H", body, 2 + gone)
    start = 4 + gone
    if len(body) < start + length:
        raise ProtocolError(f"{length} bytes of attributes in an UPDATE of {len(body)}", Code.UPDATE, 1)
    withdrawn = decode_prefixes(body[2 : 2 + gone], Afi.IPV4)
    announced = decode_prefixes(body[start + length :], Afi.IPV4)
    read = read_attributes(body[start : start + length], four_octet=terms.four_octet, internal=terms.internal)
    whole = read.verdict is not Verdict.TREAT_AS_WITHDRAW
    missing = _missing(read.attributes, bool(announced), terms) if whole else ()
    return Update(
        withdrawn=withdrawn, attributes=read.attributes, announced=announced, findings=(*read.findings, *missing)
    )


def _missing(attributes: PathAttributes, announced: bool, terms: Terms) -> tuple[Finding, ...]:
    """Name the attributes that every route has to have, and this one hasn't (RFC 7606 section 3 d)."""
    if not announced and attributes.reach is None:
        return ()
    needed: dict[str, object] = {"ORIGIN": attributes.origin, "AS_PATH": attributes.as_path}
    if announced:
        needed["NEXT_HOP"] = attributes.next_hop
    if terms.internal:
        needed["LOCAL_PREF"] = attributes.local_pref
    lacking = [name for name, value in needed.items() if value is None]
    return tuple(Finding(Verdict.TREAT_AS_WITHDRAW, f"a route without {name}") for name in lacking)


def _read_refresh(body: bytes) -> RouteRefresh:
    if len(body) != 4:
        raise ProtocolError(f"a ROUTE-REFRESH of {len(body)} bytes", Code.REFRESH, 1)
    afi, _reserved, safi = struct.unpack("!HBB", body)
    return RouteRefresh(FAMILIES.get(afi) if safi == UNICAST else None)
