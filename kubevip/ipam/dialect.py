"""The keys of the ConfigMap: kube-vip-cloud-provider's, and a few of our own beside them.

What can't be used is a problem of its key; it hurts the namespaces that the key is for, and nobody else.
"""

import difflib
import enum
import itertools
import re
from collections.abc import Iterator, Mapping

import attrs

from kubevip.errors import ConfigError
from kubevip.ipam.blocks import IPV6_BASE, Block, Blocks, position
from kubevip.ipam.notation import read_pool, shown, sift_blocks
from kubevip.model import Family, IPAddress

GLOBAL = "global"
CIDR, RANGE, SOURCE = "cidr-", "range-", "source-"
SHARE, INTERFACE, FALLBACK = "allow-share-", "interface-", "fallback-"
ORDER, SKIP_ENDS = "search-order", "skip-end-ips-in-cidr"
USE_0_AND_255, COOL_DOWN, RESERVED = "use-0-and-255", "cool-down", "reserved"

PREFIXES = (CIDR, RANGE, SOURCE, SHARE, INTERFACE, FALLBACK)
WHOLE = (ORDER, SKIP_ENDS, USE_0_AND_255, COOL_DOWN, RESERVED)
# strconv.ParseBool
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
# Looking for what is alike takes half a millisecond a key.
SUGGESTIONS = 50
EMPTY = Blocks(())
# What the API server takes for a whole ConfigMap (1 MiB); nobody reads more by eye either.
LONGEST = 1 << 20
# Where a problem is of the ConfigMap as a whole.
WHOLE_MAP = "data"
# A ConfigMap can't have longer ones.
_LONGEST_KEY = 253
# From how much likeness on, of 0 to 1, a key is taken for a typing error.
_ALIKE = 0.7
# Nobody can have these: 0.0.0.0 and ::.
_UNSPECIFIED = (Block(0, 0), Block(IPV6_BASE, IPV6_BASE))


class Severity(enum.Enum):
    """Whether a problem keeps addresses from being assigned."""

    ERROR = "error"
    WARNING = "warning"


@attrs.frozen(order=True)
class Problem:
    """What is wrong with a key of the ConfigMap."""

    key: str
    text: str
    severity: Severity = attrs.field(order=False)

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


@attrs.frozen
class Pool:
    """The addresses of one key. With *dhcp*, its IPv4 part is the marker that asks for addresses by DHCP.

    Of a pool with a *source*, another IPAM gives the addresses; *text* is what is written for it. A *broken* pool
    has no addresses, but the reason why.
    """

    key: str
    text: str
    ipv4: Blocks = EMPTY
    ipv6: Blocks = EMPTY
    dhcp: bool = False
    source: str = ""
    broken: str = ""

    def of(self, family: Family) -> Blocks:
        """Return the part of *family*."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def __contains__(self, address: IPAddress) -> bool:
        """Tell whether it may have given *address*."""
        if address.is_unspecified:
            return self.dhcp and address.version == 4
        return position(address) in self.of(Family.of(address))

    @property
    def kind(self) -> str:
        """``cidr``, ``range`` or ``source``."""
        return self.key.partition("-")[0]


@attrs.frozen(kw_only=True)
class Pools:
    """All that the ConfigMap says."""

    pools: Mapping[str, Pool] = attrs.field(factory=dict)
    share: Mapping[str, bool] = attrs.field(factory=dict)
    interface: Mapping[str, str] = attrs.field(factory=dict)
    fallback: Mapping[str, bool] = attrs.field(factory=dict)
    descending: bool = False
    cool_down: float = 0.0
    problems: tuple[Problem, ...] = ()

    def chain(self, namespace: str) -> tuple[Pool, ...]:
        """Return the pools that serve *namespace*: the one that counts and, where that is allowed, its fallbacks.

        A namespace's own pool goes before a global one, CIDRs before ranges. (kube-vip-cloud-provider lets
        ``cidr-global`` hide ``range-NAMESPACE``.)
        """
        keys = dict.fromkeys(f"{kind}{scope}" for scope in (namespace, GLOBAL) for kind in (CIDR, RANGE, SOURCE))
        found = tuple(self.pools[key] for key in keys if key in self.pools)
        return found if self.falls_back(namespace) else found[:1]

    def wanted_keys(self, namespace: str) -> str:
        """Return the keys that would give *namespace* a pool, as text."""
        return ", ".join(f"{kind}{scope}" for scope in (namespace, GLOBAL) for kind in (CIDR, RANGE))

    def shares(self, namespace: str) -> bool:
        """Tell whether requests of *namespace* may share an address."""
        return self.share.get(namespace, self.share.get(GLOBAL, False))

    def falls_back(self, namespace: str) -> bool:
        """Tell whether requests of *namespace* are served from the next pool when one is exhausted."""
        return self.fallback.get(namespace, self.fallback.get(GLOBAL, False))

    def interface_of(self, namespace: str) -> str:
        """Return the interface for the Services of *namespace*; empty where none is written."""
        return self.interface.get(namespace, self.interface.get(GLOBAL, ""))


def read(data: Mapping[str, str]) -> Pools:
    """Read the data of a ConfigMap. Nothing is refused as a whole; see ``Pools.problems``."""
    return _Reader(data).read()


@attrs.define
class _Reader:
    _data: Mapping[str, str]
    _problems: list[Problem] = attrs.field(factory=list)

    def read(self) -> Pools:
        length = sum(len(key) + len(value) for key, value in self._data.items())
        if length > LONGEST:
            self._note(WHOLE_MAP, f"{length} characters are more than Kubernetes stores in a ConfigMap ({LONGEST})")
            return Pools(problems=tuple(self._problems))
        reserved = self._reserved()
        skip_ends, sparing = self._truth(SKIP_ENDS), not self._truth(USE_0_AND_255)
        pools = {}
        for kind in (CIDR, RANGE, SOURCE):
            for key in self._scopes(kind).values():
                pools[key] = self._pool(key, skip_ends, sparing, reserved)
        self._note_unknown()
        return Pools(
            pools=pools,
            share=self._truths(SHARE),
            interface={scope: self._data[key].strip() for scope, key in self._scopes(INTERFACE).items()},
            fallback=self._truths(FALLBACK),
            descending=self._descending(),
            cool_down=self._seconds(COOL_DOWN),
            problems=tuple(sorted(self._problems)),
        )

    def _scopes(self, prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): key for key in self._data if key.startswith(prefix) and key != prefix}

    def _pool(self, key: str, skip_ends: bool, sparing: bool, reserved: tuple[Block, ...]) -> Pool:
        text = self._data[key].strip()
        if not text:
            return self._broken(key, text, "could not discover address: pool is not specified")
        if key.startswith(SOURCE):
            name, _, rest = text.partition(" ")
            if not _SOURCE_NAME.fullmatch(name):
                return self._broken(key, text, f"{shown(name)!r} is no name of a pool source")
            return Pool(key, rest.strip(), source=name)
        try:
            blocks = read_pool(text, skip_ends=skip_ends)
        except ConfigError as error:
            return self._broken(key, text, str(error))
        whole = Blocks(blocks, sparing)
        # An IPv4 part of 0.0.0.0/32 and nothing else is the marker.
        dhcp = whole.of(Family.IPV4).blocks == _UNSPECIFIED[:1] and "/" in text
        free = whole.without((*reserved, *_UNSPECIFIED))
        return Pool(key, text, free.of(Family.IPV4), free.of(Family.IPV6), dhcp)

    def _broken(self, key: str, text: str, problem: str) -> Pool:
        self._note(key, problem)
        return Pool(key, text, broken=problem)

    def _reserved(self) -> tuple[Block, ...]:
        text = self._data.get(RESERVED, "").strip()
        blocks, problems = sift_blocks(text) if text else ((), ())
        if problems:
            self._note(RESERVED, f"{'; '.join(problems)}; what is left of it is kept free")
        return blocks

    def _descending(self) -> bool:
        text = self._data.get(ORDER, "asc").strip()
        if text not in ("asc", "desc"):
            self._warn(ORDER, f"{shown(text)!r} is neither asc nor desc: ascending")
        return text == "desc"

    def _truths(self, prefix: str) -> dict[str, bool]:
        return {scope: self._truth(key) for scope, key in self._scopes(prefix).items()}

    def _truth(self, key: str) -> bool:
        text = self._data.get(key, "false").strip()
        if text not in _TRUE | _FALSE:
            self._warn(key, f"{shown(text)!r} is neither true nor false: false")
        return text in _TRUE

    def _seconds(self, key: str) -> float:
        text = self._data.get(key, "0").strip()
        if not re.fullmatch(r"[0-9]{1,7}", text):
            self._warn(key, f"{shown(text)!r} is not a whole number of seconds: 0")
            return 0.0
        return float(text)

    def _note_unknown(self) -> None:
        suggestions = SUGGESTIONS
        for key in self._data:
            prefix = next((each for each in PREFIXES if key.startswith(each)), None)
            if prefix is None:
                if key not in WHOLE:
                    self._warn(key, f"there is no such key{_nearest(key) if suggestions > 0 else ''}")
                    suggestions -= 1
            elif not _NAMESPACE.fullmatch(key.removeprefix(prefix)):
                scope = key.removeprefix(prefix)
                self._warn(key, f"{scope!r} can't be a namespace: write {prefix}NAMESPACE or {prefix}global")

    def _note(self, key: str, text: str) -> None:
        self._problems.append(Problem(key, text, Severity.ERROR))

    def _warn(self, key: str, text: str) -> None:
        self._problems.append(Problem(key, text, Severity.WARNING))


def _nearest(key: str) -> str:
    """Suggest a key: by its whole, or by its first part with the scope that was written."""
    if len(key) > _LONGEST_KEY:
        return ""
    wanted = key.lower().replace("_", "-")
    likeness, found = max((_likeness(part, known), found) for part, known, found in _candidates(wanted))
    return f"; did you mean {found}?" if likeness >= _ALIKE else ""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _candidates(key: str) -> Iterator[tuple[str, str, str]]:
    """Return which part of *key* is to be like what, and the key that this would be."""
    for whole in (*WHOLE, *(f"{prefix}{GLOBAL}" for prefix in PREFIXES)):
        yield key, whole, whole
    # No prefix has more than two hyphens; one more may be a mistake.
    ends = [at.end() for at in itertools.islice(re.finditer("-", f"{key}-"), 3)]
    for end, prefix in itertools.product(ends, PREFIXES):
        yield f"{key}-"[:end], prefix, f"{prefix}{key[end:] or GLOBAL}"
