"""Faults on demand: what tests and the demo make the API server do wrong, to whom, and how often.

A `Fault` selects requests and says what happens to them; `Faults` keeps the ones that are set. What they do to a
request or to a stream is carried out by the server.
"""

import random
from collections.abc import Callable
from typing import Any, Literal

import attrs
import msgspec

from kubevip.emulator.resources import BY_PLURAL
from kubevip.errors import ConfigError

Action = Literal["delay", "status", "drop", "lose-reply", "cut-streams", "expire", "stale", "cut-off"]


@attrs.frozen(kw_only=True)
class Target:
    """A request, or a stream, as faults look at it."""

    verb: str
    resource: str = ""
    """The plural, with ``/status`` after it for the subresource."""
    namespace: str = ""
    name: str = ""
    user: str = ""
    client: str = ""
    """The source address."""


@attrs.frozen(kw_only=True)
class Fault:
    """What goes wrong, and for which requests: those that match all selectors; an empty one matches every request.

    * ``delay``: answered *seconds* later;
    * ``status``: refused with the HTTP *status*, and *retry_after* seconds if given;
    * ``drop``: the connection is cut before anything is done; ``lose-reply``: after it was done;
    * ``cut-streams``: the watch streams that run now are cut, or, with a *status*, ended by an ERROR event;
    * ``expire``: the history is forgotten now: whoever goes on from an older version gets a 410;
    * ``stale``: reads show what was *seconds* or *versions* ago, and streams lag as much;
    * ``cut-off``: nothing is answered and running streams go silent, as behind a broken link; with ``hang=False``
      connections are cut instead.

    It ends after *count* requests, or after *duration* seconds, and otherwise when it is removed. A request that
    matches is hit with the *probability*. A cut-off knows no count and no probability.
    """

    action: Action
    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: int = 0
    status: int | None = None
    retry_after: float | None = None
    hang: bool = True
    count: int | None = None
    probability: float = 1.0
    duration: float | None = None

    def __attrs_post_init__(self) -> None:
        problems = [
            f"resources: {name!r} is not served; the plural is, and plural/status"
            for name in self.resources
            if name.partition("/")[0] not in BY_PLURAL
        ]
        if self.action == "status" and not 400 <= (self.status or 0) <= 599:
            problems.append(f"status: {self.status} is no error; a fault of this action needs one from 400 to 599")
        if self.action == "delay" and self.seconds <= 0:
            problems.append(f"seconds: {self.seconds} is no delay; it has to be more than 0")
        if self.action == "stale" and (self.seconds > 0) == (self.versions > 0):
            problems.append("stale: give either seconds or versions, more than 0")
        if self.action == "cut-off" and (self.count is not None or self.probability != 1):
            problems.append("cut-off: it can't have a count or a probability; give a duration, or remove it")
        if not 0 < self.probability <= 1:
            problems.append(f"probability: {self.probability} is not more than 0 and at most 1")
        if self.count is not None and self.count < 1:
            problems.append(f"count: {self.count} is not at least 1")
        if problems:
            raise ConfigError(problems)

    @property
    def is_instant(self) -> bool:
        """Whether it happens when it is added, and is over then."""
        return self.action in ("cut-streams", "expire")

    def selects(self, target: Target) -> bool:
        """Whether the selectors match."""
        return all(
            not wanted or found in wanted
            for wanted, found in (
                (self.verbs, target.verb),
                (self.resources, target.resource),
                (self.namespaces, target.namespace),
                (self.names, target.name),
                (self.users, target.user),
                (self.clients, target.client),
            )
        )


def read_fault(document: Any) -> Fault:
    """The fault that *document* (JSON) describes; raises ConfigError when it describes none."""
    known = {field.name for field in attrs.fields(Fault)}
    if not isinstance(document, dict) or (strangers := set(document) - known):
        what = ", ".join(sorted(strangers)) if isinstance(document, dict) else repr(document)
        raise ConfigError([f"fault: {what} is unknown; an object with some of {', '.join(sorted(known))} would be"])
    try:
        return msgspec.convert(document, Fault)
    except msgspec.ValidationError as error:
        raise ConfigError([f"fault: {error}"]) from error


@attrs.define(eq=False)
class _Set:
    fault: Fault
    ends: float | None
    left: int | None


@attrs.define(eq=False)
class Faults:
    """The faults that are set now. *clock* gives the seconds that durations count in; *rng* decides on chances."""

    clock: Callable[[], float]
    rng: random.Random = attrs.field(factory=random.Random)
    perform: Callable[[Fault], None] = lambda fault: None
    """Carries out an instant fault."""
    listeners: set[Callable[[], None]] = attrs.field(factory=set)
    """Called when what holds may have changed."""
    _set: dict[int, _Set] = attrs.field(factory=dict, init=False)
    _last: int = attrs.field(default=0, init=False)

    def add(self, fault: Fault) -> int:
        """Set a fault, or carry it out if it is an instant one; the number is for `remove`."""
        self._last += 1
        if fault.is_instant:
            self.perform(fault)
        else:
            ends = None if fault.duration is None else self.clock() + fault.duration
            self._set[self._last] = _Set(fault, ends, fault.count)
        self._notify()
        return self._last

    def remove(self, number: int) -> bool:
        """Take a fault back; tells whether it was still set."""
        found = self._set.pop(number, None)
        self._notify()
        return found is not None

    def clear(self) -> None:
        """Take all faults back."""
        self._set.clear()
        self._notify()

    def active(self) -> dict[int, Fault]:
        """The faults that are set, by number."""
        self._drop_ended()
        return {number: item.fault for number, item in self._set.items()}

    def strike(self, target: Target) -> list[Fault]:
        """The faults that hit this request; each is counted."""
        if not self._set:
            return []
        self._drop_ended()
        return [item.fault for number, item in list(self._set.items()) if self._hits(number, item, target)]

    def holding(self, action: Action, target: Target) -> Fault | None:
        """The fault of that action that holds for a request or stream right now; it isn't counted."""
        if not self._set:
            return None
        self._drop_ended()
        return next((s.fault for s in self._set.values() if s.fault.action == action and s.fault.selects(target)), None)

    def next_end(self) -> float | None:
        """When, on the clock, the next fault ends by itself."""
        return min((item.ends for item in self._set.values() if item.ends is not None), default=None)

    def _hits(self, number: int, item: _Set, target: Target) -> bool:
        fault = item.fault
        if not fault.selects(target) or (fault.probability < 1 and self.rng.random() >= fault.probability):
            return False
        if item.left is not None:
            item.left -= 1
            if not item.left:
                del self._set[number]
        return True

    def _drop_ended(self) -> None:
        now = self.clock()
        ended = [number for number, item in self._set.items() if item.ends is not None and item.ends <= now]
        for number in ended:
            del self._set[number]

    def _notify(self) -> None:
        for listener in tuple(self.listeners):
            listener()
