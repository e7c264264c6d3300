"""An ordinary TCP service at an address that moves between hosts.

Run it on each host: ``python failover.py 10.0.0.5 eth0 default/failover 7000``. All that it needs of Kubernetes
is the right to get, list, watch, create and update one Lease, by the credentials that kubectl would use.
"""

import asyncio
import contextlib
import platform
import signal
import sys

import kubevip


class Greeter:
    """Tells every client which host answers, and by which term."""

    def __init__(self) -> None:
        self.term: kubevip.Term | None = None

    async def greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        # Whatever the service writes elsewhere carries the token: a late write of an earlier term can be refused.
        standing = f"leads, token {self.term.token}" if self.term else "is a standby"
        writer.write(f"{platform.node()} {standing}\n".encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


async def main(address: str, interface: str, lease: str, port: int) -> None:
    """Serve, and hold the address whenever it is our turn, until SIGTERM."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    greeter = Greeter()
    # It listens before the address comes, so that no client is refused when it does.
    async with await asyncio.start_server(greeter.greet, port=port):
        while True:
            with contextlib.suppress(kubevip.LeadershipLost):
                async with kubevip.hold(address, interface=interface, lease=lease) as greeter.term:
                    print(f"{platform.node()} holds {address}, token {greeter.term.token}", flush=True)
                    await asyncio.Event().wait()
            greeter.term = None
            print(f"{platform.node()} has lost {address}", flush=True)


if __name__ == "__main__":
    host_address, link, lease_name, tcp_port = sys.argv[1:]
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(main(host_address, link, lease_name, int(tcp_port)))
