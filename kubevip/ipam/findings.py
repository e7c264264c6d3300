"""What is found about a ConfigMap, and what is known of the networks around its pools: frozen values."""

import enum
from collections.abc import Mapping, Sequence

import attrs

from kubevip.ipam.blocks import Block
from kubevip.ipam.dialect import Problem
from kubevip.model import IPAddress

_MEANT = "; did you mean "


class Grade(enum.Enum):
    """How bad a finding is.

    An error keeps addresses from being assigned, or lets some be assigned that can't work. A warning is most likely
    not meant. A note says how something is read.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@attrs.frozen
class Finding:
    """Something about *key*, in a sentence. *nearest* is the key that may be meant; empty where none is near."""

    key: str
    text: str
    grade: Grade
    nearest: str = ""

    @classmethod
    def of(cls, problem: Problem) -> "Finding":
        """Make one of a problem that was found in reading."""
        text, _, nearest = problem.text.partition(_MEANT)
        return cls(problem.key, text, Grade(problem.severity.value), nearest.removesuffix("?"))

    @property
    def is_error(self) -> bool:
        """Whether it is an error."""
        return self.grade is Grade.ERROR


def error(key: str, text: str) -> Finding:
    """Return an error."""
    return Finding(key, text, Grade.ERROR)


def warning(key: str, text: str, nearest: str = "") -> Finding:
    """Return a warning."""
    return Finding(key, text, Grade.WARNING, nearest)


def note(key: str, text: str) -> Finding:
    """Return a note."""
    return Finding(key, text, Grade.NOTE)


@attrs.frozen(kw_only=True)
class Surroundings:
    """The networks of the Pods and of Services' cluster addresses, and the nodes' addresses, as far as known."""

    pods: tuple[Block, ...] = ()
    services: tuple[Block, ...] = ()
    nodes: Mapping[str, Sequence[IPAddress]] = attrs.field(factory=dict)


def shorten(texts: Sequence[str], most: int = 3) -> str:
    """Join *texts*, of which at most so many are told."""
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def plural(number: int, one: str, many: str) -> str:
    """Count something."""
    return f"{readable(number)} {one if number == 1 else many}"


def readable(number: int) -> str:
    """Write a number of addresses: with commas, from a million million on as 1.8e19."""
    return f"{number:,}" if number < 10**12 else f"{number:.1e}".replace("e+", "e")
