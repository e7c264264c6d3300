"""What the settings say about the routes."""

from collections.abc import Mapping

import attrs

from kubevip.plugin import ConfigError

# What the kernel means where no table is named: its main one.
_MAIN = 254
_UNICAST = 1
# Types that say "this address is here": the kernel takes others, but no routing daemon would import them as that.
_KINDS = {1: "unicast", 2: "local", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_NOWHERE = frozenset({6, 7, 8})
# The protocols that the kernel, the boot and administrators have for themselves (linux/rtnetlink.h).
_RESERVED = 4
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@attrs.frozen(kw_only=True)
class Configuration:
    """Where routes go, and what they look like; *clean*: leftovers of the protocol are removed from the table."""

    table: int = 198
    kind: int = _UNICAST
    protocol: int = 248
    clean: bool = False

    @property
    def leads_nowhere(self) -> bool:
        """Tell whether routes of this type have no interface."""
        return self.kind in _NOWHERE


def read_configuration(texts: Mapping[str, str]) -> Configuration:
    """Read the settings out of an environment. 0 counts as kube-vip counts it: table 254, type 1, protocol 1.

    :raises ConfigError: with every problem.
    """
    problems: list[str] = []

    def number(name: str, default: int, high: int) -> int:
        text = texts.get(name, "").strip()
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or int(text) > high:
            problems.append(f"{name}={text!r}: write a number from 0 to {high}")
            return default
        return int(text)

    found = Configuration(
        table=number("vip_routingtableid", 198, 2**32 - 1) or _MAIN,
        kind=number("vip_routingtabletype", _UNICAST, 255) or _UNICAST,
        protocol=number("vip_routingprotocol", 248, 255) or 1,
        clean=texts.get("vip_cleanroutingtable", "").strip() in _TRUE,
    )
    if found.kind not in _KINDS:
        known = ", ".join(f"{kind} ({name})" for kind, name in _KINDS.items())
        problems.append(f"vip_routingtabletype='{found.kind}': write one of {known}")
    if found.clean and found.protocol <= _RESERVED:
        problems.append(
            f"vip_cleanroutingtable, vip_routingprotocol='{found.protocol}': the kernel and administrators have routes "
            "of that protocol, which would be removed; write a protocol from 5 to 255 that nobody else uses"
        )
    if problems:
        raise ConfigError(problems)
    return found
