"""Each form reads what kube-vip reads, and says what would be right for the rest."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.parse_network import Listen, Prefixes
from kubevip.model import Family

V4, V6 = IPv4Address("10.0.0.1"), IPv6Address("fd00::1")


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_a_boolean_is_true_as_in_go(text: str) -> None:
    assert form.BOOLEAN.read(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_a_boolean_is_false_as_in_go(text: str) -> None:
    assert form.BOOLEAN.read(text) is False


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (form.INTEGER, "-4", -4),
        (form.INTEGER, "+7", 7),
        (form.INTEGER, "007", 7),
        (form.INTEGER, "2147483647", 2147483647),
        (form.PORT, "65535", 65535),
        (form.OPTIONAL_PORT, "0", None),
        (form.OPTIONAL_PORT, "1024", 1024),
        (form.SECONDS, "5", 5.0),
        (form.short_seconds(60), "0.25", 0.25),
        (form.short_seconds(60), "0", 0.0),
        (form.ARP_RATE, "500", 0.5),
        (form.ARP_RATE, "499", 3.0),
        (form.ARP_RATE, "-1", 3.0),
        (form.ARP_RATE, "10000", 10.0),
        (form.NODE_NAME, "Node-1.Example", "node-1.example"),
        (form.LEASE_NAME, "plndr-cp-lock", "plndr-cp-lock"),
        (form.LEASE_NAME, "kube-system/plndr.cp", "kube-system/plndr.cp"),
        (form.INTERFACE, "bond0.100", "bond0.100"),
        (form.INTERFACE, "auto", "auto"),
        (net.ADDRESSES, "10.0.0.1", (V4,)),
        (net.ADDRESSES, " 10.0.0.1 , fd00::1 ", (V4, V6)),
        (net.ADDRESSES, "10.0.0.1,10.0.0.1", (V4,)),
        (net.ADDRESSES, "::ffff:10.0.0.1", (V4,)),
        (net.ADDRESSES, "API.example.com.", ("api.example.com",)),
        (net.ADDRESSES, "10.0.0.1,kube", (V4, "kube")),
        (net.PREFIXES, "32", Prefixes(32, 128)),
        (net.PREFIXES, "24", Prefixes(24, 128)),
        (net.PREFIXES, "64", Prefixes(32, 64)),
        (net.PREFIXES, "128", Prefixes(32, 128)),
        (net.PREFIXES, "24, 64", Prefixes(24, 64)),
        (net.PREFIXES, "auto", Prefixes(None, None)),
        (net.PREFIXES, "auto,auto", Prefixes(None, None)),
        (net.PREFIXES, "auto,64", Prefixes(None, 64)),
        (net.LISTEN, ":2112", Listen(None, 2112)),
        (net.LISTEN, "127.0.0.1:0", Listen(IPv4Address("127.0.0.1"), 0)),
        (net.LISTEN, "localhost:80", Listen(IPv4Address("127.0.0.1"), 80)),
        (net.LISTEN, "[::1]:2112", Listen(IPv6Address("::1"), 2112)),
        (net.LISTEN, "off", None),
        (net.SERVER, "https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
        (net.SERVER, "10.0.0.1:6443", "https://10.0.0.1:6443"),
        (net.SERVER, "fd00::1", "https://[fd00::1]"),
        (net.SERVER, "http://api", "http://api"),
        (net.NETWORKS, "10.0.0.0/16, fd00::/64", (ip_network("10.0.0.0/16"), ip_network("fd00::/64"))),
    ],
)
def test_a_right_text_is_read(read, text: str, value: object) -> None:
    assert read.read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "right"),
    [
        (form.BOOLEAN, "yes", "write true or false"),
        (form.BOOLEAN, "tRUE", "write true or false"),
        (form.BOOLEAN, "true\n", "write true or false"),
        (form.INTEGER, "2147483648", "from -2147483648 to 2147483647"),
        (form.INTEGER, "1_000", "write a whole number"),
        (form.INTEGER, "٣", "write a whole number"),
        (form.INTEGER, "0x10", "write a whole number"),
        (form.INTEGER, "9" * 5000, "write a whole number"),
        (form.PORT, "65536", "a port from 1 to 65535"),
        (form.PORT, "0", "a port from 1 to 65535"),
        (form.OPTIONAL_PORT, "80", "a port from 1024 to 65535, or 0"),
        (form.SECONDS, "0", "whole seconds from 1"),
        (form.SECONDS, "5s", "whole seconds from 1"),
        (form.short_seconds(60), "61", "seconds from 0 to 60"),
        (form.short_seconds(60), "nan", "seconds from 0 to 60"),
        (form.short_seconds(60), "-1", "seconds from 0 to 60"),
        (form.choice("a", "b", "c"), "d", "write a, b or c"),
        (form.NODE_NAME, "node 1", "the Kubernetes node's name"),
        (form.NAMESPACE, "Kube_System", "lower-case letters"),
        (form.LEASE_NAME, "a/b/c", "namespace/name"),
        (form.LEASE_NAME, "/name", "namespace/name"),
        (form.LEASE_NAME, "ns/", "namespace/name"),
        (form.LEASE_NAME, "Name", "lower-case"),
        (form.INTERFACE, "eth 0", "as `ip link` shows it"),
        (form.INTERFACE, "eth0:1", "as `ip link` shows it"),
        (form.INTERFACE, "..", "as `ip link` shows it"),
        (form.INSTANCE_NAME, "a/b", "letters, digits"),
        (net.ADDRESSES, "10.0.0.256", "write IP addresses"),
        (net.ADDRESSES, "10.0.0.1,", "write IP addresses"),
        (net.ADDRESSES, "10.0.0", "write IP addresses"),
        (net.ADDRESSES, "10.0.0.1/24", "vip_subnet"),
        (net.ADDRESSES, "fe80::1%eth0", "vip_interface"),
        (net.ADDRESSES, "0.0.0.0", "unicast"),
        (net.ADDRESSES, "ff02::1", "unicast"),
        (net.ADDRESSES, "my_name!", "write IP addresses"),
        (net.ADDRESS, "kube", "write one IP address"),
        (net.PREFIXES, "/32", "one bare prefix length such as 32"),
        (net.PREFIXES, "33,128", "32,128 (IPv4 first)"),
        (net.PREFIXES, "128,32", "32,128 (IPv4 first)"),
        (net.PREFIXES, "32,128,64", "32,128 (IPv4 first)"),
        (net.PREFIXES, "129", "32,128 (IPv4 first)"),
        (net.PREFIXES, "0", "32,128 (IPv4 first)"),
        (net.PREFIXES, "255.255.255.0", "32,128 (IPv4 first)"),
        (net.LISTEN, "2112", "host:port such as :2112"),
        (net.LISTEN, ":65536", "host:port such as :2112"),
        (net.LISTEN, "::1:2112", "host:port such as :2112"),
        (net.SERVER, "https://", "such as https://10.0.0.1:6443"),
        (net.SERVER, "ftp://10.0.0.1", "such as https://10.0.0.1:6443"),
        (net.SERVER, "10.0.0.1:99999", "such as https://10.0.0.1:6443"),
        (net.SERVER, "10.0.0.1\n", "such as https://10.0.0.1:6443"),
        (net.HTTP_URL, "10.0.0.1", "http:// or https://"),
        (net.NETWORKS, "10.0.0.0/33", "such as 10.0.0.0/16"),
    ],
)
def test_a_wrong_text_is_answered_with_what_is_right(read, text: str, right: str) -> None:
    with pytest.raises(ValueError, match=r"^write ") as caught:
        read.read(text)
    assert right in str(caught.value)


@pytest.mark.parametrize(
    ("addresses", "subnet"), [((V4,), "32"), ((V6,), "128"), ((V4, V6), "32,128"), ((V6, V4), "32,128"), ((), "")]
)
def test_the_subnet_is_derived_from_the_addresses(addresses, subnet: str) -> None:
    assert net.subnet_of(addresses) == subnet


@pytest.mark.parametrize("addresses", [(V4,), (V6,), (V4, V6)])
def test_the_derived_subnet_means_host_routes(addresses) -> None:
    assert net.PREFIXES.read(net.subnet_of(addresses)) == Prefixes()


def test_prefixes_are_asked_by_family() -> None:
    prefixes = Prefixes(24, None)
    assert (prefixes.of(Family.IPV4), prefixes.of(Family.IPV6), prefixes.automatic) == (24, None, True)


@given(st.builds(Prefixes, st.none() | st.integers(1, 32), st.none() | st.integers(1, 128)))
def test_prefixes_are_read_as_they_are_written(prefixes: Prefixes) -> None:
    assert net.PREFIXES.read(net.PREFIXES.write(prefixes)) == prefixes


@given(st.none() | st.builds(Listen, st.none() | st.ip_addresses(), st.integers(0, 65535)))
def test_a_listening_address_is_read_as_it_is_written(listen: Listen | None) -> None:
    assert net.LISTEN.read(net.LISTEN.write(listen)) == listen


@given(st.integers(0, 60_000))
def test_short_seconds_are_read_as_they_are_written(milliseconds: int) -> None:
    seconds = form.short_seconds(60)
    assert seconds.read(seconds.write(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(500, 2**31 - 1))
def test_the_arp_rate_is_read_as_it_is_written(milliseconds: int) -> None:
    assert form.ARP_RATE.write(form.ARP_RATE.read(str(milliseconds))) == str(milliseconds)


@given(st.text(max_size=40))
@pytest.mark.parametrize("read", [net.ADDRESSES, net.PREFIXES, net.LISTEN, net.SERVER, net.HTTP_URL, net.NETWORKS])
def test_no_text_is_answered_with_an_error_of_another_kind(read, text: str) -> None:
    answer = "write"
    try:
        read.read(text)
    except ValueError as error:
        answer = str(error)
    assert answer.startswith("write")
