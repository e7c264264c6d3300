"""Waiting for what nobody tells: the state of another process, of the kernel, of a server."""

import inspect
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

Found = TypeVar("Found")


async def until(condition: Callable[[], Found | Awaitable[Found]], bound: float = 10.0, what: str = "") -> Found:
    """Wait until *condition* returns something true, and return it; fail after *bound* seconds, showing the last."""
    found: Found | None = None
    with anyio.move_on_after(bound):
        for _ in itertools.count():
            result = condition()
            found = await result if inspect.isawaitable(result) else result
            if found:
                return found
            await anyio.sleep(0.005)
    raise AssertionError(f"{what or 'the condition'} didn't come about within {bound:g} s; at last it was {found!r}")
