"""Real routers from Debian's packages, each in a network namespace, asked for what they know."""

import asyncio
import contextlib
import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel import in_thread
from tests.waiting import until

NODE, ROUTER = ("10.7.0.1", "fd07::1"), ("10.7.0.2", "fd07::2")
OURS, THEIRS = 65000, 65001
PATHS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr"


def program(name):
    found = shutil.which(name, path=PATHS)
    if found is None:
        pytest.skip(f"no {name}: install Debian's package of it")
    return found


class Router:
    """A daemon on *machine*; its files are in *directory*."""

    def __init__(self, machine, directory: Path):
        self.machine, self.directory = machine, directory
        self.process = None
        directory.mkdir(exist_ok=True)

    def start(self, command):
        with (self.directory / "log").open("ab") as log, self.machine.entered():
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    async def ask(self, *command):
        def run():
            with self.machine.entered():
                return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout

        return await in_thread(run)

    async def wait_routes(self, *expected, bound=10.0):
        """Wait until the router knows exactly the prefixes *expected* from us."""
        wanted = {str(ipaddress.ip_network(each)) for each in expected}

        async def has():
            found = await self.routes()
            return found == wanted

        await until(has, bound, f"{type(self).__name__} with {sorted(wanted)[:5]}")


BIRD = """\
log "{directory}/bird.log" all;
router id {router_id};
protocol device {{}}
protocol kernel {{ ipv4 {{ import none; export all; }}; }}
protocol kernel {{ ipv6 {{ import none; export all; }}; }}
{bfd}
protocol bgp node {{
    local {local} as {theirs};
    neighbor {neighbor} as {ours};
    hold time 9;
    connect delay time 1; connect retry time 1; error wait time 1,2;
    {options}
    ipv4 {{ import all; export none; }};
    ipv6 {{ import all; export none; }};
}}
"""


class Bird(Router):
    """BIRD 2, asked through its control socket."""

    def start_with(self, options="passive;", *, neighbor=NODE[0], local=ROUTER[0], theirs=THEIRS, ours=OURS, bfd=""):
        self.start_as(
            BIRD.format(
                directory=self.directory,
                router_id=ROUTER[0],
                options=options,
                neighbor=neighbor,
                local=local,
                theirs=theirs,
                ours=ours,
                bfd=bfd,
            )
        )

    def start_as(self, text):
        """Start with a whole configuration."""
        config = self.directory / "bird.conf"
        config.write_text(text)
        self.start([program("bird"), "-f", "-c", str(config), "-s", str(self.directory / "ctl")])

    async def tell(self, command):
        """Return what BIRD answers to a command."""
        # It was started a moment ago, perhaps.
        await until((self.directory / "ctl").exists, 5, "BIRD's control socket")
        reader, writer = await asyncio.open_unix_connection(self.directory / "ctl")
        try:
            await reader.readline()
            writer.write(command.encode() + b"\n")
            answer = []
            while True:
                line = (await reader.readline()).decode()
                if not line or re.match(r"[089]\d{3} ", line):
                    return "".join(answer) + line
                answer.append(line)
        finally:
            writer.close()

    async def routes(self):
        with contextlib.suppress(OSError):
            found = re.findall(r"^(?:1007-| )([0-9a-f.:]+/\d+) +unicast", await self.tell("show route"), re.M)
            return set(found)
        return None

    async def wait_up(self, bound=10.0):
        async def up():
            with contextlib.suppress(OSError):
                return "Established" in await self.tell("show protocols node")

        await until(up, bound, "BIRD with a session")


FRR = """\
hostname router
router bgp {theirs}
 bgp router-id 10.7.0.2
 no bgp ebgp-requires-policy
 neighbor {node} remote-as {ours}
 neighbor {node} passive
 neighbor {node} timers 3 9
{options}
 address-family ipv6 unicast
  neighbor {node} activate
"""


class Frr(Router):
    """FRR's bgpd alone, asked through vtysh."""

    def start_with(self, *, password="", graceful=False):
        config = self.directory / "bgpd.conf"
        options = f" neighbor {NODE[0]} password {password}" if password else ""
        options += " bgp graceful-restart" if graceful else ""
        config.write_text(FRR.format(theirs=THEIRS, ours=OURS, node=NODE[0], options=options))
        program("vtysh")
        self._let_in()
        command = [program("bgpd"), "-f", str(config), "-Z", "-P", "0", "-i", str(self.directory / "pid")]
        self.start([*command, "--vty_socket", str(self.directory)])

    def _let_in(self):
        """Open the directory: the daemons leave root behind for a user of their own."""
        for path in (self.directory, *self.directory.parents):
            with contextlib.suppress(OSError):
                path.chmod(0o755)
        self.directory.chmod(0o777)

    async def routes(self):
        found = set()
        for family in ("ipv4", "ipv6"):
            shown = await self.ask(
                program("vtysh"), "--vty_socket", str(self.directory), "-c", f"show bgp {family} unicast json"
            )
            with contextlib.suppress(ValueError):
                found |= set(json.loads(shown).get("routes", {}))
        return found


UNNUMBERED_FRR = """\
hostname router
router bgp {theirs}
 bgp router-id 10.7.0.2
 no bgp ebgp-requires-policy
 neighbor eth0 interface remote-as {ours}
 neighbor eth0 timers 3 9
 address-family ipv6 unicast
  neighbor eth0 activate
"""


class UnnumberedFrr(Frr):
    """FRR with zebra, which sends router advertisements, and a peer on its interface."""

    zebra = None

    def start_with(self):
        self._let_in()
        for name, text in (("zebra", "hostname router\n"), ("bgpd", UNNUMBERED_FRR.format(theirs=THEIRS, ours=OURS))):
            (self.directory / f"{name}.conf").write_text(text)
            files = ("-f", f"{self.directory}/{name}.conf", "-i", f"{self.directory}/{name}.pid")
            more = ("-P", "0", "--vty_socket", str(self.directory), "-z", str(self.directory / "zserv"))
            self.start([program(name), *files, *more])
            if name == "zebra":
                self.zebra, self.process = self.process, None

    def kill(self):
        super().kill()
        if self.zebra is not None:
            self.zebra.kill()
            self.zebra.wait(10)


GOBGP = """\
[global.config]
  as = {theirs}
  router-id = "10.7.0.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{node}"
    peer-as = {ours}
    auth-password = "{password}"
  [neighbors.transport.config]
    passive-mode = true
  [neighbors.graceful-restart.config]
    enabled = {graceful}
    restart-time = 20
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = {graceful}
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = {graceful}
"""


class GoBgp(Router):
    """GoBGP, asked through its command."""

    def start_with(self, *, password="", graceful=False):
        config = self.directory / "gobgpd.toml"
        known = {"theirs": THEIRS, "ours": OURS, "node": NODE[0], "password": password}
        config.write_text(GOBGP.format(**known, graceful=str(graceful).lower()))
        program("gobgp")
        self.start([program("gobgpd"), "-f", str(config)])

    async def routes(self):
        found = set()
        for family in ("ipv4", "ipv6"):
            shown = await self.ask(program("gobgp"), "global", "rib", "-j", "-a", family)
            with contextlib.suppress(ValueError, AttributeError):
                found |= set(json.loads(shown or "{}"))
        return found
