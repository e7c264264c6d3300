"""The two capabilities that holding and announcing addresses needs (capabilities(7))."""

import ctypes
import errno
import struct

from kubevip.errors import NetworkError

NET_ADMIN, NET_RAW = 12, 13
_NAMES = {NET_ADMIN: "NET_ADMIN", NET_RAW: "NET_RAW"}
# _LINUX_CAPABILITY_VERSION_3: two words of each set.
_VERSION = 0x20080522
_HEADER, _DATA = struct.Struct("=Ii"), struct.Struct("=6I")

_libc = ctypes.CDLL(None, use_errno=True)


def take_up() -> None:
    """Make effective what this thread is permitted, and tell what is missing. Call it before threads are started.

    A process of root has all that its container grants in effect. One of another user gets what the file
    capabilities of its interpreter permit, and has to ask for it.

    :raises NetworkError: if a capability is not permitted, naming it.
    """
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION, 0), _HEADER.size)
    data = ctypes.create_string_buffer(_DATA.size)
    _libc.capget(header, data)
    effective, permitted, inheritable, *high = _DATA.unpack(data.raw)
    wanted = 1 << NET_ADMIN | 1 << NET_RAW
    missing = [name for number, name in _NAMES.items() if not permitted >> number & 1]
    if missing:
        raise NetworkError(
            f"this process lacks the capability {' and '.join(missing)}; run it as root with"
            " securityContext.capabilities.add: [NET_ADMIN, NET_RAW]",
            errno.EPERM,
        )
    if effective & wanted != wanted:
        data.raw = _DATA.pack(effective | wanted, permitted, inheritable, *high)
        if _libc.capset(header, data) != 0:
            raise NetworkError("taking up the capabilities NET_ADMIN and NET_RAW was refused", ctypes.get_errno())
