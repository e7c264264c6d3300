"""Plain forms: booleans, numbers, times, names. As kube-vip reads them, which is as Go's strconv does.

Each error is a sentence of what would be right.
"""

import re
from collections.abc import Callable
from pathlib import Path

from kubevip.config.setting import Form

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_BACKEND = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
INT32 = 2**31 - 1
_ARP_RATE_FLOOR = 500
_ARP_RATE = 3000


def _boolean(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError("write true or false (1, t, T, TRUE, True, 0, f, F, FALSE and False are read too)")
    return text in _TRUE


def whole(low: int, high: int, what: str) -> Callable[[str], int]:
    """Return a reader of base-10 numbers from *low* to *high*, called *what* in errors."""

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"write {what} from {low} to {high}")
        return int(text)

    return read


def integer(low: int = -INT32 - 1, high: int = INT32) -> Form[int]:
    """Whole numbers from *low* to *high*."""
    return Form("integer", whole(low, high, "a whole number"))


def seconds(low: int = 1, high: int = INT32) -> Form[float]:
    """Whole seconds, held as a float."""
    read = whole(low, high, "whole seconds")
    return Form("seconds", lambda text: float(read(text)), lambda value: str(round(value)))


def short_seconds(high: int) -> Form[float]:
    """Seconds with up to three decimals, at most *high*."""
    return some_seconds(0, high)


def some_seconds(low: float, high: int) -> Form[float]:
    """Seconds with up to three decimals, from *low* to *high*."""

    def read(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or not low <= float(text) <= high:
            raise ValueError(f"write seconds from {low:g} to {high}, such as 3 or 0.5")
        return round(float(text), 3)

    return Form("seconds", read, lambda value: f"{value:.3f}".rstrip("0").rstrip("."))


def _arp_rate(text: str) -> float:
    value = whole(-INT32 - 1, INT32, "whole milliseconds")(text)
    return (value if value >= _ARP_RATE_FLOOR else _ARP_RATE) / 1000


def choice(*allowed: str) -> Form[str]:
    """One word of *allowed*."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"write {', '.join(allowed[:-1])} or {allowed[-1]}")
        return text

    return Form("|".join(allowed), read)


def matching(name: str, pattern: str, right: str) -> Form[str]:
    """Texts that *pattern* matches whole; *right* says in words what that is."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(right)
        return text

    return Form(name, read)


def _backends(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    if not all(_BACKEND.fullmatch(name) for name in names):
        raise ValueError("write names of backends, separated by commas; `kubevip backends` lists them")
    return names


BACKENDS = Form("names", _backends, ",".join)


def _optional_port(text: str) -> int | None:
    value = whole(0, 65535, "a port")(text)
    if 0 < value < 1024:
        raise ValueError("write a port from 1024 to 65535, or 0 for none")
    return value or None


def _node_name(text: str) -> str:
    if not re.fullmatch(r"[^\s/]{1,253}", text):
        raise ValueError("write the Kubernetes node's name, without spaces and slashes")
    return text.lower()


def _weight(text: str) -> float:
    if not _DECIMAL.fullmatch(text) or not 0.01 <= float(text) <= 1000:
        raise ValueError("write a number from 0.01 to 1000, such as 2 or 0.5")
    return round(float(text), 3)


WEIGHT = Form("weight", _weight, lambda value: f"{value:.3f}".rstrip("0").rstrip("."))
TEXT: Form[str] = Form("text", str)
BOOLEAN = Form("boolean", _boolean, lambda value: "true" if value else "false")
INTEGER = integer()
PORT = Form("port", whole(1, 65535, "a port"))
OPTIONAL_PORT: Form[int | None] = Form("port", _optional_port, lambda value: str(value or 0))
SECONDS = seconds()


def _heartbeat(text: str) -> float:
    return whole(10, 1000, "milliseconds")(text) / 1000


HEARTBEAT = Form("heartbeat", _heartbeat, lambda value: str(round(value * 1000)))
ARP_RATE = Form("milliseconds", _arp_rate, lambda value: str(round(value * 1000)))
PATH = Form("path", Path)
NODE_NAME = Form("node name", _node_name)
NAMESPACE = matching(
    "namespace", _LABEL, "write a namespace: lower-case letters, digits and '-', at most 63 characters"
)
LEASE_NAME = matching(
    "Lease",
    rf"({_LABEL}/)?(?=.{{1,253}}$){_SUBDOMAIN}",
    "write the Lease's name, or namespace/name: lower-case letters, digits, '-' and '.'",
)
INSTANCE_NAME = matching(
    "text", r"[A-Za-z0-9_.-]{1,243}", "write letters, digits, '_', '.' and '-', at most 243 characters"
)
INTERFACE = matching(
    "interface",
    r"(?!\.{1,2}$)[^\s/:]{1,127}",
    "write an interface's name as `ip link` shows it, without spaces, '/' and ':'",
)
