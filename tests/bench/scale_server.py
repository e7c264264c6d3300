"""The built-in API server as a process of its own, with the agents' account and its rights.

``python scale_server.py HOST PORT DIRECTORY [--events]`` writes the kubeconfigs ``admin`` and ``agent`` into
DIRECTORY, says ``ready``, and serves until its stdin is closed.
"""

import asyncio
import sys
from pathlib import Path

from scale_api import ADMIN_TOKEN, AGENT

from kubevip.emulator import User, serve
from kubevip.manifest import Rights


async def main(host: str, port: str, directory: str, *options: str) -> None:
    """Serve until stdin is closed."""
    tokens = {ADMIN_TOKEN: User("admin", ("system:masters",)), "agent-token": User.service_account(*AGENT)}
    async with serve(host=host, port=int(port), tokens=tokens, rbac=True, history=20_000) as server:
        for manifest in Rights(events="--events" in options, patches=True).manifests():
            server.create(manifest)
        for name, user in zip(("admin", "agent"), tokens.values(), strict=True):
            Path(directory, name).write_text(server.kubeconfig(user.name))
        print("ready", flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
