"""VIPs on this node's links: the kernel's side of ``kubevip.ports.Addresses``.

A netlink request is carried out inside ``send()``, and waits there while another process holds the kernel's
lock. So all requests go through one worker thread; the event loop, and the renewal of Leases with it, never
waits for them.
"""

import contextlib
import errno
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import attrs

from kubevip.errors import LinkNotFound, NetworkError, TooLate
from kubevip.model import Family, IPAddress, Vip
from kubevip.net import netlink
from kubevip.net.monitor import Monitor
from kubevip.net.netns import Enter
from kubevip.ports import Presence

# How long an IPv6 address may take to be usable, and how often is looked, in seconds.
USABLE_WITHIN, LOOK_AGAIN_AFTER = 0.5, 0.0002

Result = TypeVar("Result")
Item = TypeVar("Item")

# Set on the loopback interface, where nothing is ever sent to them: the block for documentation (RFC 5737) has
# no place in a real network, and the IPv6 ones are from the discard-only prefix (RFC 6666).
PACING = {
    Family.IPV4: (ip_address("192.0.2.251"), ip_address("192.0.2.252")),
    Family.IPV6: (ip_address("100::fb"), ip_address("100::fc")),
}


@attrs.define(eq=False)
class KernelAddresses:
    """The addresses of a network namespace. A live object: open it in a running event loop."""

    _monitor: Monitor
    _enter: Enter = contextlib.nullcontext
    _host_scope_on_loopback: bool = attrs.field(default=True, kw_only=True)
    _requests: netlink.Requests | None = attrs.field(default=None, init=False)
    _one_at_a_time: anyio.CapacityLimiter = attrs.field(factory=lambda: anyio.CapacityLimiter(1), init=False)
    _put: set[Vip] = attrs.field(factory=set, init=False)

    async def __aenter__(self) -> Self:
        """Open the netlink socket."""
        with self._enter():
            self._requests = netlink.Requests()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the netlink socket. Addresses stay: whoever put them removes them, or they end by themselves."""
        assert self._requests is not None
        self._requests.close()

    async def put(self, vips: Sequence[tuple[Vip, int]], *, not_after: float) -> Mapping[Vip, NetworkError]:
        """Put each VIP on its link; see ``kubevip.ports.Addresses``."""
        failed: dict[Vip, NetworkError] = {}
        requests: dict[int, tuple[Vip, bytes]] = {}
        for sequence, (vip, lifetime) in enumerate(vips):
            try:
                requests[sequence] = (vip, self._put_request(vip, lifetime, sequence))
            except LinkNotFound as error:
                failed[vip] = error
        failed |= await self._carry_out(requests, "putting {0} on {0.interface}", not_after)
        new = [vip for vip, _lifetime in vips if vip not in self._put and vip not in failed]
        await self._wait_until_taken(vip.address for vip in new if vip.family is Family.IPV6)
        self._put.update(vip for vip in new if vip not in failed)
        return failed

    async def remove(self, vips: Sequence[Vip]) -> Mapping[Vip, NetworkError]:
        """Remove each VIP from its link; see ``kubevip.ports.Addresses``."""
        requests: dict[int, tuple[Vip, bytes]] = {}
        for sequence, vip in enumerate(vips):
            self._put.discard(vip)
            try:
                index = self._monitor.get(vip.interface).index
            except LinkNotFound:
                continue
            requests[sequence] = (
                vip,
                netlink.remove_address(index, vip.address, vip.prefix_length, sequence=sequence),
            )
        failed = await self._carry_out(requests, "removing {0} from {0.interface}")
        return {vip: error for vip, error in failed.items() if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV)}

    async def find(self, addresses: Collection[IPAddress]) -> Sequence[Presence]:
        """Return where *addresses* are on links of this node; see ``kubevip.ports.Addresses``."""
        wanted = frozenset(addresses)
        answers = await self._in_thread(lambda requests: requests.all(netlink.RTM_GETADDR))
        found = (netlink.parse_address(kind, body) for kind, body in answers)
        return [self._presence(message) for message in found if message and message.address in wanted]

    async def pace(self, families: Collection[Family], turn: int, lifetime: int) -> None:
        """Set the pacing addresses of this *turn*; a kernel that refuses them goes without."""
        loopback = self._monitor.get("lo").index
        batch = [
            netlink.put_address(
                loopback,
                PACING[family][turn],
                family.bits,
                lifetime=lifetime,
                scope=netlink.RT_SCOPE_HOST,
                sequence=turn,
            )
            for family in families
        ]
        await self._in_thread(lambda requests: requests.carry_out(batch))

    async def stop_pacing(self) -> None:
        """Remove the pacing addresses."""
        await self.remove([Vip(address, "lo") for pair in PACING.values() for address in pair])

    def subscribe(self, removed: Callable[[IPAddress, str], None]) -> Callable[[], None]:
        """Call *removed* with each address that goes; see ``kubevip.ports.Addresses``."""

        def overflow(present: AbstractSet[tuple[IPAddress, str]]) -> None:
            places = [(vip.address, vip.interface) for vip in self._put]
            for address, interface in [place for place in places if place not in present]:
                removed(address, interface)

        return self._monitor.subscribe_addresses(removed, overflow)

    def _put_request(self, vip: Vip, lifetime: int, sequence: int) -> bytes:
        link = self._monitor.get(vip.interface)
        host_scope = link.loopback and self._host_scope_on_loopback and vip.family is Family.IPV4
        return netlink.put_address(
            link.index,
            vip.address,
            vip.prefix_length,
            lifetime=lifetime,
            scope=netlink.RT_SCOPE_HOST if host_scope else netlink.RT_SCOPE_UNIVERSE,
            sequence=sequence,
        )

    def _presence(self, message: netlink.AddressMessage) -> Presence:
        return Presence(
            Vip(message.address, self._monitor.name_of(message.index), message.prefix_length),
            ours=message.proto == netlink.OUR_PROTO,
            permanent=message.valid == netlink.FOREVER,
            preferred=message.preferred > 0 and not message.flags & netlink.IFA_F_DEPRECATED,
        )

    async def _carry_out(
        self, requests: Mapping[int, tuple[Vip, bytes]], doing: str, not_after: float | None = None
    ) -> dict[Vip, NetworkError]:
        failed: dict[Vip, NetworkError] = {}

        def in_batches(sock: netlink.Requests) -> None:
            for batch in _batched(requests.items(), netlink.BATCH):
                # Looked at in the thread, right before the kernel acts: the process may have been stopped.
                if not_after is not None and time.monotonic() >= not_after:
                    failed.update((vip, TooLate(f"{doing.format(vip)}: too late")) for _, (vip, _) in batch)
                    continue
                refused = sock.carry_out([message for _, (_, message) in batch])
                for sequence, (code, text) in refused.items():
                    vip = requests[sequence][0]
                    failed[vip] = netlink.network_error(code, text, doing.format(vip))

        if requests:
            await self._in_thread(in_batches)
        return failed

    async def _wait_until_taken(self, addresses: Iterable[IPAddress]) -> None:
        """Wait until the kernel takes packets to new IPv6 addresses.

        It answers a request for one before it has done so, which under load is milliseconds later: whoever
        believed our announcement by then would have sent in vain.
        """
        waiting = list(addresses)

        def look(sock: netlink.Requests) -> None:
            bound = time.monotonic() + USABLE_WITHIN
            for address in waiting:
                while not sock.is_local(address) and time.monotonic() < bound:
                    time.sleep(LOOK_AGAIN_AFTER)

        if waiting:
            await self._in_thread(look)

    async def _in_thread(self, job: Callable[[netlink.Requests], Result]) -> Result:
        assert self._requests is not None
        return await anyio.to_thread.run_sync(job, self._requests, limiter=self._one_at_a_time)


def _batched(items: Iterable[Item], size: int) -> Iterable[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
