"""Figures of the built-in API server, as a process of its own: ``python tests/emulator/bench_emulator.py``.

Lease updates one after another, fan-out of changes to watchers, lists of many Services. The client that measures
writes and reads plain bytes on a socket, so that the figures are the server's; a second run with aiohttp shows what
is left of it for a usual client.
"""

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import yaml

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
SERVICES = "/api/v1/namespaces/default/services"
UPDATES, WATCHERS, CHANGES, COUNT, PAGE = 5000, 20, 500, 10_000, 500
_COMMAND = (
    "import argparse, sys; from kubevip.cli import emulator; parser = argparse.ArgumentParser(); "
    "emulator.add_arguments(parser); sys.exit(emulator.run(parser.parse_args()))"
)


class Connection:
    """One HTTP/1.1 connection that does no more than it must."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "Connection":
        host, _, port = url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=1 << 26))

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
        self._writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await self._reader.readexactly(length)
        assert answer[9:10] == b"2", content
        return content

    async def watch(self, path: str) -> AsyncIterator[float]:
        """The times at which events come in."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await self._reader.readuntil(b"\r\n\r\n")
        while True:
            size = int(await self._reader.readline(), 16)
            chunk = await self._reader.readexactly(size + 2)
            for _ in range(chunk.count(b"\n") - 1):
                yield time.perf_counter()

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def server_process() -> AsyncIterator[tuple[str, int]]:
    """The URL and the process id of a server of its own."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kubeconfig"
        options = ["--kubeconfig", str(file), "--service-cidr", "10.96.0.0/12"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _COMMAND, *options, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        try:
            yield yaml.safe_load(file.read_text())["clusters"][0]["cluster"]["server"], process.pid
        finally:
            process.terminate()
            await process.wait()


def lease(name: str, version: str, transitions: int) -> bytes:
    spec = {
        "holderIdentity": "node-1",
        "leaseDurationSeconds": 5,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": transitions,
    }
    return json.dumps({"metadata": {"name": name, "resourceVersion": version}, "spec": spec}).encode()


async def update_leases(url: str) -> float:
    """Updates a second, each with the version that the one before gave."""
    connection = await Connection.open(url)
    answer = await connection.request("POST", LEASES, lease("raw", "", 0))
    start = time.perf_counter()
    for count in range(1, UPDATES + 1):
        version = answer.partition(b'"resourceVersion":"')[2].partition(b'"')[0].decode()
        answer = await connection.request("PUT", f"{LEASES}/raw", lease("raw", version, count))
    rate = UPDATES / (time.perf_counter() - start)
    connection.close()
    return rate


async def update_leases_aiohttp(url: str) -> float:
    async with aiohttp.ClientSession(url, headers={"Content-Type": "application/json"}) as session:
        async with session.post(LEASES, data=lease("usual", "", 0)) as response:
            found = await response.json()
        start = time.perf_counter()
        for count in range(1, UPDATES + 1):
            body = lease("usual", found["metadata"]["resourceVersion"], count)
            async with session.put(f"{LEASES}/usual", data=body) as response:
                found = await response.json()
        return UPDATES / (time.perf_counter() - start)


async def fan_out(url: str) -> list[float]:
    """Seconds from the sending of a change until each watcher has its event."""
    connection = await Connection.open(url)
    await connection.request("POST", LEASES, lease("watched", "", 0))
    sent: list[float] = []
    delays: list[float] = []
    ready = asyncio.Barrier(WATCHERS + 1)

    async def watch() -> None:
        own = await Connection.open(url)
        seen = -1
        async for received in own.watch(f"{LEASES}?watch=1&fieldSelector=metadata.name%3Dwatched"):
            if seen < 0:
                await ready.wait()
            else:
                delays.append(received - sent[seen])
            seen += 1
            if seen == CHANGES:
                break
        own.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(WATCHERS):
            group.create_task(watch())
        await ready.wait()
        patch = f"{LEASES}/watched"
        answer = await connection.request("GET", patch)
        for count in range(1, CHANGES + 1):
            version = answer.partition(b'"resourceVersion":"')[2].partition(b'"')[0].decode()
            sent.append(time.perf_counter())
            answer = await connection.request("PUT", patch, lease("watched", version, count))
            await asyncio.sleep(0.005)
    connection.close()
    return delays


async def list_services(url: str) -> tuple[float, float, float, float]:
    """Creations a second, and the seconds of a whole list, of one in pages, and the list's megabytes."""
    connection = await Connection.open(url)
    start = time.perf_counter()
    for index in range(COUNT):
        spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}
        body = {"metadata": {"name": f"s{index:05}", "labels": {"app": "bench"}}, "spec": spec}
        await connection.request("POST", SERVICES, json.dumps(body).encode())
    created = COUNT / (time.perf_counter() - start)
    start = time.perf_counter()
    size = len(await connection.request("GET", SERVICES))
    whole = time.perf_counter() - start
    start, token = time.perf_counter(), ""
    while True:
        page = await connection.request("GET", f"{SERVICES}?limit={PAGE}" + (f"&continue={token}" if token else ""))
        token = page[:300].partition(b'"continue":"')[2].partition(b'"')[0].decode()
        if not token:
            break
    paged = time.perf_counter() - start
    connection.close()
    return created, whole, paged, size / 1e6


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def main() -> None:
    async with server_process() as (url, pid):
        print(f"resident memory at start          {resident_megabytes(pid):8.0f} MB")
        rates = [await update_leases(url) for _ in range(1)]
        print(f"Lease updates, one after another  {statistics.median(rates):8.0f} /s")
        print(f"the same with an aiohttp client   {await update_leases_aiohttp(url):8.0f} /s")
        delays = await fan_out(url)
        print(f"fan-out to {WATCHERS} watchers, median    {statistics.median(delays) * 1e3:8.2f} ms")
        print(f"fan-out to {WATCHERS} watchers, p99       {percentile(delays, 0.99) * 1e3:8.2f} ms")
        created, whole, paged, size = await list_services(url)
        print(f"Services created                  {created:8.0f} /s")
        print(f"list of {COUNT} Services ({size:.1f} MB)  {whole * 1e3:8.1f} ms")
        print(f"the same in pages of {PAGE}          {paged * 1e3:8.1f} ms")
        print(f"resident memory at the end        {resident_megabytes(pid):8.0f} MB")


if __name__ == "__main__":
    asyncio.run(main())
