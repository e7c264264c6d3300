"""Bugs of one line each, and a way to run simulations with one of them that can't leak into the checkout.

Where two lines guard one promise (an elector tells the end of a term, and a keeper looks at the clock itself), neither
of them alone is a bug that anybody could see, and none of them is here.

``python tests/simulation/mutants.py [NAME ...]`` looks for each of them (all, unless named) within its number of seeds,
or by its test.
``python tests/simulation/mutants.py --within NAME [arguments of python -m kubevip.testing.simulation]`` runs the
simulation in a process where one line of one module is another one. The module is compiled from the changed text; no
file is written, not even bytecode.
"""

import concurrent.futures
import importlib.abc
import importlib.machinery
import importlib.util
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import attrs


@attrs.frozen
class Mutant:
    """In *module*, *right* is *wrong*. It is found with *failover*, in scenarios of *kind*, within *budget* seeds.

    Where it takes a scenario that seeds hardly ever draw, a *test* beside this module finds it: its file and its name.
    """

    name: str
    module: str
    right: str
    wrong: str
    failover: str = "off"
    budget: int = 300
    kind: str = "plain"
    test: str = ""

    def change(self, source: str) -> str:
        """Return *source* with the bug in it."""
        count = source.count(self.right)
        if count != 1:
            raise ValueError(
                f"mutant {self.name}: {self.right!r} is {count} times in {self.module}, and has to be once"
            )
        return source.replace(self.right, self.wrong)


MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            "a-cordon-is-not-seen",
            "kubevip.kube.cordon",
            "self._told(found.spec.unschedulable)",
            "self._told(False)",
            kind="fitness",
        ),
        Mutant(
            "a-check-that-fails-is-well",
            "kubevip.runtime.checking",
            "turned = self._streak.add(not reason)",
            "turned = self._streak.add(True)",
            kind="fitness",
        ),
        Mutant(
            "whoever-was-not-asked-for-takes-it",
            "kubevip.eligibility",
            "return pauses.turn + self.order(self.node)",
            "return 0.0",
            kind="fitness",
        ),
        Mutant(
            "whoever-hands-over-takes-it-back",
            "kubevip.eligibility",
            "        if request.holder == self.node:\n            return pauses.patience",
            "        if request.holder == self.node:\n            return 0.0",
            kind="fitness",
        ),
        Mutant(
            "the-unfit-do-not-wait-their-turn",
            "kubevip.eligibility",
            "return pauses.patience + step * (1 if severity == 2 else -1) - (step if been_holder else 0)",
            "return 0.0",
            kind="fitness",
        ),
        Mutant(
            "a-request-is-heeded-only-once",
            "kubevip.runtime.fitness",
            "if request is None or (request.term, request.id) in self._answered or self._elector.term is None:",
            "if request is None or self._answered or self._elector.term is None:",
            kind="fitness",
        ),
        Mutant(
            "nobody-fails-back",
            "kubevip.eligibility",
            "if self.failback is None or self._rank(self.node) >= self._rank(record.holder):",
            "if self.failback is None or self._rank(self.node) <= self._rank(record.holder):",
            kind="fitness",
        ),
        Mutant(
            "it-is-given-up-without-a-word",
            "kubevip.runtime.fitness",
            "self._keeper.expect_successor(self._elector.lease)",
            "pass",
            kind="fitness",
        ),
        Mutant(
            "what-is-not-verified-is-kept",
            "kubevip.runtime.verifying",
            "late = trial.first_asked is not None and self._now() >= trial.first_asked + self.timeout",
            "late = trial.first_asked is not None and self._now() >= trial.first_asked + 10 * self.timeout",
            kind="witnesses",
        ),
        Mutant(
            "it-is-not-defended",
            "kubevip.rivalry",
            "case.defended = now\n            found.append(Step(Act.DEFEND, vip, mac))\n        return found\n\n",
            "case.defended = now\n        return found\n\n",
            kind="conflicts",
        ),
        Mutant(
            "who-yields-keeps-the-address",
            "kubevip.runtime.keeper",
            "self._clearance.contest(vip, mac, pause)\n            self._look_at((vip,))",
            "self._clearance.contest(vip, mac, 0.0)",
            kind="conflicts",
        ),
        Mutant(
            "who-is-only-warned-yields",
            "kubevip.rivalry",
            "if self.policy is Policy.YIELD:\n            return [Step(Act.YIELD, vip, mac)]",
            "if self.policy is not Policy.DEFEND:\n            return [Step(Act.YIELD, vip, mac)]",
            kind="conflicts",
        ),
        Mutant(
            "an-answer-that-is-late-is-a-rivals",
            "kubevip.runtime.clearance",
            "        if patient or question.told == mac or not self._leads(vip):",
            "        if question.told == mac:",
            kind="conflicts",
        ),
        Mutant(
            "endpoints-elsewhere-are-as-good",
            "kubevip.service",
            "return self.here > 0 if wanted.policy is TrafficPolicy.LOCAL else self.anywhere > 0",
            "return self.anywhere > 0",
            kind="services",
        ),
        Mutant(
            "a-route-stays-without-endpoints",
            "kubevip_routes",
            "self._announced.pop(vip.address, None)\n        self._present.pop(vip.address, None)\n        await self",
            "self._announced.pop(vip.address, None)\n        self._present.pop(vip.address, None)\n        self",
            kind="routed",
        ),
        Mutant(
            "the-term-counts-from-the-answer",
            "kubevip.election",
            "self._granted = asked if record.holder == self.identity and",
            "self._granted = now if record.holder == self.identity and",
        ),
        Mutant(
            "the-lease-is-taken-at-the-holders-deadline",
            "kubevip.election",
            "return Cause.EXPIRED, self._observed_at + (self._record.duration or self.timing.duration)",
            "return Cause.EXPIRED, self._observed_at + self.timing.renew_deadline",
        ),
        Mutant(
            "a-renewal-does-not-restart-the-wait",
            "kubevip.election",
            "        if not self._continues(record):\n            self._observed_at = now",
            "        if self._record is None:\n            self._observed_at = now",
        ),
        Mutant(
            "the-news-of-another-holder-changes-nothing",
            "kubevip.election",
            "if record is None or not self._ours(record):\n            self._granted, self._reaffirmed =",
            "if record is None:\n            self._granted, self._reaffirmed =",
            failover="fast",
        ),
        Mutant(
            "whoever-has-it-may-announce",
            "kubevip.runtime.keeper",
            "return self._mandates.may_claim(vip) and self._held.is_on_link(vip)",
            "return self._held.is_on_link(vip)",
        ),
        Mutant(
            "what-was-held-is-kept",
            "kubevip.runtime.keeper",
            "keep=self._handover.lingering(),",
            "keep=self._held,",
        ),
        Mutant(
            "the-wire-is-not-asked",
            "kubevip.runtime.entitlement",
            "lacking = self._clearance.lacking(led.keys())",
            "lacking = set()",
        ),
        Mutant(
            "an-expired-lease-needs-no-asking",
            "kubevip.runtime.clearance",
            "if cause in (Cause.VACANT, Cause.MISSED):",
            "if cause in (Cause.VACANT, Cause.MISSED, Cause.EXPIRED):",
        ),
        Mutant(
            "nobody-looks-out-for-a-successor",
            "kubevip.runtime.parting",
            "self._handover.watch(vips)",
            "self._handover.watch([])",
        ),
        Mutant(
            "the-successor-is-not-believed",
            "kubevip.runtime.handover",
            "self._until[vip] = min(self._until[vip], self._now() + SETTLE)",
            "self._until[vip] = max(self._until[vip], self._now() + SETTLE)",
        ),
        Mutant(
            "who-was-seen-early-is-forgotten",
            "kubevip.runtime.handover",
            "self._until[vip] = self._now() + SETTLE if vip in self._superseded else until",
            "self._until[vip] = until",
        ),
        Mutant(
            "break-before-make",
            "kubevip.runtime.handover",
            "over = [vip for vip, until in self._until.items() if until <= now]",
            "over = list(self._until)",
        ),
        Mutant(
            "a-repetition-asks-nobody",
            "kubevip.runtime.announcer",
            "return self._round.get(vip) == rounds[vip] and self.may_announce(vip)",
            "return self._round.get(vip) == rounds[vip]",
        ),
        Mutant(
            "no-patience-with-a-late-kernel",
            "kubevip.runtime.clearance",
            "PATIENCE = 1.0",
            "PATIENCE = 0.0",
        ),
        Mutant(
            "an-answer-counts-for-nothing",
            "kubevip.runtime.clearance",
            "ready = [*(vip for vip in still if vip not in answered), *over]",
            "ready = list(still)",
        ),
        Mutant(
            "lifetimes-are-rounded-up",
            "kubevip.fence",
            "return max(0, math.floor(min(rest - LATEST_CHECK, (rest - ROUNDING) / WHEEL)))",
            "return max(0, math.ceil(min(rest - LATEST_CHECK, (rest - ROUNDING) / WHEEL)))",
        ),
        Mutant(
            "a-lifetime-is-the-whole-lease",
            "kubevip.reconcile",
            "_lifetime(term.expires - now, lag)",
            "_lifetime(term.expires - now + 1, lag)",
        ),
        Mutant(
            "news-while-leaving-are-taken-for-a-new-term",
            "kubevip.runtime.keeper",
            "if not self._mandates.leaves(lease):",
            "if True:",
            test="../runtime/test_handover.py::"
            "test_a_successor_that_was_seen_counts_though_an_older_renewal_is_answered_after_it",
        ),
        Mutant(
            "who-answers-is-hurried-nevertheless",
            "kubevip.runtime.pulse",
            "silent = 0 if answered else silent + 1",
            "silent = silent + 1",
            failover="fast",
        ),
        Mutant(
            "nobody-is-ever-missed",
            "kubevip.heartbeat",
            "return self.silent_for(now, MISSED + self.rank(now))",
            "return self.silent_for(now, 1000 * MISSED + self.rank(now))",
            failover="fast",
        ),
        Mutant(
            "everybody-is-the-last-in-turn",
            "kubevip.heartbeat",
            "return sorted({*self.company(now), self.own}).index(self.own)",
            "return len({*self.company(now), self.own}) + 3",
            failover="fast",
        ),
        Mutant(
            "candidates-are-not-heard",
            "kubevip.runtime.pulse",
            "if leading != (vigil.badge.holder == self._elector.identity):",
            "if not leading or leading != (vigil.badge.holder == self._elector.identity):",
            failover="fast",
        ),
        Mutant(
            "the-lease-of-the-missed-is-waited-for",
            "kubevip.election",
            "if self._record.holder == self._missed:",
            "if self._record.holder == self._missed == self.identity:",
            failover="fast",
        ),
        Mutant(
            "who-may-have-been-missed-keeps-the-address",
            "kubevip.runtime.voice",
            "return self._spoke_at + _COUNTED_ON * MISSED * self._interval - answer_within(self._interval)",
            "return self._spoke_at + 10 * MISSED * self._interval",
            failover="fast",
            kind="links",
        ),
        Mutant(
            "who-is-cut-off-misses-others",
            "kubevip.runtime.voice",
            "could, self._was_cut = not self._was_cut, not self._carried",
            "could, self._was_cut = True, not self._carried",
            failover="fast",
            kind="links",
        ),
        Mutant(
            "a-deleted-address-is-not-missed",
            "kubevip.runtime.holdings",
            "self._held[vip] = attrs.evolve(self._held[vip], ends=None, announced=False)",
            "self._held[vip] = attrs.evolve(self._held[vip], announced=False)",
        ),
        Mutant(
            "a-silent-term-is-overwritten-at-once",
            "kubevip.spread.roster",
            "return self in (Fate.LEFT, Fate.BURIED, Fate.GONE)",
            "return self in (Fate.LEFT, Fate.BURIED, Fate.GONE, Fate.SILENT)",
            kind="spread",
        ),
        Mutant(
            "every-record-that-names-us-is-of-this-term",
            "kubevip.spread.spreading",
            'return holder.node == self.node and holder.term == self.term != ""',
            'return holder.node == self.node and self.term != ""',
            kind="spread",
        ),
        Mutant(
            "what-is-given-away-is-kept-until-it-is-seen",
            "kubevip.spread.spreading",
            "self._given[address] = (write.held[address].turn, write.key)",
            "self._given.pop(address, None)",
            kind="spread",
        ),
        Mutant(
            "an-unfit-node-keeps-what-it-has",
            "kubevip.placement",
            "return tuple([node for node in reaching if not node.unfit] or reaching)",
            "return tuple(reaching)",
            kind="spread",
        ),
        Mutant(
            "what-was-passed-on-goes-at-once",
            "kubevip.controllers.spread",
            "        if change.given:\n",
            "        if change.given and not vip:\n",
            kind="spread",
        ),
        Mutant(
            "a-new-life-goes-on-with-the-old-term",
            "kubevip.controllers.spread",
            "continues = base is not None and base.holder == self.node",
            "continues = base is not None",
            kind="spread",
        ),
        Mutant(
            "orders-are-not-heeded",
            "kubevip.controllers.spread",
            "if orders is None or orders.term != self._spreading.term:",
            "if orders is None or orders.term == self._spreading.term:",
            kind="spread",
        ),
        Mutant(
            "answers-for-what-a-missing-node-has-say-nothing",
            "kubevip.runtime.inquest",
            "silent = 0 if answered else silent + 1",
            "silent = silent + 1",
            failover="fast",
            kind="spread",
        ),
        Mutant(
            "nodes-that-are-cut-off-judge-others",
            "kubevip.runtime.inquest",
            "return lately or self._lookout.has_company(link, now, but=node)",
            "return True",
            test="test_spread_beats.py::test_two_nodes_without_a_witness_wait_for_the_lease",
        ),
        Mutant(
            "a-node-that-is-cut-off-keeps-what-it-has",
            "kubevip.runtime.sender",
            "if still_alone() and self._term is not None and self._asked == self._term.expires:",
            "if still_alone() and self._term is None:",
            test="test_spread_beats.py::test_node_that_is_cut_off_from_everything_has_nothing_before_others_may_meet_it",
        ),
        Mutant(
            "what-a-node-says-to-live-by-is-not-noted",
            "kubevip.runtime.nodepulse",
            "            self.voice.spoke(badge.interval)\n",
            "            self.voice.begin()\n",
            failover="fast",
            budget=60,
            kind="spread",
        ),
        Mutant(
            "who-may-have-been-missed-keeps-what-it-has",
            "kubevip.runtime.nodefitness",
            "            self.voice.cut()\n",
            "            self.voice.could_hear()\n",
            test="test_spread_links.py::test_when_a_link_is_back_no_two_have_an_address",
        ),
        Mutant(
            "what-belongs-on-a-dead-link-stays",
            "kubevip.spreadmode",
            "parts.links.subnets(but=fitness.dead)",
            "parts.links.subnets()",
            test="test_spread_links.py::"
            "test_a_node_with_a_dead_link_leaves_to_others_what_belongs_there_and_keeps_the_rest",
        ),
        Mutant(
            "company-on-any-link-will-do",
            "kubevip.lookout",
            "return any(node != but and heard.lately(now, link) for node, heard in self._nodes.items())",
            "return any(node != but and heard.lately(now) for node, heard in self._nodes.items())",
            test="test_spread_links.py::test_who_has_no_company_on_the_link_of_a_silent_node_does_not_judge_it",
        ),
        Mutant(
            "the-term-of-a-missing-node-is-over-without-a-write",
            "kubevip.spread.roster",
            "return (Fate.LIVE if now < end else Fate.SILENT), math.inf",
            "return (Fate.LIVE if now < end else Fate.BURIED if known.missed else Fate.SILENT), math.inf",
            failover="fast",
            kind="spread",
        ),
    )
}


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the changed text."""

    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_data(self, path: str) -> bytes:
        return self._mutant.change(Path(path).read_text(encoding="utf-8")).encode()

    def path_stats(self, path: str) -> dict[str, float]:
        # Without the time of the file no bytecode is read or written.
        raise OSError("the file is not what is compiled")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module before all others do."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin, self._mutant)
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=loader)


def run_with(mutant: Mutant, *, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
    """Run what finds *mutant* with it, in a process of its own, until it is found or its budget is spent."""
    mode = ("--failover", mutant.failover, "--on-api-loss", "fence", "--kind", mutant.kind)
    seeds = (*mode, "--count", str(mutant.budget), "--jobs", "1", "--patience", "1")
    return subprocess.run(
        [sys.executable, __file__, "--within", mutant.name, *([] if mutant.test else seeds)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def found_in(done: subprocess.CompletedProcess[str]) -> str:
    """Return the first line that tells what was broken; empty where nothing was.

    :raises RuntimeError: if the simulation, or the test, could not be run.
    """
    told = next((line for line in done.stdout.splitlines() if line.startswith(("seed ", "FAILED "))), "")
    if done.returncode != bool(told):
        raise RuntimeError(f"the simulation ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return told


def _find_all(names: Sequence[str]) -> int:
    """Look for the mutants of these names, and tell what found each; return how many were not found, or are unknown."""
    if unknown := set(names) - set(MUTANTS):
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MUTANTS)}", file=sys.stderr)
        return len(unknown)
    mutants = [MUTANTS[name] for name in names or MUTANTS]
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, done in zip(mutants, pool.map(run_with, mutants), strict=True):
            told = found_in(done)
            missed += not told
            missing = f"not found by {mutant.test}" if mutant.test else f"not found within {mutant.budget} seeds"
            print(f"{mutant.name} ({mutant.module}): {told or missing}", flush=True)
    print(f"{len(mutants) - missed} of {len(mutants)} found")
    return missed


def _run_within(mutant: Mutant) -> None:
    sys.meta_path.insert(0, _Finder(mutant))
    if mutant.test and not sys.argv[1:]:
        sys.argv[1:] = ["-q", "-p", "no:cacheprovider", str(Path(__file__).parent / mutant.test)]
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
        return
    runpy.run_module("kubevip.testing.simulation", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--within"]:
        del sys.argv[1]
        _run_within(MUTANTS[sys.argv.pop(1)])
    else:
        sys.exit(min(1, _find_all(sys.argv[1:])))
