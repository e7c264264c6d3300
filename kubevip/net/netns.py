"""Namespaces: the sockets of this package can be opened in any network namespace, from one process."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Self

import attrs

CLONE_NEWNET = 0x40000000
CLONE_NEWUTS = 0x04000000
# What a namespace holds, as the kernel's files name it, and the flag that makes a new one.
_FLAGS = {"net": CLONE_NEWNET, "uts": CLONE_NEWUTS}

# Makes a block of code run in a namespace; sockets that are opened in it stay there.
Enter = Callable[[], AbstractContextManager[None]]

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, doing: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")


@attrs.define(eq=False)
class Namespace:
    """A namespace, of networks unless said otherwise.

    It exists as long as this object is open, or a process or a mount keeps it.
    """

    _fd: int
    _kind: str = "net"

    @classmethod
    def new(cls, kind: str = "net") -> Self:
        """Make a namespace, of networks (``net``) or of the host's name (``uts``), and stay outside of it.

        :raises OSError: if this process may not (it needs the capability SYS_ADMIN in its user namespace).
        """
        with _stay(kind):
            _checked(_libc.unshare(_FLAGS[kind]), f"making a {kind} namespace")
            return cls.open(f"/proc/thread-self/ns/{kind}", kind)

    @classmethod
    def open(cls, path: str, kind: str = "net") -> Self:
        """Open a namespace by path, such as ``/run/netns/name`` or ``/proc/1/ns/net``."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), kind)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block in the namespace. It must not await: other tasks would run there too."""
        with _stay(self._kind):
            self.enter()
            yield

    def enter(self) -> None:
        """Move the calling thread into the namespace for good."""
        _checked(_libc.setns(self._fd, _FLAGS[self._kind]), f"entering a {self._kind} namespace")

    @property
    def fd(self) -> int:
        """The file descriptor, for whoever takes one."""
        return self._fd

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextlib.contextmanager
def _stay(kind: str) -> Iterator[None]:
    """Return to the namespace of now at the end of the block."""
    fd = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        result = _libc.setns(fd, _FLAGS[kind])
        os.close(fd)
        if sys.exception() is None:
            # Who may not make a namespace may not return to one either: then the first error says why.
            _checked(result, f"returning to the own {kind} namespace")
