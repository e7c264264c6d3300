"""What happened in a simulation, in the order in which it happened: what the checker judges, and what people read.

All times are the world's, in seconds. A run that is repeated writes the same chronicle, bit for bit.
"""

import hashlib
from collections.abc import Iterator
from typing import ClassVar, TypeVar

import attrs

from kubevip.model import IPAddress, LeaseKey

Kind = TypeVar("Kind", bound="Event")


@attrs.frozen
class Event:
    """Something that happened at *time*."""

    time: float


@attrs.frozen
class Wrote(Event):
    """The API server took a write of a Lease that *node* had asked for at *asked*. *before* is who had held it."""

    node: str
    lease: LeaseKey
    holder: str
    before: str
    duration: float
    transitions: int
    version: int
    asked: float
    life: int

    def __str__(self) -> str:
        what = "releases" if not self.holder else "renews" if self.holder == self.before else "takes"
        return f"{self.node} {what} {self.lease.name} (version {self.version}, asked at {self.asked:.6f})"


@attrs.frozen
class Told(Event):
    """The process number *life* of *node* learnt who held a Lease at *version*."""

    node: str
    life: int
    lease: LeaseKey
    holder: str
    version: int

    def __str__(self) -> str:
        return f"{self.node} learns that {self.holder or 'nobody'} holds {self.lease.name} (version {self.version})"


@attrs.frozen
class Moved(Event):
    """An address came onto a link of *node*, or went: *why* is a word."""

    node: str
    address: IPAddress
    present: bool
    why: str

    def __str__(self) -> str:
        return f"{self.node} {'has' if self.present else 'has no more'} {self.address} ({self.why})"


@attrs.frozen
class Announced(Event):
    """The process of *node* told the segment that *address* is at its own MAC address."""

    node: str
    address: IPAddress

    def __str__(self) -> str:
        return f"{self.node} announces {self.address}"


@attrs.frozen
class Routed(Event):
    """A route to *address* came into the table of *node*, or went."""

    node: str
    address: IPAddress
    present: bool

    def __str__(self) -> str:
        return f"{self.node} {'has a' if self.present else 'has no more'} route to {self.address}"


@attrs.frozen
class Contested(Event):
    """The process number *life* of *node* has told of, answered and yielded to so many claims of other machines.

    *met* counts those that went on answering when it asked before it took an address.
    """

    node: str
    life: int
    told: int
    defended: int
    yielded: int
    met: int = 0

    def __str__(self) -> str:
        counts = f"told {self.told}, defended {self.defended}, yielded {self.yielded}, met {self.met}"
        return f"process {self.life} of {self.node} has met claims of other machines: {counts}"


@attrs.frozen
class Lived(Event):
    """The process number *life* of *node* began, or was stalled, resumed, asked to stop, killed, or has ended."""

    BEGINS: ClassVar[str] = "begins"
    STALLS: ClassVar[str] = "is stalled"
    RESUMES: ClassVar[str] = "goes on"
    STOPS: ClassVar[str] = "is asked to stop"
    KILLED: ClassVar[str] = "is killed"
    ENDED: ClassVar[str] = "has ended"

    node: str
    life: int
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"process {self.life} of {self.node} {self.what}{': ' if self.why else ''}{self.why}"


@attrs.frozen
class Troubled(Event):
    """The fault *number* of the scenario *begins* or ends."""

    number: int
    text: str
    begins: bool

    def __str__(self) -> str:
        return f"fault {self.number} {'begins' if self.begins else 'is over'}: {self.text}"


@attrs.frozen
class Reached(Event):
    """From now on what *caller* sends to *address* is answered by *node*; by nobody where that is empty."""

    caller: str
    address: IPAddress
    node: str

    def __str__(self) -> str:
        return f"{self.caller} reaches {self.node or 'nobody'} at {self.address}"


@attrs.frozen
class Logged(Event):
    """A line of a node's log, for people: it is no part of the chronicle's digest."""

    node: str
    text: str

    def __str__(self) -> str:
        return f"{self.node}: {self.text}"


@attrs.define(eq=False)
class Chronicle:
    """All events so far, until it is closed."""

    events: list[Event] = attrs.field(factory=list, init=False)
    closed: bool = attrs.field(default=False, init=False)

    def add(self, event: Event) -> None:
        """Write *event* down."""
        if not self.closed:
            self.events.append(event)

    def close(self) -> None:
        """Write nothing down any more."""
        self.closed = True

    def all(self, kind: type[Kind]) -> Iterator[Kind]:
        """Return the events of a kind."""
        return (event for event in self.events if isinstance(event, kind))

    def around(self, start: float, end: float) -> list[str]:
        """Return what happened between two times, as lines."""
        return [line(event) for event in self.events if start <= event.time <= end]

    def digest(self) -> str:
        """Return what tells this history from every other one."""
        sha = hashlib.sha256()
        for event in self.events:
            if not isinstance(event, Logged):
                sha.update(repr(event).encode())
        return sha.hexdigest()


def line(event: Event) -> str:
    """Return *event* as a line of text."""
    return f"{event.time:12.6f}  {event}"
