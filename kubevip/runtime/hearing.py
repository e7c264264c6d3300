"""What a node hears of the heartbeats for one Lease.

The ordinary ones, of the present term, wait in the kernel until the node's own next beat is due: then it looks who was
heard when. Frames of any other term are heard at once, since they may tell that somebody else leads, and so is
everything while somebody is missed.
"""

import contextlib
from collections.abc import Callable, Collection

import attrs

from kubevip.backend import BpfInstruction, Host
from kubevip.errors import KubeVipError
from kubevip.filtering import ACCEPT, REJECT
from kubevip.heartbeat import (
    AT_LEASE,
    AT_MAGIC,
    AT_TERM,
    AT_VERSION,
    DESTINATION,
    ETHERTYPE,
    MAGIC,
    SHORTEST,
    VERSION,
    lease_id,
)
from kubevip.model import LeaseKey

# linux/bpf_common.h: loads of a word, of an octet, and of the length; comparisons
_LOAD_WORD, _LOAD_BYTE, _LOAD_LENGTH = 0x20, 0x30, 0x80
_EQUAL, _AT_LEAST = 0x15, 0x35

Heard = Callable[[bytes, float], None]


def ordinary(lease: LeaseKey, term: int) -> tuple[BpfInstruction, ...]:
    """Return a program that accepts the heartbeats for *lease* in *term*."""
    return _program(lease, term, noise=REJECT, same=ACCEPT, other=REJECT)


def unusual(lease: LeaseKey, term: int) -> tuple[BpfInstruction, ...]:
    """Return a program that accepts what isn't ``ordinary()``, but for the heartbeats for other Leases."""
    return _program(lease, term, noise=ACCEPT, same=REJECT, other=ACCEPT)


def every() -> tuple[BpfInstruction, ...]:
    """Return a program that accepts all heartbeats, for whatever Lease they are."""
    return (
        (_LOAD_LENGTH, 0, 0, 0),
        (_AT_LEAST, 1, 0, SHORTEST),
        REJECT,
        (_LOAD_WORD, 0, 0, AT_MAGIC),
        (_EQUAL, 1, 0, int.from_bytes(MAGIC)),
        REJECT,
        ACCEPT,
    )


def _program(
    lease: LeaseKey, term: int, *, noise: BpfInstruction, same: BpfInstruction, other: BpfInstruction
) -> tuple[BpfInstruction, ...]:
    name = lease_id(lease)
    return (
        (_LOAD_LENGTH, 0, 0, 0),
        (_AT_LEAST, 1, 0, SHORTEST),
        noise,
        (_LOAD_WORD, 0, 0, AT_MAGIC),
        (_EQUAL, 1, 0, int.from_bytes(MAGIC)),
        noise,
        (_LOAD_BYTE, 0, 0, AT_VERSION),
        (_EQUAL, 1, 0, VERSION),
        noise,
        (_LOAD_WORD, 0, 0, AT_LEASE),
        (_EQUAL, 1, 0, int.from_bytes(name[:4])),
        REJECT,
        (_LOAD_WORD, 0, 0, AT_LEASE + 4),
        (_EQUAL, 1, 0, int.from_bytes(name[4:])),
        REJECT,
        (_LOAD_WORD, 0, 0, AT_TERM),
        (_EQUAL, 0, 1, term),
        same,
        other,
    )


@attrs.define(eq=False)
class _Ear:
    """What is open on one interface, which has *index* now."""

    index: int
    look: Callable[[], None]
    open: contextlib.ExitStack
    alert: contextlib.ExitStack | None = None

    def relax(self) -> None:
        if self.alert is not None:
            self.alert.close()
            self.alert = None

    def close(self) -> None:
        self.relax()
        self.open.close()


@attrs.define(eq=False)
class Hearing:
    """Hears frames for *lease*. *heard* is called with each, and with when it arrived."""

    _host: Host
    _lease: LeaseKey
    _heard: Heard
    _term: int | None = attrs.field(default=None, init=False)
    _ears: dict[str, _Ear] = attrs.field(factory=dict, init=False)

    def listen(self, interfaces: Collection[str], term: int) -> None:
        """Hear what arrives on *interfaces*, on those that are there; *term* is the present one."""
        if term != self._term:
            self.close()
            self._term = term
        for name in [name for name, ear in self._ears.items() if name not in interfaces or ear.index != self._at(name)]:
            self._ears.pop(name).close()
        for name in interfaces:
            if name not in self._ears:
                with contextlib.suppress(KubeVipError):
                    self._ears[name] = self._open(name, term)

    def _at(self, interface: str) -> int:
        try:
            return self._host.link(interface).index
        except KubeVipError:
            return 0

    def _open(self, interface: str, term: int) -> _Ear:
        with contextlib.ExitStack() as stack:
            index = self._host.link(interface).index
            keep = self._host.gather(
                interface, ETHERTYPE, self._heard, bpf=ordinary(self._lease, term), group=DESTINATION
            )
            look = stack.enter_context(keep)
            stack.enter_context(self._at_once(interface, unusual(self._lease, term)))
            return _Ear(index, look, stack.pop_all())

    def _at_once(self, interface: str, program: tuple[BpfInstruction, ...]) -> contextlib.AbstractContextManager[None]:
        def received(frame: bytes) -> None:
            self._heard(frame, self._host.now())

        return self._host.listen(interface, ETHERTYPE, received, bpf=program, group=DESTINATION)

    def look(self) -> None:
        """Hear what has arrived by now."""
        for ear in tuple(self._ears.values()):
            ear.look()

    def be_alert(self, alert: bool) -> None:
        """Hear everything at once, or leave the ordinary to ``look()``."""
        for name, ear in self._ears.items():
            if alert and ear.alert is None:
                with contextlib.suppress(KubeVipError):
                    self._sharpen(name, ear)
            elif not alert:
                ear.relax()

    def _sharpen(self, interface: str, ear: _Ear) -> None:
        assert self._term is not None
        alert = contextlib.ExitStack()
        alert.enter_context(self._at_once(interface, ordinary(self._lease, self._term)))
        ear.alert = alert

    def close(self) -> None:
        """Hear nothing any more."""
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()
        self._term = None


@attrs.define(eq=False)
class Ears:
    """Hears the frames for all Leases. *heard* is called with each, the interface it came by, and when it arrived.

    All wait in the kernel until they are looked at.
    """

    _host: Host
    _heard: Callable[[bytes, str, float], None]
    _ears: dict[str, _Ear] = attrs.field(factory=dict, init=False)

    def listen(self, interfaces: Collection[str]) -> None:
        """Hear what arrives on *interfaces*, on those that are there."""
        for name in [name for name, ear in self._ears.items() if name not in interfaces or ear.index != self._at(name)]:
            self._ears.pop(name).close()
        for name in interfaces:
            if name not in self._ears:
                with contextlib.suppress(KubeVipError):
                    self._ears[name] = self._open(name)

    def _at(self, interface: str) -> int:
        try:
            return self._host.link(interface).index
        except KubeVipError:
            return 0

    def _open(self, interface: str) -> _Ear:
        def received(frame: bytes, at: float) -> None:
            self._heard(frame, interface, at)

        with contextlib.ExitStack() as stack:
            index = self._host.link(interface).index
            keep = self._host.gather(interface, ETHERTYPE, received, bpf=every(), group=DESTINATION)
            look = stack.enter_context(keep)
            return _Ear(index, look, stack.pop_all())

    def look(self) -> None:
        """Hear what has arrived by now."""
        for ear in tuple(self._ears.values()):
            ear.look()

    def close(self) -> None:
        """Hear nothing any more."""
        for ear in self._ears.values():
            ear.close()
        self._ears.clear()
