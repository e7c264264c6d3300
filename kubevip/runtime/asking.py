"""Asks the holder of a Lease to hand it over, and sees what comes of it: what ``kubevip handover`` does."""

import contextlib
import enum
import secrets
from typing import Protocol

import anyio
import attrs

from kubevip.errors import KubeVipError, LeaseConflict, NotFound
from kubevip.lease import Record
from kubevip.model import LeaseKey
from kubevip.ports import Asking, LeaseStore, Observation
from kubevip.succession import Request, Word

# A holder renews every second or two, and others write rarely: nobody loses as many races in a row.
TRIES = 10


class Store(LeaseStore, Asking, Protocol):
    """Where Leases are kept, and asked for."""


class Result(enum.Enum):
    """What came of a request."""

    MOVED = "handed over"
    ALREADY = "it was there already"
    ELSEWHERE = "another node took it"
    KEPT = "nobody else took it"
    REFUSED = "refused"
    UNANSWERED = "no answer"
    FREE = "nobody holds it"


@attrs.frozen(kw_only=True)
class Outcome:
    """The *result*, who held the Lease before and who does now, why, and after how many seconds that was known."""

    result: Result
    before: str
    holder: str
    why: str = ""
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it is as it was asked for."""
        return self.result in (Result.MOVED, Result.ALREADY)


async def hand_over(store: Store, lease: LeaseKey, *, to: str, by: str, within: float) -> Outcome:
    """Ask the holder of *lease* to hand over to the node *to*, or to any other where that is empty.

    *by* says who asks. A holder that hasn't answered *within* so many seconds is asked no more.

    :raises NotFound: if there is no such Lease.
    :raises ApiError: if the API server doesn't answer.
    """
    record = await store.read(lease)
    if record is None:
        raise NotFound(f"there is no Lease {lease}", status=404)
    if record.vacant:
        return Outcome(result=Result.FREE, before="", holder="", why="whoever campaigns for it takes it")
    if record.holder == to:
        return Outcome(result=Result.ALREADY, before=to, holder=to)
    request, record = await _ask(store, lease, record, to, by)
    began = anyio.current_time()
    asked = _Asked(request)
    with anyio.move_on_after(within):
        async with store.watch(lease, asked.saw):
            await asked.answered.wait()
    outcome = asked.outcome or await _unanswered(store, lease, request, within)
    return attrs.evolve(outcome, seconds=anyio.current_time() - began)


async def _ask(store: Store, lease: LeaseKey, record: Record, to: str, by: str) -> tuple[Request, Record]:
    for _ in range(TRIES):
        request = Request(record.holder, record.transitions, to, secrets.token_hex(8), by)
        try:
            return request, await store.ask(lease, str(request), record)
        except LeaseConflict:
            # The holder has renewed it. Whoever holds it now is asked.
            found = await store.read(lease)
            if found is None or found.vacant:
                raise
            record = found
    raise LeaseConflict(f"{lease} changes too often to write into it", status=409)


async def _unanswered(store: Store, lease: LeaseKey, request: Request, within: float) -> Outcome:
    """Take the request back: nobody reckons with it any more."""
    record = await store.read(lease)
    holder = record.holder if record is not None else ""
    if record is not None and Request.of(record) == request:
        with contextlib.suppress(KubeVipError):
            await store.ask(lease, "", record)
    if not holder:
        why = f"{request.holder} has released it, and nobody has taken it within {within:g} s"
        return Outcome(result=Result.FREE, before=request.holder, holder="", why=why)
    why = (
        f"{holder} has not heeded it within {within:g} s: either it is no kubevip (kube-vip knows no requests),"
        " or it is cut off; the request is withdrawn"
    )
    return Outcome(result=Result.UNANSWERED, before=request.holder, holder=holder, why=why)


@attrs.define(eq=False)
class _Asked:
    """Looks at what becomes of a Lease after a request."""

    _request: Request
    outcome: Outcome | None = attrs.field(default=None, init=False)
    answered: anyio.Event = attrs.field(factory=anyio.Event, init=False)

    def saw(self, observation: Observation) -> None:
        """Take what the watch shows."""
        record = observation.record
        if record is None or record.vacant or self.outcome is not None:
            return
        if (record.holder, record.transitions) != (self._request.holder, self._request.term):
            self._end(self._result(record.holder), record.holder)
            return
        word = Word.of(record)
        if word is not None and word.refused == self._request.id:
            self._end(Result.REFUSED, record.holder, word.why)

    def _result(self, holder: str) -> Result:
        if holder == self._request.holder:
            return Result.KEPT
        return Result.ELSEWHERE if self._request.to not in ("", holder) else Result.MOVED

    def _end(self, result: Result, holder: str, why: str = "") -> None:
        if result in (Result.KEPT, Result.ELSEWHERE) and self._request.to:
            why = f"{self._request.to} did not take it: it doesn't campaign, or it isn't fit"
        self.outcome = Outcome(result=result, before=self._request.holder, holder=holder, why=why)
        self.answered.set()
