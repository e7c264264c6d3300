"""Finds out whether a coroutine keeps the event loop waiting, be it by a call that blocks or by working for too long.

Only the coroutine's own steps are watched, not tasks and threads that it starts.
"""

import contextlib
import socket
import threading
import time
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")

# A step that takes longer than this many seconds keeps everything else from what it has to do.
STANDSTILL = 0.5


class Blocked(Exception):
    """The event loop was kept waiting; the message says by what."""


async def unblocked(call: Awaitable[Result]) -> Result:
    """Return what *call* returns. A blocking ``time.sleep()`` or ``connect()`` in it is not carried out.

    :raises Blocked: if it keeps the event loop waiting.
    """
    result: Result = await _stepwise(call)
    return result


@types.coroutine
def _stepwise(call: Awaitable[Any]) -> Generator[Any, None, Any]:
    steps = call.__await__()
    advance: Callable[[], Any] = partial(next, steps)
    while True:
        with _step() as end:
            awaited = advance()
        if end:
            return end[0]
        try:
            yield awaited
        except BaseException as error:
            advance = partial(_throw, steps, error)
        else:
            advance = partial(next, steps)


def _throw(steps: Generator[Any, Any, Any], error: BaseException) -> Any:
    return steps.throw(error)


@contextlib.contextmanager
def _step() -> Iterator[list[Any]]:
    """Watch one step; put into the list what the coroutine returns if it ends with that."""
    end: list[Any] = []
    found: list[str] = []
    began = time.perf_counter()
    try:
        with _refused("time.sleep", time, "sleep", found), _refused("connect", socket.socket, "connect", found):
            yield end
    except StopIteration as stop:
        end.append(stop.value)
    except BaseException as error:
        if found:
            raise Blocked(found[0]) from error
        raise
    took = time.perf_counter() - began
    if found:
        raise Blocked(found[0])
    if took > STANDSTILL:
        raise Blocked(f"it stood still for {took:.1f} s")


@contextlib.contextmanager
def _refused(name: str, owner: Any, attribute: str, found: list[str]) -> Iterator[None]:
    """Refuse a function to this thread, unless it is that of a socket that doesn't block."""
    original, thread = getattr(owner, attribute), threading.get_ident()

    def call(*arguments: Any, **others: Any) -> Any:
        waits = not arguments or not isinstance(arguments[0], socket.socket) or arguments[0].gettimeout() != 0
        if waits and threading.get_ident() == thread:
            found.append(f"{name}() blocks it")
            raise BlockingIOError(found[0])
        return original(*arguments, **others)

    with mock.patch.object(owner, attribute, call):
        yield
