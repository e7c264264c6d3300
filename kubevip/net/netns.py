"""Network namespaces: the sockets of this package can be opened in any of them, from one process."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Self

import attrs

CLONE_NEWNET = 0x40000000

# Makes a block of code run in a namespace; sockets that are opened in it stay there.
Enter = Callable[[], AbstractContextManager[None]]

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, doing: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")


@attrs.define(eq=False)
class Namespace:
    """A network namespace that exists as long as this object is open, or a process or a mount keeps it."""

    _fd: int

    @classmethod
    def new(cls) -> Self:
        """Make a namespace and stay outside of it.

        :raises OSError: if this process may not (it needs the capability SYS_ADMIN in its user namespace).
        """
        with _stay():
            _checked(_libc.unshare(CLONE_NEWNET), "making a network namespace")
            return cls._current()

    @classmethod
    def open(cls, path: str) -> Self:
        """Open a namespace by path, such as ``/run/netns/name`` or ``/proc/1/ns/net``."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def _current(cls) -> Self:
        return cls.open("/proc/thread-self/ns/net")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block in the namespace. It must not await: other tasks would run there too."""
        with _stay():
            self.enter()
            yield

    def enter(self) -> None:
        """Move the calling thread into the namespace for good."""
        _checked(_libc.setns(self._fd, CLONE_NEWNET), "entering a network namespace")

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
def _stay() -> Iterator[None]:
    """Return to the namespace of now at the end of the block."""
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        result = _libc.setns(fd, CLONE_NEWNET)
        os.close(fd)
        _checked(result, "returning to the own network namespace")
