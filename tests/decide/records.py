"""Leases and candidates as the tests of the election need them."""

from kubevip.election import Candidate, Write
from kubevip.lease import Claim, Record, Timing
from kubevip.model import LeaseKey

LEASE = LeaseKey("kube-system", "plndr-cp-lock")
TIMING = Timing(duration=15, renew_deadline=10.0, retry_period=2.0)


def record(holder: str, version: int, *, duration: float = 15, transitions: int = 0, renewed: str = "") -> Record:
    return Record(holder, duration, transitions, acquired="a", renewed=renewed or str(version), version=str(version))


def candidate(identity: str = "a", timing: Timing = TIMING, *, jitter: float = 0.5) -> Candidate:
    return Candidate(LEASE, identity, timing, lambda: jitter)


def saw(who: Candidate, seen: Record, now: float) -> None:
    who.saw(seen, seen.version, now)


def written(claim: Claim, version: int, base: Record | None = None) -> Record:
    """What a store makes of a claim."""
    acquired = str(version) if claim.fresh or base is None else base.acquired
    return Record(claim.holder, claim.duration, claim.transitions, acquired, str(version), str(version))


def lead(who: Candidate, now: float, *, version: int = 1) -> Record:
    """Let *who* take an absent Lease at *now*."""
    who.read(None, now)
    step = who.next(now)
    assert isinstance(step, Write)
    made = written(step.claim, version)
    who.wrote(made, now, now)
    return made


def renew(who: Candidate, asked: float, now: float, *, version: int) -> Record:
    """Let *who* renew with a request sent at *asked* and answered at *now*."""
    step = who.next(asked)
    assert isinstance(step, Write), step
    made = written(step.claim, version, step.base)
    who.wrote(made, asked, now)
    return made
