"""A node's annotations that say with whom it speaks BGP, in kube-vip's names: what a cloud's controller writes there.

They become the settings that an operator would write. Each value is checked here, where its annotation can be named:
one that can't be used leaves the others as they are, and in its place its last good value counts, where there was one.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs

_FIELDS = ("node-asn", "peer-asn", "src-ip", "bgp-pass", "peer-multi-hop", "peer-ip")
_NUMBERED = re.compile(rf"bgp-peers-(\d+)-({'|'.join(_FIELDS)})")
_MANDATORY = ("node-asn", "src-ip", "peer-asn", "peer-ip")
_MULTIHOP = ("true", "false")
# What Linux lets the name of an interface be, without what has a meaning in the list of peers.
_INTERFACE = re.compile(r"[^\s/:,%\[\]]{1,15}")
_LARGEST_AS = 2**32 - 1
# All that the kernel takes (TCP_MD5SIG).
_LONGEST_PASSWORD = 80


@attrs.frozen
class NodeAnnotations:
    """What was read: *settings* to use, empty where they can't be used; *problems* say what is wrong, a sentence each.

    *bad* are annotations whose value can't be used, each with its problem; *unknown* those of the prefix that mean
    nothing here. *used* are the values that count, by their names without the prefix.
    """

    settings: Mapping[str, str]
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    bad: Mapping[str, str] = attrs.field(factory=dict)
    used: Mapping[str, str] = attrs.field(factory=dict, repr=False)


def read_annotations(
    annotations: Mapping[str, str],
    prefix: str,
    before: Mapping[str, str] | None = None,
    peers: Collection[str] = (),
) -> NodeAnnotations:
    """Read the annotations ``<prefix>/...`` of a node; *before* are the values that were *used* so far.

    ``node-asn``, ``src-ip``, ``peer-asn`` and ``peer-ip`` have to be there, plain or as ``bgp-peers-0-node-asn`` and
    so on. Every ``bgp-peers-<N>-peer-ip`` is a peer, or several, separated by commas; what is not said of peer N is
    as it is for all. *peers* are the addresses of those that the settings name already.
    """
    start = prefix.rstrip("/") + "/"
    ours = {name.removeprefix(start): text.strip() for name, text in annotations.items() if name.startswith(start)}
    unknown = tuple(sorted(start + name for name in ours if not _field(name)))
    reading = _Reading(start, {name: text for name, text in ours.items() if text and _field(name)}, before or {})
    settings = reading.settings(peers)
    return NodeAnnotations(settings, tuple(reading.problems), unknown, reading.bad, reading.texts)


def peers_of(settings: Mapping[str, str]) -> set[str]:
    """Return the addresses of the peers that ``bgp_peers`` and ``bgp_peeraddress`` name."""
    named = [part.strip() for part in settings.get("bgp_peers", "").split(",")]
    hosts = [part[1:].partition("]")[0] if part.startswith("[") else part.partition(":")[0] for part in named]
    return {_normal(host) for host in (*hosts, settings.get("bgp_peeraddress", "").strip()) if host}


@attrs.define
class _Reading:
    """Reads the annotations that begin with *start*. *texts* are their values, and then those that count."""

    start: str
    texts: dict[str, str]
    _before: Mapping[str, str]
    problems: list[str] = attrs.field(factory=list)
    bad: dict[str, str] = attrs.field(factory=dict)
    _unusable: set[str] = attrs.field(factory=set)

    def settings(self, taken: Collection[str]) -> dict[str, str]:
        missing = [name for name in _MANDATORY if not any(_field(each) == name for each in self.texts)]
        for name in sorted(self.texts):
            self._check(name)
        self.problems += [f"annotation {self.start}{name} is missing" for name in missing]
        number, source = self._of("0", "node-asn"), self._of("0", "src-ip")
        peers = ",".join(self._peers(taken))
        if missing or not (number and source and peers):
            return {}
        found = {"bgp_as": number, "bgp_sourceip": source, "bgp_peers": peers}
        return found if ":" in source else {**found, "bgp_routerid": source}

    def _check(self, name: str) -> None:
        wrong = _CHECKS[_field(name)](self.texts[name])
        if not wrong:
            return
        said = f"annotation {self.start}{name}{wrong}"
        if name in self._before:
            self.texts[name] = self._before[name]
            said += "; its last good value goes on to count"
        elif usable := _usable(_field(name), self.texts[name]):
            self.texts[name] = usable
            said += "; its other peers count"
        else:
            del self.texts[name]
            self._unusable.add(name)
        self.bad[self.start + name] = said
        self.problems.append(said)

    def _of(self, number: str, field: str) -> str | None:
        """Return what is said of one peer, or of all, or of the first one; ``None`` where that can't be used."""
        for name in (f"bgp-peers-{number}-{field}", field, f"bgp-peers-0-{field}"):
            if name in self._unusable:
                return None
            if name in self.texts:
                return self.texts[name]
        return ""

    def _peers(self, taken: Collection[str]) -> Iterator[str]:
        """Give each peer in the grammar of ``bgp_peers``."""
        known: set[str] = set()
        for number, name in self._addresses():
            peer_as = self._of(number, "peer-asn")
            password, multihop = self._of(number, "bgp-pass"), self._of(number, "peer-multi-hop")
            if peer_as == "" and any(_field(each) == "peer-asn" for each in self.texts):
                self.problems.append(f"annotation {self.start}bgp-peers-{number}-peer-asn is missing")
            if not peer_as or password is None or multihop is None:
                continue
            for address in _listed(self.texts[name]):
                if _normal(address) in taken:
                    self.problems.append(f"annotation {self.start}{name}: bgp_peers names {address} too, and counts")
                elif _normal(address) not in known:
                    known.add(_normal(address))
                    host = f"[{address}]" if ":" in address else address
                    yield f"{host}:{peer_as}:{_decoded(password)}:{multihop}"

    def _addresses(self) -> list[tuple[str, str]]:
        """Return each annotation with addresses of peers, behind its number, in the order of that."""
        found = [("0", "peer-ip")] if "peer-ip" in self.texts else []
        numbers = [match[1] for name in self.texts if (match := _NUMBERED.fullmatch(name)) and match[2] == "peer-ip"]
        return found + [(number, f"bgp-peers-{number}-peer-ip") for number in sorted(numbers, key=int)]


def _field(name: str) -> str:
    """Return the field that an annotation sets; empty where it means nothing."""
    numbered = _NUMBERED.fullmatch(name)
    return numbered[2] if numbered else name if name in _FIELDS else ""


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _normal(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


# What is wrong with a value, as the end of a sentence; empty where nothing is


def _number(text: str) -> str:
    fine = text.isascii() and text.isdecimal() and len(text) <= 10 and 1 <= int(text) <= _LARGEST_AS
    return "" if fine else f" is {text!r}; write an AS number from 1 to {_LARGEST_AS}"


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f" is {text!r}; write an IP address"
    if address.is_multicast or address.is_unspecified:
        return f" is {text!r}, which is not the address of one machine"
    scope = address.scope_id if isinstance(address, ipaddress.IPv6Address) else None
    if address.version == 6 and address.is_link_local and not scope:
        return f" is {text!r}: a link-local address needs its interface; write {text}%eth0"
    return "" if scope is None or _INTERFACE.fullmatch(scope) else f" is {text!r}: {scope!r} is no interface"


def _addresses(text: str) -> str:
    wrong = [said for said in map(_address, _listed(text)) if said]
    return wrong[0] if wrong else "" if _listed(text) else f" is {text!r}; write an IP address"


def _usable(field: str, text: str) -> str:
    """Return what of a list of peers can be used; empty where nothing can, or it is no list."""
    return ",".join(each for each in _listed(text) if not _address(each)) if field == "peer-ip" else ""


def _multihop(text: str) -> str:
    return "" if text in _MULTIHOP else f" is {text!r}; write true or false"


def _password(text: str) -> str:
    try:
        password = _decoded(text)
    except ValueError:
        return " is not base64 of a text"
    if ":" in password or "," in password:
        return ": a password with ':' or ',' can't be used"
    if len(password.encode()) > _LONGEST_PASSWORD:
        return f": a password with more than {_LONGEST_PASSWORD} bytes can't be used"
    return ""


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "node-asn": _number,
    "peer-asn": _number,
    "src-ip": _address,
    "peer-ip": _addresses,
    "peer-multi-hop": _multihop,
    "bgp-pass": _password,
}
