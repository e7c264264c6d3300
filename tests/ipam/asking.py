"""Short ways to say what the tests of the IPAM say all the time."""

import ipaddress

from kubevip.ipam import Allocator, Assignment, Blocks, FamilyPolicy, Request, Severity, read, read_pool
from kubevip.model import Family, IPAddress

SINGLE, PREFER, REQUIRE = FamilyPolicy.SINGLE, FamilyPolicy.PREFER_DUAL, FamilyPolicy.REQUIRE_DUAL
IPV4, IPV6 = Family.IPV4, Family.IPV6
HTTP, HTTPS = (80, "TCP"), (443, "TCP")


def ip(text: str) -> IPAddress:
    return ipaddress.ip_address(text)


def ips(text: str) -> list[IPAddress]:
    return [ip(element) for element in text.split(",")] if text else []


def blocks(text: str, *, sparing: bool = True) -> Blocks:
    return Blocks(read_pool(text), sparing)


def allocator(**data: str) -> Allocator:
    """Make an allocator; underscores stand for the hyphens of keys."""
    pools = read({key.replace("_", "-"): text for key, text in data.items()})
    return Allocator(pools)


def sound(**data: str) -> Allocator:
    """Make an allocator of what has nothing wrong with it."""
    made = allocator(**data)
    assert not [problem for problem in made.pools.problems if problem.severity is Severity.ERROR]
    return made


def want(name: str, *ports: tuple[int, str], namespace: str = "default", **others: object) -> Request:
    return Request(key=f"{namespace}/{name}", namespace=namespace, ports=frozenset(ports), **others)


def listed(assignment: Assignment) -> str:
    return ",".join(map(str, assignment.addresses))


def assigned(known: Allocator, *names: str, **others: object) -> list[str]:
    """Assign to each of *names*, and return what they got."""
    return [listed(known.assign(want(name, **others))) for name in names]
