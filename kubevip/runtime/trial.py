"""One takeover that is to be verified: the addresses of one family that a Lease brought to one interface.

A few of them stand for all. What is to be known is whether the segment carries our frames, both ways, and whether
it believes us; that is the same for a thousand addresses of one interface, and a thousand questions at once would
be the storm that gateways defend themselves against. Each address is announced by itself, since switches and
neighbours have to learn each one; asking adds nothing to that.
"""

import contextlib
import functools
from collections.abc import Callable

import anyio
import attrs

from kubevip.backend import Answer
from kubevip.errors import KubeVipError
from kubevip.model import Family, IPAddress, LeaseKey, Vip
from kubevip.runtime.announcer import PATIENCE, Announcer, attempt
from kubevip.runtime.witnesses import Found, Source

# So many addresses stand for all, and so many questions are sent at once.
SAMPLE, AT_ONCE = 2, 6
# Pauses between questions, in seconds: each is twice the one before it.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0


@attrs.frozen(order=True)
class Place:
    """Where a takeover is verified."""

    lease: LeaseKey
    interface: str
    family: Family


@attrs.define(eq=False)
class Trial:
    """Asks until somebody answers, and then calls *answered*.

    *began* is since when the addresses were to be held, on the loop's clock. *takeover* is false where it isn't one:
    the link has changed under addresses that are held.
    """

    place: Place
    _announcer: Announcer
    _answered: "Callable[[Trial], None]"
    began: float
    due: float
    takeover: bool = True
    vips: dict[Vip, None] = attrs.field(factory=dict, init=False)
    found: Found = attrs.field(default=Found((), Source.NOBODY), init=False)
    first_asked: float | None = attrs.field(default=None, init=False)
    answer: Answer | None = attrs.field(default=None, init=False)
    answered_at: float = attrs.field(default=0.0, init=False)
    overdue: bool = attrs.field(default=False, init=False)
    rounds: int = attrs.field(default=0, init=False)
    trouble: str = attrs.field(default="", init=False)
    _ears: contextlib.ExitStack | None = attrs.field(default=None, init=False)

    @property
    def verified(self) -> bool:
        """Whether somebody has answered."""
        return self.answer is not None

    @property
    def pending(self) -> bool:
        """Whether somebody was asked, and nobody has answered."""
        return self.answer is None and self.first_asked is not None

    @property
    def sample(self) -> list[Vip]:
        """The addresses that stand for all."""
        return [vip for vip, _ in zip(self.vips, range(SAMPLE), strict=False)]

    async def ask(self, pairs: list[tuple[Vip, IPAddress]], now: float) -> bool:
        """Ask once, and say when to ask again; tell whether the backend can ask at all."""
        self.due = now + min(FIRST_PAUSE * 2.0**self.rounds, LONGEST_PAUSE)
        self.rounds += 1
        self.trouble = ""
        able, error = False, None

        async def inquire(witness: IPAddress, vip: Vip) -> None:
            nonlocal able
            able = await self._announcer.backend.inquire(vip, witness) or able

        with anyio.move_on_after(PATIENCE) as scope:
            error = self._listen()
            for vip, witness in pairs[:AT_ONCE]:
                error = await attempt(functools.partial(inquire, witness), vip) or error
        if scope.cancelled_caught:
            error = TimeoutError(f"no answer within {PATIENCE:g} s")
        if isinstance(error, KubeVipError):
            able, self.trouble = True, str(error)
        elif error is not None:
            able, self.trouble = True, f"backend {self._announcer.name!r} failed: {error!r}"
        if able and self.first_asked is None:
            self.first_asked = now
        return able

    def _listen(self) -> Exception | None:
        if self._ears is not None:
            return None
        ears = contextlib.ExitStack()
        try:
            ears.enter_context(self._announcer.backend.answers(self.place.interface, self._heard))
        except Exception as error:
            return error
        self._ears = ears
        return None

    def _heard(self, answer: Answer) -> None:
        expected = answer.witness in self.found.addresses and any(vip.address == answer.asker for vip in self.sample)
        if self.answer is None and expected:
            self.answer = answer
            self._answered(self)

    def close(self) -> None:
        """Listen no more."""
        if self._ears is not None:
            self._ears.close()
            self._ears = None
