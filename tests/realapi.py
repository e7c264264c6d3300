"""A real kube-apiserver with its etcd, for tests that run on it beside the emulator.

The binaries are those of the envtest archives: they are looked for in ``$KUBEBUILDER_ASSETS``, then in
``/usr/local/kubebuilder/bin``. Both processes listen on loopback, keep their data in a directory that
``serve_real`` makes and removes, and are ended by their own handle.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import trustme
import yaml

ADMIN_TOKEN = "admin-token"
READY_SECONDS = 60.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
DEFAULT_ASSETS = Path("/usr/local/kubebuilder/bin")


def find_assets() -> Path | None:
    """The directory that holds both ``kube-apiserver`` and ``etcd``, or None."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    for directory in [Path(named)] if named else [DEFAULT_ASSETS]:
        if all(os.access(directory / name, os.X_OK) for name in ("kube-apiserver", "etcd")):
            return directory
    return None


@attrs.frozen(kw_only=True)
class RealServer:
    """A running kube-apiserver: its address, its certificate authority and the tokens it knows."""

    url: str
    etcd_url: str
    ca_file: Path
    ssl_context: ssl.SSLContext
    """Trusts the authority and nobody else; made beforehand, as that reads a file."""
    tokens: Mapping[str, str]
    """User name to token."""

    def kubeconfig(self, user: str = "admin") -> str:
        """A kubeconfig, as YAML text, for one of the users of *tokens*."""
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "real",
                "clusters": [
                    {
                        "name": "real",
                        "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)},
                    }
                ],
                "users": [{"name": user, "user": {"token": self.tokens[user]}}],
                "contexts": [{"name": "real", "context": {"cluster": "real", "user": user}}],
            }
        )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets]


def _write_credentials(directory: Path, host: str, tokens: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    authority = trustme.CA()
    server = authority.issue_cert(*dict.fromkeys((host, "127.0.0.1", "localhost")))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server.private_key_pem.write_to_path(str(directory / "server.key"))
    server.cert_chain_pems[0].write_to_path(str(directory / "server.pem"))
    authority.issue_cert("accounts.invalid").private_key_pem.write_to_path(str(directory / "accounts.key"))
    rows = (f'{token},{user},{user},"{",".join(groups)}"\n' for token, (user, groups) in tokens.items())
    (directory / "tokens.csv").write_text("".join(rows))


def _etcd_command(binary: Path, directory: Path, client: int, peer: int) -> list[str]:
    return [
        str(binary),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver_command(
    binary: Path, directory: Path, host: str, port: int, etcd: int, extra: tuple[str, ...]
) -> list[str]:
    return [
        str(binary),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--bind-address={host}",
        f"--secure-port={port}",
        f"--tls-cert-file={directory / 'server.pem'}",
        f"--tls-private-key-file={directory / 'server.key'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={directory / 'accounts.key'}",
        f"--service-account-signing-key-file={directory / 'accounts.key'}",
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        *extra,
    ]


def _end_with_parent() -> None:
    """Have the kernel end the process when the test run is killed and can't do it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=_end_with_parent) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _is_ready(server: "RealServer") -> bool:
    request = urllib.request.Request(f"{server.url}/readyz", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    try:
        with urllib.request.urlopen(request, context=server.ssl_context, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _wait_ready(server: "RealServer", process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"kube-apiserver doesn't get ready: {log.read_text()[-2000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def serve_real(
    assets: Path,
    *,
    users: Mapping[str, tuple[str, ...]] | None = None,
    arguments: tuple[str, ...] = (),
    host: str = "127.0.0.1",
) -> Iterator[RealServer]:
    """Start etcd and kube-apiserver from *assets*; both have ended when the context is left.

    *users* are further user names with their groups, each known by the token ``NAME-token``; ``admin``,
    of ``system:masters``, always is. *arguments* are appended to the command line of kube-apiserver, which listens
    on *host*.
    It blocks for some seconds: enter it outside of event loops, in a fixture of the session.
    """
    everyone = {"admin": ("system:masters",), **(users or {})}
    tokens = {user: f"{user}-token" for user in everyone}
    directory = Path(tempfile.mkdtemp(prefix="kubevip-real-"))
    port, etcd, peer = _free_ports(3)
    log, authority = directory / "apiserver.log", directory / "ca.pem"
    try:
        _write_credentials(directory, host, {tokens[user]: (user, groups) for user, groups in everyone.items()})
        server = RealServer(
            url=f"https://{host}:{port}",
            etcd_url=f"http://127.0.0.1:{etcd}",
            ca_file=authority,
            ssl_context=ssl.create_default_context(cafile=str(authority)),
            tokens=tokens,
        )
        etcd_command = _etcd_command(assets / "etcd", directory, etcd, peer)
        command = _apiserver_command(assets / "kube-apiserver", directory, host, port, etcd, arguments)
        with _process(etcd_command, directory / "etcd.log"), _process(command, log) as process:
            _wait_ready(server, process, log)
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)
