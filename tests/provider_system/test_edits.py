"""What users edit, by the real kubectl where it matters: it is honoured, checked, or refused with a reason."""

import asyncio
import contextlib
import os

import pytest

from kubevip.service import ADDRESSES
from tests.emulator.conftest import certificate
from tests.provider_system.conftest import emulated
from tests.provider_system.site import Site
from tests.waiting import until

__all__ = ["certificate"]

POOL = {"range_global": "10.0.0.5-10.0.0.9"}
DUAL = {"range_global": "10.0.0.5-10.0.0.9,fd00::5-fd00::9"}


@contextlib.asynccontextmanager
async def serving(site):
    """Let a Service ``web`` have 10.0.0.5 from its pool, and a provider run."""
    await site.configure(**POOL)
    async with site.provider():
        await site.add_service("web")
        await site.wait_served("web", "10.0.0.5")
        yield site


@pytest.fixture
async def served(emulator):
    """The built-in API server, and a provider that has served ``web``."""
    async with serving(emulator) as site:
        yield site


@pytest.fixture
async def described(kind_of_server, certificate, tmp_path):
    """The same with TLS, for kubectl sends tokens over HTTPS only, and then before a real API server."""
    server = emulated(tmp_path, tls=certificate) if kind_of_server is None else Site.on(kind_of_server, tmp_path)
    async with server as site, serving(site):
        yield site


@pytest.fixture
def kubectl(described, kubectl_path):
    """The real kubectl, as the administrator."""
    home = described.directory
    environment = {**os.environ, "KUBECONFIG": str(home / "admin"), "HOME": str(home)}

    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            kubectl_path,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    return run


async def both(site, name="web"):
    """What stands in the annotation and in the spec."""
    found = await site.service(name)
    return found["metadata"].get("annotations", {}).get(ADDRESSES), found["spec"].get("loadBalancerIP")


# With kubectl


@pytest.mark.kubectl
async def test_kubectl_annotates_another_address_and_the_spec_follows(described, kubectl):
    await kubectl("annotate", "service", "web", f"{ADDRESSES}=10.0.0.8", "--overwrite")
    await described.wait_served("web", "10.0.0.8")
    assert await both(described) == ("10.0.0.8", "10.0.0.8")


@pytest.mark.kubectl
async def test_kubectl_patches_the_spec_and_the_annotation_follows(described, kubectl):
    await kubectl("patch", "service", "web", "-p", '{"spec": {"loadBalancerIP": "10.0.0.8"}}')
    await described.wait_served("web", "10.0.0.8")


@pytest.mark.kubectl
async def test_annotation_that_kubectl_takes_away_comes_back(described, kubectl):
    await kubectl("annotate", "service", "web", f"{ADDRESSES}-")
    await described.wait_served("web", "10.0.0.5")


@pytest.mark.kubectl
async def test_spec_that_kubectl_clears_comes_back(described, kubectl):
    await kubectl("patch", "service", "web", "-p", '{"spec": {"loadBalancerIP": null}}')
    await described.wait_served("web", "10.0.0.5")


@pytest.mark.kubectl
async def test_service_whose_address_is_cleared_in_both_places_gets_the_first_free_one(described, kubectl):
    await described.add_service("other")
    await described.wait_served("other", "10.0.0.6")
    await kubectl("annotate", "service", "other", f"{ADDRESSES}=10.0.0.9", "--overwrite")
    await described.wait_served("other", "10.0.0.9")
    patch = f'{{"spec": {{"loadBalancerIP": null}}, "metadata": {{"annotations": {{"{ADDRESSES}": null}}}}}}'
    await kubectl("patch", "service", "other", "-p", patch)
    await described.wait_served("other", "10.0.0.6")


@pytest.mark.kubectl
async def test_static_address_that_its_user_takes_away_gives_place_to_one_of_the_pool(described, kubectl):
    await described.add_service("static", annotations={ADDRESSES: "10.0.0.8"})
    await described.wait_served("static", "10.0.0.8")
    await kubectl("annotate", "service", "static", f"{ADDRESSES}-")
    await described.wait_served("static", "10.0.0.6")


@pytest.mark.kubectl
async def test_event_is_what_kubectl_describe_shows(described, kubectl):
    await described.wait_event("web", "EnsuredLoadBalancer")
    shown = await kubectl("describe", "service", "web")
    assert "Ensured load balancer: 10.0.0.5 from range-global" in shown


# Static addresses


@pytest.mark.parametrize("place", ["annotation", "spec"])
async def test_static_address_is_taken_over_from_either_place(served, place):
    parts = {"annotations": {ADDRESSES: "10.0.0.7"}} if place == "annotation" else {"loadBalancerIP": "10.0.0.7"}
    await served.add_service("static", **parts)
    await served.wait_served("static", "10.0.0.7")
    assert "10.0.0.7" in await served.wait_event("static", "EnsuredLoadBalancer", f"as its {place} asks")


@pytest.mark.parametrize("place", ["annotation", "spec"])
async def test_static_address_is_not_given_to_anybody_else(served, place):
    parts = {"annotations": {ADDRESSES: "10.0.0.6"}} if place == "annotation" else {"loadBalancerIP": "10.0.0.6"}
    await served.add_service("static", **parts)
    await served.wait_served("static", "10.0.0.6")
    await served.add_service("next")
    await served.wait_served("next", "10.0.0.7")


async def test_address_outside_of_every_pool_is_used_and_told(served):
    await served.add_service("static", annotations={ADDRESSES: "192.0.2.7"})
    await served.wait_served("static", "192.0.2.7")
    told = await served.wait_event("static", "AddressOutsidePools")
    assert told == "192.0.2.7 is outside of every pool of namespace default; it is used nevertheless"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.300", "10.0.0.300"),
        ("web.example.com", "web.example.com"),
        ("10.0.0.7 10.0.0.8", "10.0.0.7 10.0.0.8"),
        ("10.0.0.07", "10.0.0.07"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("224.0.0.1", "224.0.0.1 can't be the address of a Service"),
        ("127.0.0.1", "127.0.0.1 can't be the address of a Service"),
        ("fd00::7", "fd00::7 is an IPv6 address, and the Service is for IPv4 alone"),
        ("10.0.0.5", "10.0.0.5 is in use by default/web"),
        ("10.0.0.7,", "''"),
        ("\n", None),
        ("☃" * 300, "☃"),
    ],
)
async def test_address_that_cannot_be_used_is_refused_and_hinders_nobody(served, text, told):
    await served.add_service("static", annotations={ADDRESSES: text})
    if told is None:
        await served.wait_served("static", "10.0.0.6")
        return
    assert told in await served.wait_event("static", "AddressRefused")
    assert await both(served, "static") == (text, None)
    await served.add_service("next")
    await served.wait_served("next")


async def test_refused_edit_leaves_the_service_with_its_own_address_in_the_account(served):
    await served.annotate("web", "nonsense")
    await served.wait_event("web", "AddressRefused", "nonsense")
    await served.add_service("next")
    await served.wait_served("next", "10.0.0.6")
    await served.annotate("web", "10.0.0.5")
    await served.wait_served("web", "10.0.0.5")


async def test_address_that_was_taken_is_given_once_it_is_free(served):
    await served.add_service("static", annotations={ADDRESSES: "10.0.0.5"})
    await served.wait_event("static", "AddressRefused", "10.0.0.5 is in use by default/web")
    await served.delete("web")
    await served.wait_served("static", "10.0.0.5")


async def test_several_addresses_of_one_family_may_be_written(served):
    await served.add_service("static", annotations={ADDRESSES: "10.0.0.7, 10.0.0.8"})
    await served.wait_served("static", "10.0.0.7,10.0.0.8")


async def test_dhcp_marker_may_be_written_by_many(served):
    for name in ("one", "other"):
        await served.add_service(name, annotations={ADDRESSES: "0.0.0.0"})
        await served.wait_served(name, "0.0.0.0")


async def test_interface_that_the_user_wrote_stays(served):
    await served.configure(**POOL, interface_global="eth1")
    await served.add_service("mine", annotations={"kube-vip.io/serviceInterface": "eth7"})
    await served.wait_served("mine")
    found = await served.service("mine")
    assert found["metadata"]["annotations"]["kube-vip.io/serviceInterface"] == "eth7"


# Families


@pytest.fixture
async def dual(emulator):
    """A provider with a pool of both families."""
    await emulator.configure(**DUAL)
    async with emulator.provider():
        yield emulator


@pytest.mark.parametrize(
    ("families", "policy", "address"),
    [
        (["IPv4"], "SingleStack", "10.0.0.5"),
        (["IPv6"], "SingleStack", "fd00::5"),
        (["IPv4"], "PreferDualStack", "10.0.0.5,fd00::5"),
        (["IPv6", "IPv4"], "PreferDualStack", "fd00::5,10.0.0.5"),
        (["IPv4", "IPv6"], "RequireDualStack", "10.0.0.5,fd00::5"),
    ],
)
async def test_families_decide_which_addresses_and_their_order(dual, families, policy, address):
    await dual.add_service("web", ipFamilies=families, ipFamilyPolicy=policy)
    await dual.wait_served("web", address)


async def test_policy_that_wants_two_families_extends_and_one_trims(site):
    await site.configure(**DUAL)
    async with site.provider():
        await extend_and_trim(site)


async def extend_and_trim(site):
    await site.add_service("web")
    await site.wait_served("web", "10.0.0.5")
    await site.edit("web", lambda found: found["spec"].update(ipFamilyPolicy="PreferDualStack"))
    await site.wait_served("web", "10.0.0.5,fd00::5")

    def to_single(found):
        spec = found["spec"]
        spec.update(ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"], clusterIPs=spec["clusterIPs"][:1])

    await site.edit("web", to_single)
    await site.wait_served("web", "10.0.0.5")
    assert "fd00::5" in await site.wait_event("web", "AddressReleased")
    await site.add_service("next", ipFamilies=["IPv6"])
    await site.wait_served("next", "fd00::5")


async def test_missing_family_is_told_and_comes_with_the_pool(emulator):
    await emulator.configure(**POOL)
    async with emulator.provider():
        await emulator.add_service("web", ipFamilyPolicy="RequireDualStack")
        await emulator.wait_event("web", "NoAddressFamily", "range-global")
        await emulator.configure(**DUAL)
        await emulator.wait_served("web", "10.0.0.5,fd00::5", bound=2)


async def test_annotation_taken_from_a_service_with_two_addresses_brings_both_back(dual):
    await dual.add_service("web", ipFamilyPolicy="RequireDualStack")
    await dual.wait_served("web", "10.0.0.5,fd00::5")
    await dual.annotate("web", None)
    await dual.wait_served("web", "10.0.0.5,fd00::5")


async def test_ten_edits_in_a_row_end_in_the_last_one(served):
    for number in range(10):
        await served.annotate("web", f"10.0.0.{6 + number % 4}")
    await served.annotate("web", "10.0.0.8")

    async def settled():
        return await both(served) == ("10.0.0.8", "10.0.0.8")

    await until(settled)
    await served.add_service("next")
    await served.wait_served("next", "10.0.0.5")
