"""A node's annotations that say with whom it speaks BGP, in kube-vip's names: what a cloud's controller writes there.

They become the settings that an operator would write, so they are checked where those are.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

import attrs

_FIELDS = ("node-asn", "peer-asn", "src-ip", "bgp-pass", "peer-multi-hop", "peer-ip")
_NUMBERED = re.compile(rf"bgp-peers-(\d+)-({'|'.join(_FIELDS)})")
_MANDATORY = ("node-asn", "src-ip", "peer-asn", "peer-ip")
_MULTIHOP = ("true", "false")


@attrs.frozen
class NodeAnnotations:
    """What was read: *settings* to use, and why they can't be used yet: *problems*, a sentence each.

    *unknown* are annotations of the prefix that mean nothing here.
    """

    settings: Mapping[str, str]
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_annotations(annotations: Mapping[str, str], prefix: str) -> NodeAnnotations:
    """Read the annotations ``<prefix>/...`` of a node.

    ``node-asn``, ``src-ip``, ``peer-asn`` and ``peer-ip`` have to be there, plain or as ``bgp-peers-0-node-asn`` and
    so on. Every ``bgp-peers-<N>-peer-ip`` is a peer, or several, separated by commas; what is not said of peer N is
    as it is for all.
    """
    start = prefix.rstrip("/") + "/"
    ours = {name.removeprefix(start): text.strip() for name, text in annotations.items() if name.startswith(start)}
    unknown = tuple(sorted(start + name for name in ours if name not in _FIELDS and not _NUMBERED.fullmatch(name)))
    missing = [name for name in _MANDATORY if not any(_values(ours, name))]
    if missing:
        return NodeAnnotations({}, tuple(f"annotation {start}{name} is missing" for name in missing), unknown)
    problems: list[str] = []
    peers = ",".join(_peers(ours, start, problems))
    source = _of(ours, "0", "src-ip")
    settings = {"bgp_as": _of(ours, "0", "node-asn"), "bgp_sourceip": source, "bgp_peers": peers}
    if ":" not in source:
        settings["bgp_routerid"] = source
    return NodeAnnotations({} if problems else settings, tuple(problems), unknown)


def _values(ours: Mapping[str, str], field: str) -> Iterator[str]:
    for name, text in ours.items():
        numbered = _NUMBERED.fullmatch(name)
        if name == field or (numbered is not None and numbered[2] == field):
            yield text


def _of(ours: Mapping[str, str], number: str, field: str) -> str:
    """Return what is said of one peer, or of all, or of the first one."""
    names = (f"bgp-peers-{number}-{field}", field, f"bgp-peers-0-{field}")
    return next((ours[name] for name in names if ours.get(name)), "")


def _peers(ours: Mapping[str, str], start: str, problems: list[str]) -> Iterator[str]:
    """Give each peer in the grammar of ``bgp_peers``."""
    numbers = {match[1] for name in ours if (match := _NUMBERED.fullmatch(name)) and match[2] == "peer-ip"}
    addresses = [("0", ours["peer-ip"])] if ours.get("peer-ip") else []
    addresses += [(number, ours[f"bgp-peers-{number}-peer-ip"]) for number in sorted(numbers, key=int)]
    known = set()
    for number, text in addresses:
        password = _password(_of(ours, number, "bgp-pass"), start, problems)
        multihop = _of(ours, number, "peer-multi-hop")
        if multihop and multihop not in _MULTIHOP:
            problems.append(f"annotation {start}peer-multi-hop is {multihop!r}; write true or false")
        for address in filter(None, map(str.strip, text.split(","))):
            host = f"[{address}]" if ":" in address else address
            if host not in known:
                known.add(host)
                yield f"{host}:{_of(ours, number, 'peer-asn')}:{password}:{multihop}"


def _password(text: str, start: str, problems: list[str]) -> str:
    try:
        password = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        problems.append(f"annotation {start}bgp-pass is not base64 of a text")
        return ""
    if ":" in password or "," in password:
        problems.append(f"annotation {start}bgp-pass: a password with ':' or ',' can't be used")
        return ""
    return password
