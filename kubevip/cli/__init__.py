"""The command line. Each command is a module with ``add_arguments`` and ``run``, loaded when it is asked for."""

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence

from kubevip.cli.pipes import tell_while_read

COMMANDS = {
    "agent": "keep the addresses of the control plane and of Services, as one node of several",
    "backends": "list the backends that are installed",
    "demo": "three nodes, a client and an API server in network namespaces: watch addresses move",
    "emulator": "serve a small Kubernetes API, for trying things out and for tests",
    "handover": "hand an address over to another node, and say what came of it",
    "ipam": "check pools of addresses, show who has what, plan an edit of the ConfigMap",
    "manifest": "print manifests that run the agent and the provider in a cluster",
    "provider": "give LoadBalancer Services their addresses from pools",
    "rebalance": "move Services between nodes until each has its share (svc_placement=spread)",
    "version": "print the version",
}
# Those that say themselves when to look for garbage. While they are loaded there is none that is worth a look.
DAEMONS = ("agent", "provider")
# kube-vip's names.
ALIASES = {"manager": "agent"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, 1 where it failed, 2 where it was told something wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    command = ALIASES.get(name, name)
    if command not in DAEMONS:
        return tell_while_read(lambda: _run(name, command, given[1:]) if command in COMMANDS else _explain(name))
    gc.disable()
    try:
        return _run(name, command, given[1:])
    finally:
        gc.enable()


def _run(name: str, command: str, given: Sequence[str]) -> int:
    module = importlib.import_module(f"kubevip.cli.{command}")
    parser = argparse.ArgumentParser(
        prog=f"kubevip {name}", description=module.__doc__, allow_abbrev=False, usage="%(prog)s [flag ...]"
    )
    module.add_arguments(parser)
    parsed, unknown = parser.parse_known_args(given)
    if "unknown" in parsed:
        parsed.unknown = unknown
    elif unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    result: int = module.run(parsed)
    return result


def _explain(name: str) -> int:
    wanted = name in ("-h", "--help", "help")
    stream = sys.stdout if wanted else sys.stderr
    if name and not wanted:
        print(f"kubevip: there is no command {name!r}", file=stream)
    print("usage: kubevip COMMAND [flag ...]\n\ncommands:", file=stream)
    for command, text in COMMANDS.items():
        aliases = "".join(f", {alias}" for alias, target in ALIASES.items() if target == command)
        print(f"  {command + aliases:<18}{text}", file=stream)
    print("\n'kubevip COMMAND --help' lists a command's flags", file=stream)
    return 0 if wanted else 2
