"""Runs seeds of the simulation, and tells which of them break a promise, and how to see that again."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from kubevip.cli.pipes import tell_while_read
from kubevip.testing.simulation.crowd import begin, judge_all
from kubevip.testing.simulation.manners import KINDS, SPREAD
from kubevip.testing.simulation.promises import Situation
from kubevip.testing.simulation.scenario import Choice, draw
from kubevip.testing.simulation.verdict import Verdict, shrink, tell

_PROGRAM = "python -m kubevip.testing.simulation"


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; return 1 if a promise was broken."""
    return tell_while_read(lambda: _run(_parse(arguments)))


def _run(asked: argparse.Namespace) -> int:
    if asked.story is not None or asked.shrink is not None:
        return _tell(asked)
    return _judge(asked)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__, epilog="See docs/simulation.md.")
    seeds = parser.add_argument_group("which seeds")
    seeds.add_argument("--first", type=int, default=0, metavar="SEED", help="the first one (0)")
    seeds.add_argument("--count", type=_positive, default=1000, metavar="N", help="how many (1000)")
    seeds.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="in how many processes")
    seeds.add_argument("--patience", type=_positive, default=10, metavar="N", help="stop after so many that fail (10)")
    seeds.add_argument("--digests", action="store_true", help="tell what identifies the history of each seed")
    one = parser.add_argument_group("one seed").add_mutually_exclusive_group()
    one.add_argument("--story", type=int, metavar="SEED", help="tell all that happens in a seed")
    one.add_argument("--shrink", type=int, metavar="SEED", help="tell the same with as few faults as it takes")
    choice = parser.add_argument_group("instead of what each seed chooses")
    choice.add_argument("--failover", choices=("off", "fast"), help="vip_failover")
    choice.add_argument("--on-api-loss", choices=("fence", "hold", "quorum"), help="vip_on_api_loss")
    choice.add_argument("--heartbeat", type=_positive, metavar="MS", help="vip_heartbeat, for --failover fast")
    choice.add_argument("--kind", choices=(*KINDS, SPREAD), help="what it is about")
    choice.add_argument("--nodes", type=_positive, metavar="N", help="how many nodes")
    asked = parser.parse_args(arguments)
    if asked.failover == "off" and asked.on_api_loss == "quorum":
        parser.error("--on-api-loss quorum needs heartbeats: --failover fast")
    return asked


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; write 1 or more")
    return number


def _tell(asked: argparse.Namespace) -> int:
    begin()
    if asked.shrink is not None:
        scenario = shrink(draw(asked.shrink, _choice(asked)))
    else:
        scenario = draw(asked.story, _choice(asked))
    for line in tell(scenario):
        _say(line)
    return 0


def _judge(asked: argparse.Namespace) -> int:
    began, done, failed, virtual = time.monotonic(), 0, 0, 0.0
    judged: Counter[Situation] = Counter()
    choice = _choice(asked)
    for verdict in judge_all(range(asked.first, asked.first + asked.count), jobs=asked.jobs, choice=choice):
        done += 1
        virtual += verdict.virtual
        judged += verdict.judged
        if asked.digests:
            _say(f"{verdict.seed} {verdict.digest}")
        if verdict.violations:
            failed += 1
            _say_failed(verdict, choice)
        if failed >= asked.patience:
            break
        if done % 1000 == 0:
            _say(f"{done} seeds, {time.monotonic() - began:.0f} s")
    _say("how often each promise was put to the test (what must not be, or not for long):")
    for situation in Situation:
        _say(f"{judged[situation]:8}  {situation.value}")
    _say(
        f"{done} seeds from {asked.first} on, {failed} broke a promise;"
        f" {virtual:.0f} s of virtual time in {time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


def _say_failed(verdict: Verdict, choice: Choice) -> None:
    """Tell what was broken first, and how to run that again."""
    command = " ".join([_PROGRAM, *str(choice).split()])
    _say(str(verdict.violations[0]))
    _say(f"again: {command} --story {verdict.seed} (or --shrink {verdict.seed})")


def _choice(asked: argparse.Namespace) -> Choice:
    heartbeat = asked.heartbeat / 1000 if asked.heartbeat else None
    return Choice(
        failover=asked.failover,
        on_api_loss=asked.on_api_loss,
        heartbeat=heartbeat,
        nodes=asked.nodes,
        kind=asked.kind,
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
