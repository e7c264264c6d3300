"""Judges what follows from machines that are no nodes: witnesses that don't answer, others that claim addresses."""

from collections.abc import Iterator

import attrs

from kubevip.testing.history import Tenure, gaps
from kubevip.testing.simulation.chronicle import Contested, Lived, Wrote
from kubevip.testing.simulation.evidence import Evidence, Violation
from kubevip.testing.simulation.faults_spread import RecordGone
from kubevip.testing.simulation.faults_strangers import Claimed, WitnessesCut
from kubevip.testing.simulation.promises import Situation

# Before the kernel of a last holder can't be meant any more.
_LATE = 1.0
# Whoever was killed while he handed over has the address for longer than this; it is no mistake to tell of him.
_SHARED = 0.5
# Whoever is silent for so long has ended a conflict (kubevip.rivalry), as far as whoever asks now and then can tell.
_REMEMBERED = 45.0
# What was verified once has so many seconds to be verified again (kubevip.runtime.verifying), on another Lease.
_ANEW = 2.0


@attrs.frozen
class Strangers:
    """Whom no witness answers lets others try; a claim is told, and answered as was asked for; none is made up."""

    evidence: Evidence

    def violations(self) -> Iterator[Violation]:
        """Yield what was broken."""
        yield from self._made_up()
        for fault in self.evidence.run.scenario.faults:
            if isinstance(fault, WitnessesCut):
                yield from self._unverified(fault)
            elif isinstance(fault, Claimed):
                yield from self._claimed(fault)

    # Witnesses

    def _unverified(self, fault: WitnessesCut) -> Iterator[Violation]:
        """Whoever takes an address behind a dead uplink offers its Lease when its time is over."""
        manners = self.evidence.run.scenario.manners
        if manners.verify != "resign":
            return
        allowed = manners.verify_timeout + 2 * _ANEW + self.evidence.allowed(Situation.UNVERIFIED)
        for tenure in self.evidence.tenures:
            by = tenure.start + allowed
            taken_then = fault.start < tenure.start and by < min(fault.end, self.evidence.run.end)
            if taken_then and tenure.node in fault.nodes and self._is_only_cut(fault, tenure, by):
                self.evidence.judged[Situation.UNVERIFIED] += 1
                if by < tenure.end and not self._offered(tenure, by):
                    text = f"{tenure.node} has {tenure.address}, and no witness has answered it for {allowed:.3f} s"
                    yield self.evidence.violation(by, "kept unverified", text)

    def _is_only_cut(self, fault: WitnessesCut, tenure: Tenure, until: float) -> bool:
        """Tell whether it is the first Lease that the node takes then, and nothing else is wrong."""
        first = min(
            each.start for each in self.evidence.tenures if each.node == tenure.node and each.start > fault.start
        )
        near = self.evidence.weather.striking(self.evidence.run.scenario.nodes, fault.start, until)
        alone = all(other is fault or other.hands_over for other in near)
        return alone and tenure.start - first < self.evidence.allowed(Situation.UNVERIFIED)

    def _offered(self, tenure: Tenure, until: float) -> bool:
        lease = self.evidence.lease(tenure.address)
        return any(
            write.node == tenure.node
            and write.lease == lease
            and not write.holder
            and tenure.start < write.time <= until
            for write in self.evidence.run.chronicle.all(Wrote)
        )

    # Claims

    def _made_up(self) -> Iterator[Violation]:
        """Our own handovers are no conflicts."""
        self.evidence.judged[Situation.MADE_UP] += 1
        first = min(
            (f.start for f in self.evidence.run.scenario.faults if isinstance(f, Claimed)), default=float("inf")
        )
        if self.evidence.allowed(Situation.MADE_UP) > 0:
            return
        for told in self.evidence.run.chronicle.all(Contested):
            if (told.told or self._met(told)) and told.time < first and not self._was_shared(told):
                yield self.evidence.violation(told.time, "a conflict made up", f"{told}, and there was none")

    def _met(self, told: Contested) -> bool:
        """Tell whether it met a machine that answered, and could know whose the Lease, or the address, was."""
        faults = self.evidence.run.scenario.faults
        unknown = any(isinstance(fault, RecordGone) and fault.start <= told.time for fault in faults)
        return told.met > 0 and not unknown and not self.evidence.weather.hides_api(told.node, 0.0, told.time)

    def _was_shared(self, told: Contested) -> bool:
        """Tell whether another node really had an address beside its holder for longer than a handover takes."""
        own = [each for each in self.evidence.tenures if each.node == told.node and each.start <= told.time]
        return any(
            other.address == each.address and other.node != each.node and each.overlap(other) > _SHARED
            for each in own
            for other in self.evidence.tenures
        )

    def _claimed(self, fault: Claimed) -> Iterator[Violation]:
        scenario = self.evidence.run.scenario
        allowed = self.evidence.allowed(Situation.UNTOLD) + fault.every
        before = max(scenario.linger, scenario.timing.duration) + _LATE
        until = fault.start + allowed
        near = list(self.evidence.weather.striking(scenario.nodes, fault.start - 1.0, fault.end))
        holders = [
            tenure
            for tenure in self.evidence.tenures
            if tenure.address == fault.address and tenure.start + before < fault.start < tenure.end
        ]
        if near != [fault] or until > fault.end or len(holders) != 1 or self._was_claimed(fault):
            return
        (holder,) = holders
        if any(
            each.what != Lived.BEGINS and fault.start - before < each.time < fault.end for each in self._lives(holder)
        ):
            return
        yield from self._untold(fault, holder)
        if scenario.manners.conflict == "yield":
            yield from self._not_yielded(fault, until)
        else:
            yield from self._let_go(fault)

    def _was_claimed(self, fault: Claimed) -> bool:
        """Tell whether it was claimed before, and lately: that is one conflict, and told once."""
        claims = [each for each in self.evidence.run.scenario.faults if isinstance(each, Claimed) and each is not fault]
        return any(
            each.address == fault.address and each.start <= fault.start <= each.end + _REMEMBERED for each in claims
        )

    def _lives(self, tenure: Tenure) -> list[Lived]:
        return [each for each in self.evidence.run.chronicle.all(Lived) if each.node == tenure.node]

    def _untold(self, fault: Claimed, holder: Tenure) -> Iterator[Violation]:
        self.evidence.judged[Situation.UNTOLD] += 1
        policy = self.evidence.run.scenario.manners.conflict
        told = [each for each in self.evidence.run.chronicle.all(Contested) if each.node == holder.node]
        if not any(fault.start < each.time <= fault.end and _answered(each, policy) for each in told):
            text = (
                f"another machine claims {fault.address}, and {holder.node} does not {policy} until {fault.end:.3f} s"
            )
            yield self.evidence.violation(fault.end, "a conflict untold", text)

    def _not_yielded(self, fault: Claimed, until: float) -> Iterator[Violation]:
        self.evidence.judged[Situation.YIELDED] += 1
        # Whoever has yielded comes back to see whether the other machine is silent: that is another tenure.
        for tenure in self.evidence.tenures:
            if tenure.address == fault.address and tenure.start <= fault.start and until < tenure.end:
                text = f"{tenure.node} has {tenure.address} {until - fault.start:.3f} s after this: {fault}"
                yield self.evidence.violation(until, "not yielded", text)

    def _let_go(self, fault: Claimed) -> Iterator[Violation]:
        self.evidence.judged[Situation.CLAIMED] += 1
        for start, end in gaps(self.evidence.tenures, fault.address, start=fault.start, end=fault.end):
            if end - start > self.evidence.allowed(Situation.CLAIMED):
                text = f"nobody has {fault.address} for {end - start:.3f} s, because another machine claims it"
                yield self.evidence.violation(start, "let go to another machine", text)


def _answered(contested: Contested, policy: str) -> bool:
    counts = {"alarm": contested.told, "defend": contested.defended, "yield": contested.yielded}
    return counts[policy] > 0
