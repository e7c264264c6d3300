"""The settings of what is verified, and watched, on a layer-2 segment."""

import attrs

from kubevip.config import parse as form
from kubevip.config import parse_network as net
from kubevip.config.setting import setting
from kubevip.model import IPAddress


@attrs.frozen(kw_only=True)
class Segment:
    """Whether the network has noticed a takeover, and what follows from a machine that claims a held address."""

    verify: str = setting(
        env="vip_verify",
        flags=("--verify",),
        form=form.choice("off", "warn", "resign"),
        default="warn",
        since="kubevip",
        help="after a takeover ask a gateway or neighbour from the address, until it answers; warn: say so when none "
        "does; resign: let another node try",
    )
    verify_timeout: float = setting(
        env="vip_verify_timeout",
        flags=("--verifyTimeout",),
        form=form.seconds(1, 3600),
        default=10.0,
        needs=("vip_verify",),
        since="kubevip",
        help="seconds within which somebody has to answer (vip_verify)",
    )
    witnesses: tuple[IPAddress, ...] = setting(
        env="vip_witnesses",
        flags=("--witnesses",),
        form=net.IP_ADDRESSES,
        default=(),
        needs=("vip_verify", "vip_failover"),
        default_text="the interface's gateways, else reachable neighbours",
        since="kubevip",
        help="addresses on the segment that always answer, separated by commas (vip_verify; with vip_failover=fast a "
        "candidate that hears no other one asks them, too)",
    )
    conflict: str = setting(
        env="vip_conflict",
        flags=("--conflict",),
        form=form.choice("alarm", "defend", "yield"),
        default="alarm",
        since="kubevip",
        help="what follows when another machine claims a held address; alarm: it is told; defend: it is announced "
        "against it too; yield: the address is left to it",
    )
