"""A kubevip pool source that takes addresses out of a prefix of NetBox: ``source-web: netbox 10.0.0.0/24 staging``."""

from collections.abc import Sequence
from ipaddress import ip_interface, ip_network
from typing import Any

from aiohttp import ClientError, ClientSession

from kubevip.plugin import AddressTaken, Capacity, IPAddress, KubeVipError, NoFamily, PoolExhausted, PoolSource, Request


class NetBox(PoolSource):
    """Knows by its description whose an address is: ``staging NAMESPACE/NAME``, where staging is the cluster."""

    async def __aenter__(self) -> "NetBox":
        try:
            self.prefix, self.cluster = ip_network(self.text.split()[0]), self.text.split()[1]
            url, headers = self.settings["NETBOX_URL"], {"Authorization": self.settings["NETBOX_AUTHORIZATION"]}
        except (LookupError, ValueError) as error:
            raise KubeVipError(f"netbox needs PREFIX CLUSTER, NETBOX_URL and NETBOX_AUTHORIZATION: {error}") from error
        self.http = ClientSession(url, headers=headers, raise_for_status=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def allocate(self, request: Request) -> Sequence[IPAddress]:
        if request.policy.value == "RequireDualStack" or request.family not in (None, self.prefix.version):
            raise NoFamily(f"{self.prefix} has IPv{self.prefix.version} addresses alone")
        if not await self._find(mark := {"description": f"{self.cluster} {request.key}"}):
            for prefix in (await self._call("GET", "prefixes/", params={"prefix": str(self.prefix)}))["results"][:1]:
                await self._call("POST", f"prefixes/{prefix['id']}/available-ips/", json=mark)
        return [*await self._find(mark)]

    async def release(self, key: str) -> None:
        await self.adopt(key, ())

    async def adopt(self, key: str, addresses: Sequence[IPAddress]) -> None:
        has = await self._find(mark := {"description": f"{self.cluster} {key}"})
        for address in set(addresses) - has.keys():
            if await self._find({"address": str(address)}):
                raise AddressTaken(f"NetBox has {address} down for somebody else")
            await self._call("POST", "ip-addresses/", json={"address": str(address), **mark})
        for address in has.keys() - set(addresses):
            await self._call("DELETE", f"ip-addresses/{has[address]}/")

    async def capacity(self) -> Capacity:
        return Capacity(None, (await self._call("GET", "ip-addresses/", params={"parent": str(self.prefix)}))["count"])

    async def _find(self, like: dict[str, str]) -> dict[IPAddress, int]:
        found = await self._call("GET", "ip-addresses/", params=like)
        return {ip_interface(each["address"]).ip: each["id"] for each in found["results"]}

    async def _call(self, verb: str, path: str, **more: Any) -> Any:
        try:
            async with self.http.request(verb, f"/api/ipam/{path}", **more) as answer:
                return await answer.json() if answer.status != 204 else None
        except (ClientError, TimeoutError) as error:
            raise (PoolExhausted if getattr(error, "status", 0) == 409 else KubeVipError)(f"NetBox: {error}") from error
