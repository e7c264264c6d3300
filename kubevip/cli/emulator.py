"""``kubevip emulator``: the built-in API server as a process of its own."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from kubevip.emulator import Certificate, Emulator, User, serve
from kubevip.errors import ConfigError

_MASTERS = "system:masters"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to *parser*."""
    add = parser.add_argument
    add("--listen", metavar="HOST:PORT", default="127.0.0.1:0", help="where to listen; port 0 takes a free one")
    add("--kubeconfig", metavar="FILE", type=Path, help="written when the server is ready to serve")
    add("--tls", action="store_true", help="serve HTTPS, with a certificate made for the occasion")
    add("--tls-cert", metavar="FILE", type=Path, help="serve HTTPS with this certificate (PEM)")
    add("--tls-key", metavar="FILE", type=Path, help="the key of --tls-cert (PEM)")
    add(
        "--user",
        metavar="NAME[:GROUP,...]=TOKEN",
        action="append",
        default=[],
        help="a user and its bearer token, any number of times; NAME may be NAMESPACE/SERVICEACCOUNT; the "
        "kubeconfig is then of the user admin, with a new token unless one is given",
    )
    add("--rbac", action="store_true", help="users may do what roles and bindings allow; needs --user")
    add("--service-cidr", metavar="CIDR[,CIDR]", default="10.96.0.0/12", help="where cluster addresses come from")
    add("--bookmarks", metavar="SECONDS", type=float, default=60.0, help="the time between bookmarks of a watch")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 1 when it can't be served, with the reason on stderr."""
    try:
        asyncio.run(_serve(arguments))
    except ConfigError as error:
        for problem in error.problems:
            print(f"kubevip emulator: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"kubevip emulator: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    host, port = parse_listen(arguments.listen)
    tokens = parse_users(arguments.user) if arguments.user or arguments.rbac else None
    if tokens and not (arguments.tls or arguments.tls_cert):
        raise ConfigError(["--user and --rbac need --tls: kubectl sends tokens over HTTPS only"])
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serve(
        host=host,
        port=port,
        tokens=tokens,
        rbac=arguments.rbac,
        tls=_certificate(arguments, host),
        service_cidrs=arguments.service_cidr.split(","),
        bookmark_seconds=arguments.bookmarks,
    ) as server:
        if arguments.kubeconfig:
            _write(arguments.kubeconfig, server)
        print(f"serving {server.url}", flush=True)
        await stopped.wait()


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port; raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError([f"--listen: {text!r} is not HOST:PORT; 127.0.0.1:6443 or [::1]:6443 would be"])
    return host.strip("[]"), int(port)


def parse_users(texts: list[str]) -> dict[str, User]:
    """The users by token, with an administrator first; raises ConfigError."""
    users: dict[str, User] = {}
    for text in texts:
        subject, _, token = text.rpartition("=")
        name, _, groups = subject.partition(":") if "/" not in subject else (subject, "", "")
        if not name or not token:
            raise ConfigError([f"--user: {text!r} is not NAME[:GROUP,...]=TOKEN; admin:{_MASTERS}=secret would be"])
        if "/" in name:
            users[token] = User.service_account(*name.split("/", 1))
        else:
            users[token] = User(name, tuple(filter(None, groups.split(","))))
    if any(_MASTERS in user.groups for user in users.values()):
        return users
    return {secrets.token_urlsafe(): User("admin", (_MASTERS,)), **users}


def _certificate(arguments: argparse.Namespace, host: str) -> Certificate | None:
    if bool(arguments.tls_cert) != bool(arguments.tls_key):
        raise ConfigError(["--tls-cert and --tls-key belong together: give both, or --tls alone"])
    if arguments.tls_cert:
        return Certificate.load(arguments.tls_cert, arguments.tls_key)
    return Certificate.generate(host, "localhost") if arguments.tls else None


def _write(path: Path, server: Emulator) -> None:
    """Put the kubeconfig in its place in one step, readable by nobody else."""
    user = next((u.name for u in (server.tokens or {}).values() if _MASTERS in u.groups), None)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(server.kubeconfig(user))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
