"""A provider that starts where there is much already: nothing is moved, and what is new waits for little."""

import time

from kubevip.provision.verdict import FINALIZER, LABEL, LABELLED, RECORD
from kubevip.service import ADDRESSES
from tests.waiting import until

MANY = 2000
POOL = {"cidr_global": "10.0.0.0/8"}


def served(number, *, recorded):
    """A Service as a provider has left it; without a record that was kube-vip-cloud-provider."""
    address = f"10.1.{number // 200}.{number % 200 + 1}"
    annotations = {ADDRESSES: address, **({RECORD: f"cidr-global {address}"} if recorded else {})}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"old{number:04}",
            "namespace": "default",
            "annotations": annotations,
            "labels": {LABEL: LABELLED},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"port": 80}],
            "loadBalancerIP": address,
        },
    }


async def test_new_service_is_served_soon_after_the_start_and_of_the_old_ones_none_is_renumbered(emulator, requests):
    await emulator.configure(**POOL)
    for number in range(MANY):
        emulator.server.create(served(number, recorded=number % 10 != 0))
    await until(lambda: len(emulator.ledger.served) == MANY)
    before = dict(emulator.ledger.served)
    await emulator.add_service("new")
    began = time.monotonic()
    provider = emulator.start()
    await emulator.wait_served("new", "10.0.0.1")
    assert time.monotonic() - began < 5
    # Those that kube-vip-cloud-provider has left behind are taken over, and the others not touched.
    unrecorded = {f"old{number:04}" for number in range(0, MANY, 10)}
    await until(lambda: unrecorded <= written(requests))
    assert await provider.stop() == 0
    assert written(requests) == {"new", *unrecorded}
    assert emulator.ledger.served == {**before, "new": "10.0.0.1"}
    emulator.ledger.check()
    # A list has pages of 500.
    assert len([each for each in requests if (each.verb, each.resource) == ("list", "services")]) == 5


def written(requests):
    return {each.name for each in requests if (each.verb, each.resource) == ("update", "services")}
