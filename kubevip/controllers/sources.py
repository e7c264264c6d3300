"""The pools of other IPAMs: each opened when it is first needed, and told what its Services have already."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self

import anyio
import attrs

from kubevip.errors import KubeVipError
from kubevip.ipam import Pool, Request
from kubevip.model import IPAddress
from kubevip.registry import SourceRegistry
from kubevip.source import PoolSource

log = logging.getLogger(__name__)

# A source that hangs holds up a worker for no longer than this many seconds.
PATIENCE = 10.0
# Of a pool: each key that has addresses of it, with them.
Present = Callable[[Pool], Iterable[tuple[str, tuple[IPAddress, ...]]]]


@attrs.define(eq=False)
class Sources:
    """Asks the sources of pools; to be entered. *present* tells what there is of a pool already."""

    _registry: SourceRegistry
    _settings: Mapping[str, str]
    _present: Present
    _stack: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)
    _open: dict[Pool, PoolSource] = attrs.field(factory=dict, init=False)
    _opening: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close those that were opened."""
        with anyio.move_on_after(PATIENCE, shield=True):
            await self._stack.aclose()

    async def allocate(self, pool: Pool, request: Request) -> Sequence[IPAddress]:
        """Return the addresses that *pool* gives *request*.

        :raises KubeVipError: if it gives none.
        """
        source = await self._of(pool)
        with _patience(pool):
            return tuple(await source.allocate(request))

    async def release(self, pool: Pool, key: str) -> None:
        """Give back what *key* has of *pool*.

        :raises KubeVipError: if that isn't possible now.
        """
        source = await self._of(pool)
        with _patience(pool):
            await source.release(key)

    async def _of(self, pool: Pool) -> PoolSource:
        async with self._opening:
            if pool not in self._open:
                with _patience(pool):
                    source = self._registry[pool.source](pool.key, pool.text, self._settings)
                    opened = await self._stack.enter_async_context(source)
                    for key, addresses in self._present(pool):
                        await opened.adopt(key, addresses)
                self._open[pool] = opened
            return self._open[pool]


@contextmanager
def _patience(pool: Pool) -> Iterator[None]:
    """Bound a call of a source, and make ``KubeVipError`` of whatever it raises."""
    try:
        with anyio.fail_after(PATIENCE):
            yield
    except TimeoutError as error:
        raise KubeVipError(f"{pool.source} has not answered within {PATIENCE:g} s") from error
    except KubeVipError:
        raise
    except Exception as error:
        log.exception("a pool source has failed", extra={"key": pool.key})
        raise KubeVipError(f"{pool.source} has failed: {error!r}") from error
