"""Has sets of addresses and names come in the same order in every process: a seed has to replay bit for bit."""

import ipaddress
import os
import sys
from unittest import mock

# A variable of Python's own; any number would do.
VARIABLE, VALUE = "PYTHONHASHSEED", "0"


def is_repeatable() -> bool:
    """Tell whether this process was started so that texts have the same hash as in others."""
    return os.environ.get(VARIABLE) == VALUE


def environment() -> dict[str, str]:
    """Return the environment for a process that is to be repeatable."""
    return {**os.environ, VARIABLE: VALUE}


def settle_hashes() -> None:
    """Give IPv6 addresses the same hash in every process; to be called before there are sets of them.

    Until Python 3.12 the hash of ``None`` is its place in memory, and an address without a scope has a ``None``.
    """
    if sys.version_info < (3, 12):
        mock.patch.object(ipaddress.IPv6Address, "__hash__", _hash).start()


def _hash(address: ipaddress.IPv6Address) -> int:
    return hash((int(address), address.scope_id or ""))
