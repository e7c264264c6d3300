"""What a Lease says, what may be written into it, and the times that an election keeps."""

import math

import attrs

from kubevip.errors import ConfigError

# client-go waits between one and JitterFactor + 1 retry periods, so that candidates don't go in step.
JITTER_FACTOR = 1.2
# What a released Lease states as its duration (client-go, LeaderElector.release).
RELEASED_DURATION = 1


@attrs.frozen(kw_only=True)
class Timing:
    """The times of an election in seconds, with kube-vip's names and client-go's rules.

    *duration* is what the Lease states: others may take it when it hasn't changed for so long.
    *renew_deadline* is how long after its last successful renewal a leader goes on.
    *retry_period* is how often a leader renews, and about how often a candidate asks again.
    """

    duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __attrs_post_init__(self) -> None:
        problems = self.problems()
        if problems:
            raise ConfigError(problems)

    def problems(self) -> list[str]:
        """Say what is wrong with these times; each sentence names the values and what would be right."""
        found = []
        if self.duration != int(self.duration) or self.duration < 3:
            found.append(
                f"lease duration {self.duration:g} s: write whole seconds, 3 or more, because the kernel counts"
                " the lifetime of an address in whole seconds and is up to one late"
            )
        if self.retry_period <= 0:
            found.append(f"retry period {self.retry_period:g} s: it has to be above 0")
        if self.renew_deadline >= self.duration:
            found.append(
                f"renew deadline {self.renew_deadline:g} s: it has to be below the lease duration of"
                f" {self.duration:g} s, or two nodes may lead at once"
            )
        if self.renew_deadline <= JITTER_FACTOR * self.retry_period:
            found.append(
                f"renew deadline {self.renew_deadline:g} s: it has to be above {JITTER_FACTOR} times the retry"
                f" period, here {JITTER_FACTOR * self.retry_period:g} s"
            )
        return found

    @property
    def attempt_timeout(self) -> float:
        """How long one request may take: two fit into the deadline."""
        return max(self.retry_period, self.renew_deadline / 2)

    def beat_after(self, moment: float) -> float:
        """Return the first beat well after *moment*: the common times at which a node renews its Leases.

        All Leases of a node renew in step (at whole multiples of the retry period), because the kernel
        looks at the lifetimes of all addresses at once, and at most once a second.
        """
        return math.ceil(moment / self.retry_period + 0.1) * self.retry_period


@attrs.frozen
class Record:
    """What a Lease says. *holder* is empty where nobody holds it.

    *acquired* and *renewed* are the Lease's own texts, only ever compared for change; *version* is its
    resourceVersion. *badge* is what its holder says of its heartbeats (``kubevip.heartbeat``), *word* what it says of
    itself, and *request* what somebody asks of it (``kubevip.succession``). *original* is for the store alone, which
    gets the record back with a write.
    """

    holder: str
    duration: float
    transitions: int
    acquired: str = ""
    renewed: str = ""
    version: str = ""
    badge: str = attrs.field(default="", repr=False)
    original: object = attrs.field(default=None, eq=False, repr=False)
    word: str = ""
    request: str = ""

    @property
    def vacant(self) -> bool:
        """True where nobody holds the Lease."""
        return not self.holder

    def says_the_same(self, other: "Record") -> bool:
        """Compare what the holder wrote: client-go restarts its wait only when the record itself changed."""
        return attrs.evolve(self, version="", request="") == attrs.evolve(other, version="", request="")


@attrs.frozen
class Claim:
    """What a write would make of a Lease. *fresh*: the term starts now, so its acquire time is now.

    A *badge* is written, and a *word*; where there is none, that of the Lease stays.
    """

    holder: str
    duration: int
    transitions: int
    fresh: bool
    badge: str = attrs.field(default="", repr=False)
    word: str = ""


def older(version: str, than: str) -> bool:
    """Tell whether one resourceVersion is older than another.

    Kubernetes declares them comparable as decimal numbers (KEP-5504); anything else is taken as new.
    """
    if not (version.isdecimal() and than.isdecimal()):
        return False
    return int(version) < int(than)
