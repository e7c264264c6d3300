"""What a node says of itself in its Lease when it takes it up again."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kubevip.controllers.spread import DEPARTING, Spread
from kubevip.custody import Facts
from kubevip.lease import Claim, Record, Timing
from kubevip.model import LeaseKey

LEASE = LeaseKey("kube-system", "kubevip-node-n1")
CLAIM = Claim("n1", 5, 0, fresh=False)


def spread() -> Spread:
    unused: Any = SimpleNamespace(of=lambda _node: LEASE)
    return Spread("n1", unused, unused, unused, Timing(duration=5, renew_deadline=3, retry_period=1), {})


def term_after(holder: str, unfit: str = "") -> str:
    base = cast("Record", SimpleNamespace(holder=holder, word=str(Facts(term="before", unfit=unfit))))
    said = Facts.parse(spread().word(CLAIM, base))
    assert said is not None
    return said.term


def test_a_new_process_goes_on_with_the_term_of_the_one_before() -> None:
    assert term_after("n1") == "before"


@pytest.mark.parametrize("unfit", [DEPARTING, "cordoned"])
def test_after_one_that_was_handing_over_it_begins_a_term(unfit: str) -> None:
    """A record that the one before has sent may arrive after the new one has read all of them."""
    assert term_after("n1", unfit) not in ("", "before")


def test_after_another_holder_it_begins_a_term() -> None:
    assert term_after("n2") not in ("", "before")
