"""The provider's settings: flags of a cloud-controller-manager, and kube-vip-cloud-provider's environment.

They stand beside the agent's table, not in it: names, cases and forms are those of another program.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from kubevip.config.kubeconfig import InCluster, Kubeconfig, Server, kubeconfig_candidates
from kubevip.config.parse import BOOLEAN, NAMESPACE
from kubevip.config.parse_network import LISTEN, SERVER, Listen
from kubevip.config.process import Kubernetes
from kubevip.config.table import Settings
from kubevip.errors import ConfigError
from kubevip.lease import Timing
from kubevip.model import LeaseKey, ObjectKey

ENABLE_CLASS, CLASS_NAME = "KUBEVIP_ENABLE_LOADBALANCERCLASS", "KUBEVIP_CUSTOM_LOADBALANCERCLASS_NAME"
CONFIG_NAMESPACE, CONFIG_MAP = "KUBEVIP_NAMESPACE", "KUBEVIP_CONFIG_MAP"
DEFAULT_CLASS = "kube-vip.io/kube-vip-class"
LEASE = "kube-vip-cloud-controller"
# Go's time.ParseDuration, without the units below a millisecond.
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


@attrs.frozen(kw_only=True)
class ProviderSettings:
    """What the provider runs with.

    *classless* says whether Services without a class are served, *classes* which classes are.
    """

    config_map: ObjectKey
    classless: bool
    classes: frozenset[str]
    kubernetes: Kubernetes
    leader_elect: bool
    lease: LeaseKey
    timing: Timing
    workers: int
    metrics: Listen | None
    log_format: str
    verbosity: int

    def credentials(self, environ: Mapping[str, str]) -> tuple[Kubeconfig | InCluster, ...]:
        """Return where to look for credentials: in the file of ``--kubeconfig``, or else where the agent looks."""
        file, address = self.kubernetes.config_file, self.kubernetes.address
        server = Server(url=address) if address else None
        if file is not None:
            return (Kubeconfig(paths=(file,), reason="--kubeconfig names it", required=True, server=server),)
        found = kubeconfig_candidates(Settings(), environ)
        return tuple(
            attrs.evolve(each, server=server) if server and isinstance(each, Kubeconfig) else each for each in found
        )


def add_provider_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags; each is text until ``load_provider()`` reads it."""
    for section, flags in _FLAGS.items():
        group = parser.add_argument_group(section)
        for flag, (metavar, text) in flags.items():
            if metavar == "true|false":
                group.add_argument(flag, metavar=metavar, help=text, dest=flag, nargs="?", const="true")
            else:
                group.add_argument(flag, metavar=metavar, help=text, dest=flag)


def load_provider(
    environ: Mapping[str, str], given: Mapping[str, str | None], rest: Sequence[str] = ()
) -> tuple[ProviderSettings, list[str]]:
    """Read the settings; return them, and sentences that the user should see. *rest* is what no flag took.

    :raises ConfigError: with all that is wrong.
    """
    reader = _Reader({flag: value for flag, value in given.items() if value is not None})
    settings = reader.read(environ)
    notices, problems = _ignored(rest)
    problems += reader.problems
    if problems:
        raise ConfigError(problems)
    return settings, notices


def _ignored(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    flags, problems = [], []
    value_may_follow = False
    for word in rest:
        if word.startswith("-"):
            flags.append(word.partition("=")[0])
            value_may_follow = "=" not in word
        elif value_may_follow:
            value_may_follow = False
        else:
            problems.append(f"no arguments are taken beside flags, which begin with --; got {word!r}")
    notices = [f"these flags of a cloud-controller-manager have no effect here: {', '.join(flags)}"] if flags else []
    return notices, problems


@attrs.define
class _Reader:
    _given: Mapping[str, str]
    problems: list[str] = attrs.field(factory=list)

    def read(self, environ: Mapping[str, str]) -> ProviderSettings:
        class_mode = self._truth(ENABLE_CLASS, environ.get(ENABLE_CLASS) or "false")
        names = self._given.get("--load-balancer-classes") or environ.get(CLASS_NAME) or DEFAULT_CLASS
        classes = frozenset(name for name in map(str.strip, names.split(",")) if name)
        both = "--load-balancer-classes" in self._given
        lock = self._given.get("--leader-elect-resource-lock", "leases")
        if lock != "leases":
            self.problems.append(f"--leader-elect-resource-lock={lock}: only leases are there")
        settings = ProviderSettings(
            config_map=ObjectKey(environ.get(CONFIG_NAMESPACE) or "kube-system", environ.get(CONFIG_MAP) or "kubevip"),
            classless=self._truth("--classless", self._given.get("--classless", "false" if class_mode else "true")),
            classes=classes if class_mode or both else frozenset(),
            kubernetes=Kubernetes(
                config_file=Path(self._given["--kubeconfig"]) if self._given.get("--kubeconfig") else None,
                address=self._master(),
            ),
            leader_elect=self._truth("--leader-elect", self._given.get("--leader-elect", "true")),
            lease=self._lease(),
            timing=self._timing(),
            workers=self._number("--concurrent-service-syncs", 16, least=1),
            metrics=self._listen(),
            log_format=self._given.get("--logging-format") or "auto",
            verbosity=self._number("-v", 0, least=0),
        )
        self._truth("--OutSideCluster", self._given.get("--OutSideCluster", "false"))
        if settings.log_format not in ("auto", "text", "json"):
            self.problems.append(f"--logging-format={settings.log_format}: write text, json or auto")
        if not settings.classless and not settings.classes:
            self.problems.append("--classless=false, and no class is named: no Service would be served")
        return settings

    def _timing(self) -> Timing:
        try:
            return Timing(
                duration=self._whole_seconds("--leader-elect-lease-duration", 15),
                renew_deadline=self._seconds("--leader-elect-renew-deadline", 10.0),
                retry_period=self._seconds("--leader-elect-retry-period", 2.0),
            )
        except ConfigError as error:
            self.problems += error.problems
            return Timing()

    def _lease(self) -> LeaseKey:
        name = self._given.get("--leader-elect-resource-name") or LEASE
        namespace = self._given.get("--leader-elect-resource-namespace") or "kube-system"
        try:
            return LeaseKey(NAMESPACE.read(namespace), name)
        except ValueError as error:
            self.problems.append(f"--leader-elect-resource-namespace={namespace}: {error}")
            return LeaseKey("kube-system", name)

    def _truth(self, name: str, text: str) -> bool:
        try:
            return BOOLEAN.read(text)
        except ValueError:
            self.problems.append(f"{name} value '{text}' is invalid: write true or false")
            return False

    def _seconds(self, flag: str, default: float) -> float:
        text = self._given.get(flag)
        if text is None:
            return default
        found = _DURATION.fullmatch(text)
        if not text or found is None:
            self.problems.append(f"{flag}={text}: write a duration such as 15s or 1m30s")
            return default
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000

    def _whole_seconds(self, flag: str, default: int) -> int:
        seconds = self._seconds(flag, default)
        if seconds != int(seconds):
            self.problems.append(f"{flag}={self._given[flag]}: write whole seconds, as Leases do")
        return int(seconds)

    def _number(self, flag: str, default: int, *, least: int) -> int:
        text = self._given.get(flag, str(default))
        if not text.isascii() or not text.isdecimal() or not least <= int(text) <= 1000:
            self.problems.append(f"{flag}={text}: write a whole number from {least} to 1000")
            return default
        return int(text)

    def _master(self) -> str | None:
        text = self._given.get("--master")
        try:
            return SERVER.read(text) if text else None
        except ValueError as error:
            self.problems.append(f"--master={text}: {error}")
            return None

    def _listen(self) -> Listen | None:
        text = self._given.get("--prometheusHTTPServer", ":2112")
        try:
            listen: Listen | None = LISTEN.read(text)
        except ValueError as error:
            self.problems.append(f"--prometheusHTTPServer={text}: {error}")
            return None
        return listen


_FLAGS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Services": {
        "--classless": ("true|false", f"serve Services without a class (true unless {ENABLE_CLASS} is true)"),
        "--load-balancer-classes": ("NAME,…", f"serve these classes too (alone with {ENABLE_CLASS}=true)"),
        "--concurrent-service-syncs": ("N", "Services written at once (16)"),
    },
    "API server": {
        "--kubeconfig": ("FILE", "credentials; otherwise they are found as the agent finds them"),
        "--master": ("URL", "the API server, in place of the kubeconfig's"),
        "--OutSideCluster": ("true|false", "accepted: credentials outside of a cluster are found anyhow"),
    },
    "Leader election": {
        "--leader-elect": ("true|false", "let one of several replicas work (true); without, all do, and slower"),
        "--leader-elect-resource-name": ("NAME", f"the Lease ({LEASE})"),
        "--leader-elect-resource-namespace": ("NAMESPACE", "its namespace (kube-system)"),
        "--leader-elect-resource-lock": ("leases", "what the lock is made of"),
        "--leader-elect-lease-duration": ("DURATION", "15s"),
        "--leader-elect-renew-deadline": ("DURATION", "10s"),
        "--leader-elect-retry-period": ("DURATION", "2s"),
    },
    "Process": {
        "--prometheusHTTPServer": ("HOST:PORT", "metrics and health; off is nowhere (:2112)"),
        "--logging-format": ("text|json|auto", "form of the log lines (auto: text on a terminal)"),
        "-v": ("N", "say more from 4 on"),
    },
}
