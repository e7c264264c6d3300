"""Frames that wait in the kernel until somebody looks, on a real wire."""

import asyncio
import time

import anyio
import pytest

from kubevip.errors import LinkNotFound
from kubevip.net import letterbox
from tests.kernel import run_on
from tests.net.test_frames import EXPERIMENT, FRAME, HEADER, OTHER
from tests.waiting import until

pytestmark = pytest.mark.kernel


def now():
    return asyncio.get_running_loop().time()


async def looked(look, heard):
    await until(lambda: look() or heard)


async def test_frames_wait_until_somebody_looks_and_tell_when_they_came(node, mouth):
    heard = []
    with node.wire.gather("eth0", EXPERIMENT, lambda *found: heard.append(found)) as look:
        before = now()
        mouth(HEADER + OTHER.to_bytes(2, "big") + bytes(46))
        mouth(FRAME)
        after = now()
        await anyio.sleep(0.1)
        assert not heard
        await looked(look, heard)
    [(frame, at)] = heard
    assert frame == FRAME
    assert before - 0.001 <= at <= after + 0.02


async def test_only_what_the_program_accepts_is_kept(node, mouth):
    program = ((0x30, 0, 0, 14), (0x15, 0, 1, ord("h")), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0))
    heard = []
    with node.wire.gather("eth0", EXPERIMENT, lambda frame, _at: heard.append(frame), bpf=program) as look:
        mouth(FRAME.replace(b"hello", b"Hello"))
        mouth(FRAME)
        await looked(look, heard)
    assert heard == [FRAME]


async def test_what_came_before_is_not_kept(node, mouth):
    heard = []
    with node.wire.gather("eth0", EXPERIMENT, lambda frame, _at: heard.append(frame)):
        mouth(FRAME)
    mouth(FRAME)
    with node.wire.gather("eth0", EXPERIMENT, lambda frame, _at: heard.append(frame)) as look:
        mouth(FRAME.replace(b"hello", b"later"))
        await looked(look, heard)
    assert heard == [FRAME.replace(b"hello", b"later")]


async def test_sockets_are_used_again(node):
    for _ in range(3):
        with node.wire.gather("eth0", EXPERIMENT, print), node.wire.gather("eth0", EXPERIMENT, print):
            pass
    assert [len(boxes) for boxes in node.wire._boxes.values()] == [2]


async def test_a_burst_is_taken_in_turns(node, mouth):
    heard = []
    with node.wire.gather("eth0", EXPERIMENT, lambda frame, _at: heard.append(frame)) as look:
        for _ in range(500):
            mouth(FRAME)
        look()
        assert len(heard) == 64
        await until(lambda: len(heard) == 500)


async def test_a_clock_that_is_set_moves_no_arrival_out_of_its_interval(node, mouth, monkeypatch):
    for step in (-3600.0, 3600.0):
        heard = []
        with node.wire.gather("eth0", EXPERIMENT, lambda *found, heard=heard: heard.append(found)) as look:
            opened = now()
            mouth(FRAME)
            with monkeypatch.context() as patched:
                patched.setattr(letterbox.time, "time", lambda step=step, time=time.time: time() + step)
                await looked(look, heard)
        assert opened - 0.01 <= heard[0][1] <= now()


async def test_nothing_waits_on_a_link_that_is_down_and_later_something_does(node, mouth):
    heard = []
    with node.wire.gather("eth0", EXPERIMENT, lambda frame, _at: heard.append(frame)) as look:
        await run_on(node.machine, "ip", "link", "set", "eth0", "down")
        look()
        await run_on(node.machine, "ip", "link", "set", "eth0", "up")
        await until(lambda: node.monitor.get("eth0").up)
        await until(lambda: mouth(FRAME) and (look() or heard))
    assert heard


async def test_missing_link_keeps_nothing(node):
    with pytest.raises(LinkNotFound), node.wire.gather("gone0", EXPERIMENT, print):
        pytest.fail("something was kept")
