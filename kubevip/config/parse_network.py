"""Forms of what the network is made of: addresses, prefixes, where to listen, servers.

No text of an address passes these readers: behind them are ``ipaddress`` objects only.
"""

import ipaddress
import re
from urllib.parse import urlsplit

import attrs

from kubevip.config.parse import whole
from kubevip.config.setting import Form
from kubevip.model import Family, IPAddress

_NAME = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*"
    r"(?=[^.]*[A-Za-z])[A-Za-z0-9-]{1,63}\.?"  # a last label of digits would be part of an address
)
_AUTO = "auto"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class Prefixes:
    """Prefix lengths for virtual addresses, by family; ``None``: that of the interface's own subnet."""

    v4: int | None = Family.IPV4.bits
    v6: int | None = Family.IPV6.bits

    def of(self, family: Family) -> int | None:
        """Return the prefix length for *family*, ``None`` if the interface's own counts."""
        return self.v4 if family is Family.IPV4 else self.v6

    @property
    def automatic(self) -> bool:
        """Whether either family's length comes from the interface."""
        return None in (self.v4, self.v6)


@attrs.frozen
class Listen:
    """Where a server listens; *host* ``None`` is every address of this machine."""

    host: IPAddress | None
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host and self.host.version == 6 else str(self.host or "")
        return f"{host}:{self.port}"


def _address(text: str, right: str = "write IP addresses, separated by commas") -> IPAddress:
    if "/" in text:
        raise ValueError("write the address without a prefix length, which vip_subnet sets")
    if "%" in text:
        raise ValueError("write the address without a zone, the interface is vip_interface")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(right) from None
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"write a unicast address, {address} isn't one")
    return address


def _address_or_name(text: str) -> IPAddress | str:
    return text.rstrip(".").lower() if _NAME.fullmatch(text) else _address(text)


def _addresses(text: str) -> tuple[IPAddress | str, ...]:
    return tuple(dict.fromkeys(_address_or_name(part.strip()) for part in text.split(",")))


def _prefix(text: str, bits: int) -> int | None:
    if text == _AUTO:
        return None
    return whole(1, bits, "a bare prefix length")(text)


def _prefixes(text: str) -> Prefixes:
    first, comma, second = (part.strip() for part in text.partition(","))
    try:
        if comma:
            return Prefixes(_prefix(first, 32), _prefix(second, 128))
        return _one_prefix(_prefix(first, 128))
    except ValueError:
        raise ValueError("write one bare prefix length such as 32, two as 32,128 (IPv4 first), or auto") from None


def _one_prefix(length: int | None) -> Prefixes:
    if length is None:
        return Prefixes(None, None)
    return Prefixes(v4=length) if length <= Family.IPV4.bits else Prefixes(v6=length)


def _write_prefixes(prefixes: Prefixes) -> str:
    parts = [_AUTO if length is None else str(length) for length in (prefixes.v4, prefixes.v6)]
    return ",".join(parts)


def subnet_of(addresses: tuple[IPAddress, ...]) -> str:
    """Return the ``vip_subnet`` that kube-vip derives from *addresses*: ``32``, ``128`` or ``32,128``."""
    families = sorted({Family.of(address) for address in addresses})
    return ",".join(str(family.bits) for family in families)


def _listen(text: str) -> Listen | None:
    if text in ("", "off"):
        return None
    host, colon, port = text.rpartition(":")
    try:
        if not colon:
            raise ValueError
        return Listen(_host(host), whole(0, 65535, "a port")(port))
    except ValueError:
        raise ValueError("write host:port such as :2112, 127.0.0.1:2112 or [::1]:2112, or off") from None


def _host(text: str) -> IPAddress | None:
    if not text:
        return None
    if text == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")
    if text.startswith("["):
        return ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]"))
    return ipaddress.IPv4Address(text)


def _write_listen(value: Listen | None) -> str:
    return str(value) if value else "off"


def _server(text: str) -> str:
    url = text if "://" in text else f"https://{_bracketed(text)}"
    if not _is_server(url):
        raise ValueError("write the API server's URL, host:port or host, such as https://10.0.0.1:6443")
    return url.rstrip("/")


def _bracketed(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        return text


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not re.search(r"\s", url)


def _http_url(text: str) -> str:
    if not _is_server(text):
        raise ValueError("write an http:// or https:// URL")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError:
        raise ValueError("write networks separated by commas, such as 10.0.0.0/16,fd00::/64") from None


def _ip_addresses(text: str) -> tuple[IPAddress, ...]:
    return tuple(dict.fromkeys(_address(part.strip()) for part in text.split(",")))


ADDRESSES = Form("addresses", _addresses, lambda value: ",".join(str(part) for part in value))
IP_ADDRESSES = Form("IP addresses", _ip_addresses, lambda value: ",".join(map(str, value)))
ADDRESS = Form("address", lambda text: _address(text, "write one IP address"))
PREFIXES = Form("prefix lengths", _prefixes, _write_prefixes)
LISTEN = Form("host:port", _listen, _write_listen)
SERVER = Form("URL", _server)
HTTP_URL = Form("http URL", _http_url)
NETWORKS = Form("networks", _networks, lambda value: ",".join(str(part) for part in value))

# Of BGP: what the fields of its messages hold.
AS_NUMBER = Form("AS number", whole(1, 2**32 - 1, "a whole number"))
UNSIGNED = Form("number", whole(0, 2**32 - 1, "a whole number"))
RESTART_TIME = Form("restart time", whole(0, 4095, "whole seconds"))
PREPEND = Form("prepend", whole(0, 20, "a whole number"))
