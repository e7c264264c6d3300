"""Keeps tasks going: beyond their failures, and beyond the cancellation of whoever started them."""

import logging
from collections.abc import Awaitable, Callable

import anyio

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


async def shielded(scope: anyio.CancelScope, run: Callable[[], Awaitable[None]]) -> None:
    """Run *run* until it returns or *scope*, which has to shield, is cancelled: whoever began it ends it in order."""
    with scope:
        await run()


async def supervised(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run *run* until it returns or is cancelled, again after each exception.

    The pauses grow while it fails soon, and begin anew once it has run for longer than the longest of them.
    """
    pause = FIRST_PAUSE
    while True:
        began = anyio.current_time()
        try:
            await run()
        except Exception as error:
            if anyio.current_time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            log.exception("%s has failed; starting it again in %g s", name, pause, extra={"reason": str(error)})
        else:
            return
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
