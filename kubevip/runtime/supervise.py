"""Keeps tasks going that nothing else depends on: one that fails is started again, later and later."""

import logging
from collections.abc import Awaitable, Callable

import anyio

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


async def supervised(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run *run* until it returns or is cancelled, again after each exception."""
    pause = FIRST_PAUSE
    while True:
        try:
            await run()
        except Exception as error:
            log.exception("%s has failed; starting it again in %g s", name, pause, extra={"reason": str(error)})
        else:
            return
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
