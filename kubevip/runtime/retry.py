"""Tries what failed again, later and later."""

import asyncio
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

import anyio
import attrs

Key = TypeVar("Key", bound=Hashable)

FIRST = 0.5
LONGEST = 30.0


@attrs.define
class _Failure:
    text: str
    pause: float
    due: float


@attrs.define(eq=False)
class Retry(Generic[Key]):
    """What has failed, by key. *again* is called with the keys whose time has come."""

    _again: Callable[[Iterable[Key]], None]
    _failures: dict[Key, _Failure] = attrs.field(factory=dict, init=False)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def after(self, key: Key, error: Exception) -> bool:
        """Try *key* again after a pause that doubles each time; tell whether the error is another one than before."""
        known = self._failures.get(key)
        pause = min(2 * known.pause, LONGEST) if known else FIRST
        self._failures[key] = _Failure(str(error), pause, asyncio.get_running_loop().time() + pause)
        self._wake.set()
        return known is None or known.text != str(error)

    def among(self, keys: AbstractSet[Key]) -> AbstractSet[Key]:
        """Return those of *keys* that have failed."""
        return self._failures.keys() & keys

    def hurry(self) -> None:
        """Try all that waits for its pause to end at once."""
        now = asyncio.get_running_loop().time()
        for failure in self._failures.values():
            failure.due = min(failure.due, now) if failure.due != math.inf else math.inf
        self._wake.set()

    def forget(self, key: Key) -> None:
        """*key* has succeeded, or doesn't matter any more."""
        self._failures.pop(key, None)

    def forget_all(self, keys: Iterable[Key]) -> None:
        """*keys* have succeeded, all of them."""
        if self._failures:
            for key in keys:
                self._failures.pop(key, None)

    def failing(self) -> Mapping[Key, str]:
        """Return what fails now, and why."""
        return {key: failure.text for key, failure in self._failures.items()}

    async def run(self) -> None:
        """Have things tried again when their time has come, until cancelled."""
        while True:
            now = asyncio.get_running_loop().time()
            due = [key for key, failure in self._failures.items() if failure.due <= now]
            for key in due:
                self._failures[key].due = math.inf
            if due:
                self._again(due)
            until = min((failure.due for failure in self._failures.values()), default=math.inf)
            with anyio.move_on_after(until - now):
                await self._wake.wait()
            self._wake.clear()
