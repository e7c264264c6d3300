"""``python -m kubevip demo --json``: once as it is, and with an event that doesn't end well."""

import json
import shutil
import subprocess
import sys

import attrs
import pytest

from kubevip.demo.record import Outcome
from kubevip.demo.scenario import Report
from tests.cli.processes import Starter
from tests.kernel import in_thread, require_namespaces

VIP = "172.31.0.99"
# Longer than the demo waits for its three events.
BOUND = 100.0
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(BOUND + 20)]
PLANNED = Outcome(event="planned", gap_ms=1.5, lost=0, sent=700, two_holders_ms=20.0, source="node1", target="node2")
REPORT = Report(
    address=VIP,
    assigned_ms=10.0,
    reachable_ms=11.0,
    service_holder="node1",
    control_plane_holder="node2",
    events=(PLANNED,),
    startup_ms=400.0,
    rss_mib=50.0,
)
# The command as it is, but for its story, which needn't be lived through.
TOLD = """
import json, sys
from kubevip.demo import record, scenario

given = json.loads(sys.argv.pop())
events = tuple(record.Outcome(**event) for event in given.pop("events"))

async def tell(self):
    return scenario.Report(**given, events=events)

scenario.Story.tell = tell
from kubevip.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run it all: exit code, stdout and stderr."""
    require_namespaces()
    with Starter.ending(tmp_path_factory.mktemp("demo")) as start:
        process = start("demo", "--json")
        return process.process.wait(BOUND), process.out, process.err


@pytest.fixture
def result(demo):
    return json.loads(demo[1])


def test_one_json_object_is_all_that_is_on_stdout(demo):
    code, out, err = demo
    assert code == 0, err
    assert len(out.splitlines()) == 1
    assert isinstance(json.loads(out), dict)


def test_what_it_tells_has_the_promised_shape(result):
    numbers = {"gap_ms", "lost", "sent", "two_holders_ms"}
    assert set(result) == {"service", "control_plane", "events", "startup_ms", "rss_mib"}
    assert set(result["service"]) == {"address", "holder", "assigned_ms", "reachable_ms"}
    assert set(result["control_plane"]) == {"address", "holder"}
    assert [event["event"] for event in result["events"]] == ["planned", "kill", "power-off"]
    for event in result["events"]:
        assert set(event) == {"event", "from", "to"} | numbers
        assert all(type(event[name]) in (int, float) and event[name] >= 0 for name in numbers)
        assert event["sent"] > 0


def test_service_shares_the_address_of_the_control_plane(result):
    assert result["service"]["address"] == result["control_plane"]["address"] == VIP
    assert 0 < result["service"]["assigned_ms"] < 2000
    assert 0 < result["service"]["reachable_ms"] < 2000


def test_each_event_begins_where_the_one_before_ended(result):
    planned, kill, power_off = result["events"]
    assert planned["from"] == result["service"]["holder"]
    assert (kill["from"], power_off["from"]) == (planned["to"], kill["to"])
    assert power_off["to"] == result["control_plane"]["holder"]
    assert all(event["from"] != event["to"] for event in result["events"])


def test_no_event_but_a_planned_stop_has_two_holders(result):
    _, kill, power_off = result["events"]
    assert kill["two_holders_ms"] == power_off["two_holders_ms"] == 0


def test_planned_stop_loses_nothing(result):
    assert result["events"][0]["lost"] == 0


def test_what_goes_on_is_told_on_stderr(demo):
    for text in ("planned stop of node", "kill -9 of the agent on node", "power-off of node", "two holders"):
        assert text in demo[2]


# How it ends


@pytest.mark.parametrize(("target", "code"), [("node2", 0), ("", 1)], ids=["one holder", "none or several"])
async def test_exit_code_tells_whether_each_event_ended_with_one_holder(start, target, code):
    require_namespaces()
    report = attrs.evolve(REPORT, events=(PLANNED, attrs.evolve(PLANNED, event="kill", target=target)))
    ended, ran = await start.run("demo", "--json", json.dumps(attrs.asdict(report)), program=("-c", TOLD))
    assert ended == code
    assert json.loads(ran.out)["events"][1]["to"] == target
    assert ("nobody" in ran.err) is (target == "")


async def test_system_that_allows_no_namespaces_is_told_with_what_would_help(tmp_path):
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare: install Debian's util-linux")
    script = f"echo 0 > /proc/sys/user/max_net_namespaces && exec {sys.executable} -m kubevip demo --json"
    command = [unshare, "--user", "--map-root-user", "sh", "-c", script]
    ran = await in_thread(lambda: subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=20))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("kubevip demo: this system doesn't allow network namespaces (")
    assert "sysctl kernel.unprivileged_userns_clone=1" in ran.stderr
