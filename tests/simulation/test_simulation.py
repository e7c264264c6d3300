"""Whole agents in virtual time: the same seed is the same run, and what was found once stays found."""

import os
import subprocess
import sys
from typing import Any

import attrs
import pytest

from kubevip.testing.simulation import program
from kubevip.testing.simulation.chronicle import Announced, Lived, Moved, Reached, Wrote
from kubevip.testing.simulation.evidence import Violation
from kubevip.testing.simulation.faults_node import (
    Crash,
    PowerOff,
    Restart,
    SlowKernel,
    Stall,
)
from kubevip.testing.simulation.scenario import Choice, Scenario, draw
from kubevip.testing.simulation.simulation import Run
from kubevip.testing.simulation.verdict import Verdict, judge, judge_seed, shrink, tell

ALL = ("n1", "n2", "n3")
OFF = Choice(failover="off", on_api_loss="fence", kind="plain")


def plain(*faults: object, seed: int = 1, **how: object) -> Scenario:
    """Three nodes with a control plane and a Service, which *faults* strike."""
    found = next(
        scenario
        for number in range(1000)
        if len((scenario := draw(number, OFF)).clocks) == 3
        and [service.name for service in scenario.services] == ["web"]
        and scenario.control_plane
    )
    return attrs.evolve(found, **{"seed": seed, "latency": 0.005, "faults": tuple(faults), **how})


def as_promised(*faults: object, **how: object) -> Run:
    run, violations = judge(plain(*faults, **how))
    assert violations == [], "\n".join(map(str, violations))
    return run


def simulate(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubevip.testing.simulation", *arguments],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )


def holders(run: Run) -> set[str]:
    return {move.node for move in run.chronicle.all(Moved) if move.present}


# Repetition


@pytest.mark.parametrize(("failover", "kind"), [("off", "mixed"), ("fast", "mixed"), ("off", "spread")])
def test_the_same_seed_is_the_same_history(failover: str, kind: str) -> None:
    one, other = (judge_seed(5, Choice(failover=failover, kind=kind)) for _time in range(2))
    assert one.digest == other.digest
    assert judge_seed(6, Choice(failover=failover, kind=kind)).digest != one.digest


def digests(*arguments: str, seed: str) -> list[str]:
    return [line for line in simulate(*arguments, "--digests", seed=seed).stdout.splitlines() if len(line.split()) == 2]


def test_a_seed_is_the_same_history_in_each_process_whatever_its_hash_seed_and_what_ran_before() -> None:
    whole = digests("--count", "6", "--jobs", "1", seed="1")
    parts = digests("--count", "6", "--jobs", "2", seed="2")
    last = digests("--first", "5", "--count", "1", seed="random")
    assert [line.split()[0] for line in whole] == ["0", "1", "2", "3", "4", "5"]
    assert sorted(parts) == whole
    assert last == whole[5:]


def test_the_scenario_of_a_seed_is_told_with_the_seed_and_its_faults() -> None:
    text = str(draw(12))
    assert text.startswith("seed 12: ")
    assert text.count("\n  fault ") == len(draw(12).faults)


# What is seen in a run


def test_without_a_fault_one_node_takes_all_and_keeps_it() -> None:
    run = as_promised()
    assert len({write.node for write in run.chronicle.all(Wrote)}) in (1, 2)
    assert [move for move in run.chronicle.all(Moved) if not move.present] == []


def test_a_rolling_update_is_not_noticed() -> None:
    stops = [Restart(start=4.0 + 4 * number, duration=1.0, nodes=(node,)) for number, node in enumerate(ALL)]
    run = as_promised(*stops)
    first = next(event.time for event in run.chronicle.all(Reached) if event.node)
    assert [event for event in run.chronicle.all(Reached) if event.time > first + 1 and not event.node] == []
    assert len(holders(run)) > 1


def test_a_node_whose_power_goes_is_replaced() -> None:
    offs = [PowerOff(start=4.0 + 14 * number, duration=12.0, nodes=(node,)) for number, node in enumerate(ALL)]
    assert len(holders(as_promised(*offs))) > 1


# What the simulation has found


def test_an_agent_that_was_killed_while_it_handed_over_leaves_nothing_to_its_next_life() -> None:
    kills = [Restart(start=4.0 + 4 * number, duration=0.004, nodes=(node,)) for number, node in enumerate(ALL)]
    run = as_promised(*kills)
    killed = [event for event in run.chronicle.all(Lived) if event.what == Lived.KILLED]
    assert killed


def test_who_has_asked_for_its_release_claims_nothing_any_more() -> None:
    # The answer takes so long that an announcement falls due meanwhile.
    for number in range(20):
        stop = Restart(start=2.5 + number / 10, duration=5.0, nodes=ALL[:2])
        run = as_promised(stop, seed=number, latency=0.3)
        assert list(run.chronicle.all(Announced))


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_who_stood_still_while_he_waited_for_his_kernel_holds_addresses_again(seed: int) -> None:
    slow = SlowKernel(start=2.0, duration=15.0, nodes=ALL, delay=0.5)
    as_promised(slow, Stall(start=4.2, duration=9.0, nodes=ALL), seed=seed)


# Telling and shrinking


def test_a_story_has_events_and_log_lines() -> None:
    lines = list(tell(plain(Crash(start=4.0, duration=2.0, nodes=("n1",)))))
    assert lines[0].startswith("seed 1: ")
    assert any("takes plndr-cp-lock" in line for line in lines)
    assert any("/1: leading (lease=" in line for line in lines)


def test_what_breaks_no_promise_is_not_shrunk() -> None:
    scenario = plain(Crash(start=4.0, duration=2.0, nodes=("n1",)))
    assert shrink(scenario) is scenario


# A shard of the seeds


# Of all kinds of scenarios, in about the proportion in which seeds choose them.
SHARD = {"off": 60, "fast": 12}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("failover", SHARD)
def test_no_seed_of_the_shard_breaks_a_promise(failover: str) -> None:
    done = simulate("--count", str(SHARD[failover]), "--failover", failover)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"{SHARD[failover]} seeds from 0 on, 0 broke a promise" in done.stdout


# The command line


def test_an_unknown_failover_is_refused() -> None:
    done = simulate("--failover", "later")
    assert done.returncode == 2
    assert "invalid choice: 'later'" in done.stderr


def test_a_quorum_needs_heartbeats() -> None:
    done = simulate("--failover", "off", "--on-api-loss", "quorum")
    assert done.returncode == 2
    assert "--on-api-loss quorum needs heartbeats: --failover fast" in done.stderr
    assert {draw(seed, Choice(on_api_loss="quorum", kind="plain")).mode for seed in range(9)} == {"fast, quorum"}


def test_no_seeds_are_refused() -> None:
    done = simulate("--count", "0")
    assert done.returncode == 2
    assert "argument --count: 0 is too small; write 1 or more" in done.stderr


def test_the_help_tells_each_option() -> None:
    text = simulate("--help").stdout
    options = ["first", "count", "jobs", "patience", "digests", "story", "shrink", "failover", "on-api-loss"]
    options += ["heartbeat", "nodes", "kind"]
    assert [option for option in options if f"--{option} " not in text and f"--{option}\n" not in text] == []


def test_a_choice_is_told_as_options_and_goes_before_the_seeds_own() -> None:
    choice = Choice(failover="fast", on_api_loss="quorum", heartbeat=0.01, nodes=5, kind="plain")
    assert str(choice) == "--failover fast --on-api-loss quorum --heartbeat 10 --nodes 5 --kind plain"
    assert [len(draw(seed, choice).clocks) for seed in range(5)] == [5] * 5
    assert "5 nodes" in str(draw(1, choice))
    assert "failover fast, 10 ms, on API loss quorum" in str(draw(1, choice))


def test_a_broken_promise_is_told_with_how_to_replay_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    broken = Violation(7, 1.5, "two holders", "n1 and n2", ("an event",))
    monkeypatch.setattr(program, "judge_all", lambda *_each, **_how: [Verdict(7, (broken,), "", 20.0)])
    assert program.main(["--failover", "fast", "--heartbeat", "10"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("seed 7: at 1.500000 s: two holders: n1 and n2\n    an event\n")
    assert (
        "again: python -m kubevip.testing.simulation --failover fast --heartbeat 10 --story 7 (or --shrink 7)" in told
    )


def test_whoever_reads_no_further_makes_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kubevip.testing.simulation", "--story", "1"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
