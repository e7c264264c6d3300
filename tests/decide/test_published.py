"""What goes into a Service's status: our addresses, and never without those that another node announces."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from kubevip.model import IPAddress, ServiceKey
from kubevip.service import Ingress, ServiceView

PORTS = ((80, "TCP"),)
V4, V6, OTHER = (ipaddress.ip_address(text) for text in ("10.0.0.1", "fd00::1", "10.0.0.2"))


def published(view: ServiceView, addresses: list[IPAddress], here: set[IPAddress]) -> tuple[Ingress, ...]:
    return view.published(addresses, here.__contains__)


def view(*ingress: Ingress) -> ServiceView:
    return ServiceView(key=ServiceKey("default", "web"), ports=PORTS, ingress=ingress)


def test_what_is_announced_here_is_listed_with_the_ports_of_the_service() -> None:
    assert published(view(), [V4], {V4}) == (Ingress("10.0.0.1", ports=PORTS),)


def test_what_nobody_announces_is_not_listed() -> None:
    assert published(view(), [V4, V6], {V4}) == (Ingress("10.0.0.1", ports=PORTS),)


def test_what_another_node_has_published_stays_as_it_is() -> None:
    theirs = Ingress("fd00::1", ports=((8080, "TCP"),))
    assert published(view(theirs), [V4, V6], {V4}) == (Ingress("10.0.0.1", ports=PORTS), theirs)


def test_an_address_in_another_spelling_is_the_same_address() -> None:
    theirs = Ingress("FD00:0::1")
    assert published(view(theirs), [V4, V6], {V4}) == (Ingress("10.0.0.1", ports=PORTS), theirs)


def test_an_address_that_the_service_does_not_have_any_more_goes() -> None:
    assert published(view(Ingress("10.0.0.2")), [V4], {V4}) == (Ingress("10.0.0.1", ports=PORTS),)


def test_ports_that_have_changed_are_published_anew() -> None:
    assert published(view(Ingress("10.0.0.1", ports=((8080, "TCP"),))), [V4], {V4})[0].ports == PORTS


def test_a_hostname_of_before_goes_when_an_address_is_announced() -> None:
    assert published(view(Ingress(hostname="web.example")), [V4], {V4}) == (Ingress("10.0.0.1", ports=PORTS),)


subsets = st.sets(st.sampled_from([V4, V6, OTHER]))


@given(st.permutations([V4, V6, OTHER]), subsets, subsets)
def test_two_nodes_that_share_the_addresses_never_lose_each_others_entry(
    addresses: list[IPAddress], here: set[IPAddress], there: set[IPAddress]
) -> None:
    one = view()
    for holds in (here, there - here, here):
        one = view(*published(one, addresses, holds))
    assert [entry.ip for entry in one.ingress] == [str(address) for address in addresses if address in here | there]


@given(st.permutations([V4, V6, OTHER]), subsets)
def test_publishing_again_changes_nothing(addresses: list[IPAddress], here: set[IPAddress]) -> None:
    once = published(view(), addresses, here)
    assert published(view(*once), addresses, here) == once
