"""Our speaker with BIRD 2 where something is special: attributes, restarts, signatures, wrong peers, many routes."""

import asyncio
import re
from ipaddress import IPv4Address, ip_address, ip_network
from time import monotonic

import attrs
import pytest
from kubevip_bgp.neighbors import Neighbor
from kubevip_bgp.notification import Notification
from kubevip_bgp.routes import Route
from kubevip_bgp.sockets import Source

from tests.bgp_peers.conftest import announce, crash, wait_reason, wait_up, withdraw
from tests.bgp_peers.routers import NODE, OURS, ROUTER, THEIRS
from tests.kernel import in_thread, run_on
from tests.waiting import until

pytestmark = pytest.mark.peer

V4, V6 = "10.9.0.1/32", "fd09::1/128"
PEER = Neighbor(address=IPv4Address(ROUTER[0]), number=THEIRS)
SIX = Neighbor(address=ip_address(ROUTER[1]), number=THEIRS)


async def test_routes_are_in_the_kernel_of_the_router_with_our_addresses_as_next_hops(bird, router, node):
    bird.start_with()
    speaker = await node.speak()
    announce(speaker, V4, V6)
    await bird.wait_routes(V4, V6)
    await until(lambda: _kernel_has(router, "-4", f"10.9.0.1 via {NODE[0]}"), 3)
    await until(lambda: _kernel_has(router, "-6", f"fd09::1 via {NODE[1]}"), 3)


async def _kernel_has(router, family, text):
    return text in await run_on(router, "ip", family, "route")


async def test_attributes_arrive_as_they_were_given(bird, node):
    bird.start_with()
    speaker = await node.speak()
    announce(speaker, V4, communities=(OURS << 16 | 7,), large_communities=((OURS, 1, 2),), med=30, prepend=2)
    await bird.wait_routes(V4)
    shown = await bird.tell(f"show route {V4} all")
    assert f"BGP.as_path: {OURS} {OURS} {OURS}" in shown
    assert f"BGP.community: ({OURS},7)" in shown
    assert f"BGP.large_community: ({OURS}, 1, 2)" in shown
    assert "BGP.med: 30" in shown


async def test_peer_of_the_own_as_gets_the_local_preference(bird, node):
    bird.start_with("passive; direct;", theirs=OURS)
    speaker = await node.speak(neighbor=attrs.evolve(PEER, number=OURS))
    announce(speaker, V4, local_pref=250)
    await bird.wait_routes(V4)
    shown = await bird.tell(f"show route {V4} all")
    assert "BGP.local_pref: 250" in shown
    assert re.search(r"BGP.as_path: *$", shown, re.M)


async def test_changed_attribute_replaces_the_route_in_the_same_session(bird, node):
    bird.start_with()
    speaker = await node.speak()
    announce(speaker, V4)
    await bird.wait_routes(V4)
    announce(speaker, V4, med=5)

    async def changed():
        return "BGP.med: 5" in await bird.tell(f"show route {V4} all")

    await until(changed, 3)
    assert speaker.statistics()[0].flaps == 0


async def test_ipv6_session_carries_both_families(bird, node):
    bird.start_with(neighbor=NODE[1], local=ROUTER[1])
    speaker = await node.speak(neighbor=SIX)
    announce(speaker, V4, V6)
    await bird.wait_routes(V4, V6)


async def test_link_local_session_carries_both_families(bird, router, segment, node):
    ours, theirs = [await _link_local(segment.machines[name]) for name in ("node", "router")]
    bird.start_with('passive; interface "eth0";', neighbor=f"{ours}%eth0", local=theirs)
    speaker = await node.speak(neighbor=Neighbor(address=ip_address(f"{theirs}%eth0"), number=THEIRS))
    announce(speaker, V4, V6)
    await bird.wait_routes(V4, V6)


async def _link_local(machine):
    shown = await run_on(machine, "ip", "-6", "addr", "show", "eth0", "scope", "link")
    assert "tentative" not in shown or await until(lambda: _settled(machine), 5)
    return re.search(r"inet6 (fe80::[0-9a-f:]+)", shown)[1]


async def _settled(machine):
    return "tentative" not in await run_on(machine, "ip", "-6", "addr", "show", "eth0", "scope", "link")


async def test_wrong_password_gives_no_session_and_says_that_nothing_answers(bird, node):
    bird.start_with('passive; password "hush";')
    speaker = await node.speak(neighbor=attrs.evolve(PEER, password="loud"))
    await wait_reason(speaker, "no connection within 5 s")
    assert not speaker.established


async def test_wrong_as_of_the_peer_is_told_on_both_sides(bird, node):
    bird.start_with(theirs=65009)
    speaker = await node.speak()
    await wait_reason(speaker, "the peer is of AS 65009, not 65001; OPEN Message Error: Bad Peer AS (2/2)")

    async def told():
        return "Bad peer AS" in await bird.tell("show protocols all node")

    await until(told, 5)


async def test_own_wrong_as_is_shown_as_the_peer_says_it(bird, node):
    bird.start_with(ours=64999)
    speaker = await node.speak()
    await wait_reason(speaker, "the peer says: OPEN Message Error: Bad Peer AS (2/2)")


async def test_text_of_the_routers_administrator_is_shown(bird, node):
    bird.start_with()
    speaker = await node.speak()
    await wait_up(speaker)
    await bird.tell('disable node "new cables until noon"')
    await wait_reason(speaker, "Administrative Shutdown (6/2), it says 'new cables until noon'")
    await bird.tell("enable node")
    await wait_up(speaker)


async def test_nobody_at_the_other_end_is_said_so(node, segment):
    speaker = await node.speak()
    await wait_reason(speaker, "no connection: Connection refused")
    speaker = await node.speak(neighbor=attrs.evolve(PEER, address=IPv4Address("10.7.0.99")))
    await wait_reason(speaker, "no connection")


async def test_router_may_begin_the_session(bird, node):
    speaker = await node.speak(connect=False, accept=True)
    bird.start_with("direct;")
    announce(speaker, V4, V6)
    await bird.wait_routes(V4, V6)
    assert speaker.statistics()[0].attempts == 0


async def test_router_that_begins_has_to_sign_where_it_has_a_password(bird, node):
    peer = attrs.evolve(PEER, password="hush")
    speaker = await node.speak(neighbor=peer, connect=False, accept=True)
    bird.start_with('direct; password "hush";')
    announce(speaker, V4)
    await bird.wait_routes(V4)


async def test_stranger_is_shown_out(node, segment):
    await node.speak(neighbor=attrs.evolve(PEER, address=IPv4Address("10.7.0.99")), connect=False, accept=True)
    reader, writer = await asyncio.open_connection(NODE[0], 179)
    assert (await reader.read())[18:] == b"\x03\x06\x05"
    writer.close()


async def test_one_session_is_left_where_both_sides_begin(bird, node):
    bird.start_with("direct;")
    speaker = await node.speak(accept=True)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    await wait_up(speaker)
    flaps = speaker.statistics()[0].flaps
    announce(speaker, V6)
    await bird.wait_routes(V4, V6)
    assert speaker.statistics()[0].flaps == flaps


async def test_ttl_security_of_both_sides_lets_neighbours_through(bird, node):
    bird.start_with("passive; ttl security on;")
    speaker = await node.speak(source=Source(ttl_security=True))
    announce(speaker, V4)
    await bird.wait_routes(V4)


async def test_packets_that_may_come_from_afar_are_dropped_by_ttl_security(bird, node):
    bird.start_with("passive; multihop 2;")
    # BIRD accepts with a TTL of 255, and goes on with 2.
    speaker = await node.speak(source=Source(ttl_security=True), hold_time=3, keepalive=1)
    await wait_reason(speaker, "nothing was heard for the hold time")
    assert speaker.statistics()[0].flaps == 0


async def test_peer_that_is_said_to_be_further_away_may_be_so(bird, node):
    bird.start_with("passive; multihop 2;")
    speaker = await node.speak(neighbor=attrs.evolve(PEER, multihop=True))
    announce(speaker, V4)
    await wait_up(speaker)

    # It looks for the way to the next hop in its own table, which is empty here.
    async def learnt():
        return V4 in await bird.tell("show route")

    await until(learnt, 10)


async def test_session_starts_from_the_given_address_and_interface(bird, node, segment):
    await run_on(segment.machines["node"], "ip", "addr", "add", "10.7.0.5/24", "dev", "eth0")
    bird.start_with(neighbor="10.7.0.5")
    source = Source(address=IPv4Address("10.7.0.5"), interface="eth0")
    speaker = await node.speak(source=source)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    await run_on(segment.machines["node"], "ip", "addr", "del", "10.7.0.5/24", "dev", "eth0")


async def test_session_outlives_its_hold_time(bird, node):
    bird.start_with()
    speaker = await node.speak(hold_time=3, keepalive=1)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    await asyncio.sleep(4)
    assert speaker.established
    assert speaker.statistics()[0].flaps == 0


async def test_router_that_stops_to_speak_is_given_up_after_the_hold_time(bird, node):
    bird.start_with()
    speaker = await node.speak(hold_time=3, keepalive=1)
    await wait_up(speaker)
    bird.process.send_signal(19)
    began = monotonic()
    await until(lambda: not speaker.established, 6)
    assert 1.5 < monotonic() - began < 4.5
    assert "nothing was heard for the hold time" in speaker.statistics()[0].reason
    bird.process.send_signal(18)


async def test_half_open_connection_ends_when_what_was_told_is_not_acknowledged(bird, node, segment):
    bird.start_with()
    # Without a hold time nothing else would notice.
    speaker = await node.speak(hold_time=0, keepalive=0, source=Source(patience=2))
    announce(speaker, V4)
    await bird.wait_routes(V4)
    await in_thread(lambda: segment.unplug("router"))
    try:
        announce(speaker, V6)
        await wait_reason(speaker, "the connection is lost: Connection timed out")
    finally:
        await in_thread(lambda: segment.plug("router"))
    await bird.wait_routes(V4, V6, bound=20)


async def test_forwarding_goes_on_while_the_agent_restarts(bird, router, node):
    bird.start_with("passive; graceful restart on;")
    first = await node.speak(graceful_restart=6)
    announce(first, V4, V6, "10.9.0.2/32")
    await bird.wait_routes(V4, V6, "10.9.0.2/32")
    crash(first)
    await until(lambda: not first.established, 2)
    second = await node.speak(graceful_restart=6)
    await wait_up(second)
    # Nothing is announced yet, and all is still in the kernel of the router.
    for family, text in (("-4", "10.9.0.1 via"), ("-6", "fd09::1 via")):
        assert await _kernel_has(router, family, text)
    announce(second, V4, V6)
    # What isn't announced again goes when the restart is over.
    await bird.wait_routes(V4, V6, bound=8)
    assert second.statistics()[0].flaps == 0


async def test_routes_go_at_once_with_the_session_where_no_restart_was_agreed(bird, node):
    bird.start_with("passive; graceful restart on;")
    speaker = await node.speak()
    announce(speaker, V4)
    await bird.wait_routes(V4)
    crash(speaker)
    await bird.wait_routes(bound=2)


async def test_planned_stop_takes_routes_back_though_a_restart_was_agreed(bird, node):
    bird.start_with("passive; graceful restart on;")
    speaker = await node.speak(graceful_restart=30)
    announce(speaker, V4)
    await bird.wait_routes(V4)
    for peer in speaker._peers:
        peer.active = False
        await peer.close(Notification.shutdown("bye"))
    await bird.wait_routes(bound=2)


@pytest.mark.parametrize("options", ["passive;", "passive; enable extended messages on;"])
async def test_ten_thousand_routes_are_learnt_and_forgotten(bird, node, options):
    bird.start_with(options)
    speaker = await node.speak()
    await wait_up(speaker)
    prefixes = [ip_network((0x0A640000 + number, 32)) for number in range(10_000)]
    began = monotonic()
    for prefix in prefixes:
        speaker.announce(prefix, Route())
    await until(lambda: _count(bird, 10_000), 10)
    assert monotonic() - began < 5
    withdraw(speaker, *map(str, prefixes))
    await until(lambda: _count(bird, 0), 10)
    assert speaker.statistics()[0].flaps == 0


async def _count(bird, expected):
    found = re.search(r"(\d+) of \d+ routes", await bird.tell("show route count"))
    return found is not None and int(found[1]) == expected


async def test_routes_of_the_router_do_no_harm(bird, node):
    bird.start_with("passive;")
    speaker = await node.speak()
    await wait_up(speaker)
    await bird.tell("configure")
    await bird.tell("reload in all")
    announce(speaker, V4)
    await bird.wait_routes(V4)
    assert speaker.statistics()[0].flaps == 0
