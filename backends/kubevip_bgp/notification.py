"""Why a session ends: the NOTIFICATION message (RFC 4271 section 4.5), and the error that carries one.

What is wrong with a message is raised as the NOTIFICATION that it has to be answered with, so the place that
finds an error is the only one that has to know its code.
"""

import enum

import attrs

from kubevip.plugin import NetworkError

_TEXT_LIMIT = 255


class Code(enum.IntEnum):
    """The major code."""

    HEADER = 1
    OPEN = 2
    UPDATE = 3
    HOLD_TIMER = 4
    STATE = 5
    CEASE = 6
    REFRESH = 7


_NAMES: dict[int, str] = {
    Code.HEADER: "Message Header Error",
    Code.OPEN: "OPEN Message Error",
    Code.UPDATE: "UPDATE Message Error",
    Code.HOLD_TIMER: "Hold Timer Expired",
    Code.STATE: "Finite State Machine Error",
    Code.CEASE: "Cease",
    Code.REFRESH: "ROUTE-REFRESH Message Error",
}
# RFC 4271 section 4.5, RFC 6608, RFC 4486, RFC 8538, RFC 9384, RFC 5492.
_SUBCODES = {
    (1, 1): "Connection Not Synchronized",
    (1, 2): "Bad Message Length",
    (1, 3): "Bad Message Type",
    (2, 1): "Unsupported Version Number",
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 4): "Unsupported Optional Parameter",
    (2, 6): "Unacceptable Hold Time",
    (2, 7): "Unsupported Capability",
    (3, 1): "Malformed Attribute List",
    (3, 2): "Unrecognized Well-known Attribute",
    (3, 3): "Missing Well-known Attribute",
    (3, 4): "Attribute Flags Error",
    (3, 5): "Attribute Length Error",
    (3, 6): "Invalid ORIGIN Attribute",
    (3, 8): "Invalid NEXT_HOP Attribute",
    (3, 9): "Optional Attribute Error",
    (3, 10): "Invalid Network Field",
    (3, 11): "Malformed AS_PATH",
    (5, 1): "Unexpected Message in OpenSent",
    (5, 2): "Unexpected Message in OpenConfirm",
    (5, 3): "Unexpected Message in Established",
    (6, 1): "Maximum Number of Prefixes Reached",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 6): "Other Configuration Change",
    (6, 7): "Connection Collision Resolution",
    (6, 8): "Out of Resources",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
    (7, 1): "Invalid Message Length",
}
# Subcodes of Cease that may carry a text for people (RFC 9003).
_WITH_TEXT = ((6, 2), (6, 4))


@attrs.frozen
class Notification:
    """Says why its sender ends the session."""

    code: int
    subcode: int = 0
    data: bytes = b""

    @classmethod
    def shutdown(cls, text: str = "") -> "Notification":
        """Return the one that an administrator's stop is told by, with a *text* for people (RFC 9003)."""
        encoded = text.encode()[:_TEXT_LIMIT]
        encoded = encoded.decode(errors="ignore").encode()
        return cls(Code.CEASE, 2, bytes([len(encoded)]) + encoded if encoded else b"")

    @property
    def text(self) -> str:
        """The text that an administrator gave, empty if there is none."""
        if (self.code, self.subcode) not in _WITH_TEXT or not self.data:
            return ""
        return self.data[1 : 1 + self.data[0]].decode(errors="replace")

    def __str__(self) -> str:
        known = _NAMES.get(self.code)
        detail = _SUBCODES.get((self.code, self.subcode))
        name = f"{known or 'unknown error'}: {detail}" if detail else known or "unknown error"
        said = f", it says {self.text!r}" if self.text else ""
        return f"{name} ({self.code}/{self.subcode}){said}"


class ProtocolError(NetworkError):
    """A message is wrong. *notification* is what the peer has to be told."""

    def __init__(self, message: str, code: int, subcode: int = 0, data: bytes = b"") -> None:
        self.notification = Notification(code, subcode, data)
        super().__init__(f"{message}; {self.notification}")
