"""A kubevip backend that has a command of yours move the traffic: a cloud's own tool, say, or a router's."""

import shlex
from subprocess import CalledProcessError

import anyio

from kubevip.plugin import Backend, NetworkError, Vip


class CommandBackend(Backend):
    """Runs ``$VIP_COMMAND announce|withdraw ADDRESS INTERFACE``; the core calls again if that fails."""

    async def announce(self, vip: Vip) -> None:
        await self._run("announce", vip)

    async def withdraw(self, vip: Vip) -> None:
        await self._run("withdraw", vip)

    async def _run(self, verb: str, vip: Vip) -> None:
        command = shlex.split(self.host.settings.get("VIP_COMMAND", ""))
        if not command:
            raise NetworkError("VIP_COMMAND is not set; it has to be the command that moves an address here")
        try:
            await anyio.run_process([*command, verb, str(vip), vip.interface], stdout=None, stderr=None)
        except (OSError, CalledProcessError) as error:
            raise NetworkError(f"VIP_COMMAND failed: {error}") from error
