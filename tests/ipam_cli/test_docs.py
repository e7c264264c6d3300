"""What ``docs/pools.md`` says of the ConfigMap is so."""

import re
from pathlib import Path

import pytest

from kubevip.ipam.checking import check
from kubevip.ipam.dialect import PREFIXES, WHOLE
from kubevip.ipam.documents import read_written
from kubevip.ipam.scope_checks import KINDS
from kubevip.provision.replan import Outcome

TEXT = (Path(__file__).parents[2] / "docs" / "pools.md").read_text()


def test_the_example_is_right():
    (written,) = read_written(re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[1])
    assert written.problems == ()
    assert check(written.data).is_right
    assert written.name == "kube-system/kubevip"


@pytest.mark.parametrize("key", [*WHOLE, *(f"{prefix}NAMESPACE" for prefix in PREFIXES)])
def test_each_key_is_in_a_table(key):
    assert re.search(rf"^\| `{key}`", TEXT, re.MULTILINE)


def test_each_outcome_of_a_plan_is_there():
    assert all(f"`{outcome.value}`" in TEXT for outcome in Outcome)


def test_the_order_of_pools_is_the_one_that_counts():
    listed = re.search(r"^    (cidr-web .*)$", TEXT, re.MULTILINE)[1].split()
    assert listed == [f"{kind}{scope}" for scope in ("web", "global") for kind in KINDS]
    pools = check(
        {key: "10.0.0.8/32" if "source" not in key else "acme" for key in listed} | {"fallback-web": "1"}
    ).pools
    assert [pool.key for pool in pools.chain("web")] == listed
