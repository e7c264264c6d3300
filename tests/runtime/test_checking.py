"""Checks in real time, with real programs and a real server: what they say, and that nothing is left of them."""

import asyncio
import contextlib
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import trustme
from aiohttp import web
from blockbuster import BlockBuster

from kubevip.eligibility import Streak
from kubevip.listening import listening
from kubevip.runtime import checking
from kubevip.runtime.checking import Check, Command, Web
from tests.waiting import until


@pytest.fixture(autouse=True)
def tests_may_block(nothing_blocks_the_loop: BlockBuster) -> None:
    """They look at files and processes; asyncio itself stands still for about a millisecond to start a program."""
    nothing_blocks_the_loop.deactivate()


def python(code: str) -> Command:
    return Command((sys.executable, "-c", code))


async def once(probe: object, timeout: float = 10.0) -> str:
    """Let a check ask once; return why it failed."""
    return await Check("x", probe, 1, timeout, Streak(1, 1))._ask()


async def test_a_program_that_exits_with_0_is_healthy() -> None:
    assert await once(Command(("true",))) == ""


async def test_another_exit_code_is_told_with_the_first_line_of_stderr() -> None:
    code = "import sys; print('out'); sys.stderr.write('\\n  first\\nsecond'); sys.exit(3)"
    assert await once(python(code)) == "exit 3: first"


async def test_without_a_word_only_the_exit_code_is_told() -> None:
    assert await once(Command(("false",))) == "exit 1"


async def test_a_program_that_dies_is_told_by_its_signal() -> None:
    assert await once(python("import os; os.kill(os.getpid(), 15)")) == "killed by SIGTERM"


async def test_what_it_writes_is_not_what_a_terminal_would_obey() -> None:
    assert await once(python("import sys; sys.exit('\\x1b[31mred\\x07')")) == "exit 1: [31mred"


async def test_a_long_line_is_cut() -> None:
    said = await once(python("import sys; sys.exit('x' * 100_000)"))
    assert said == f"exit 1: {'x' * checking.SHOWN}…"


async def test_a_program_that_is_not_there_fails_and_is_named() -> None:
    assert await once(Command(("/no/such/check",))) == "/no/such/check can't be started: No such file or directory"


async def test_a_file_that_is_no_program_fails(tmp_path: Path) -> None:
    (tmp_path / "check").write_text("exit 0")
    assert "Permission denied" in await once(Command((str(tmp_path / "check"),)))


async def test_no_shell_sees_its_words() -> None:
    assert await once(Command(("test", "$HOME", "=", "$HOME"))) == ""


async def test_10_mb_of_output_are_dropped_and_do_not_hold_it_up() -> None:
    code = "import sys; sys.stdout.write('x' * 10_000_000); sys.stderr.write('y\\n' * 5_000_000); sys.exit(1)"
    assert await once(python(code)) == "exit 1: y"


async def test_a_program_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    mine = tmp_path / "children"
    code = (
        "import os, subprocess, time; child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(mine)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(60)"
    )
    began = time.monotonic()
    assert await once(python(code), timeout=1) == "no result within 1 s"
    assert time.monotonic() - began < 3
    for pid in mine.read_text().split():
        await until(lambda pid=pid: gone(int(pid)), 2, f"the end of {pid}")


def gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def test_a_program_that_ignores_sigterm_is_killed_too() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    assert await once(python(code), timeout=0.5) == "no result within 0.5 s"


async def test_what_it_leaves_behind_neither_holds_it_up_nor_stays(tmp_path: Path) -> None:
    left = tmp_path / "left"
    code = f"import subprocess; open({str(left)!r}, 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"
    began = time.monotonic()
    assert await once(python(code)) == ""
    assert time.monotonic() - began < 5
    await until(lambda: gone(int(left.read_text())), 2, "its end")


async def test_a_check_that_is_cancelled_kills_its_program(tmp_path: Path) -> None:
    mine = tmp_path / "pid"
    code = f"import os, time; open({str(mine)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Check("x", python(code), 1, 60, Streak(1, 1)).run)
        await until(lambda: mine.exists() and mine.read_text(), 10)
        tasks.cancel_scope.cancel()
    await until(lambda: gone(int(mine.read_text())), 2, "its end")


# A server


@contextlib.asynccontextmanager
async def serving(answer: object, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve *answer* to every request; give the URL."""
    application = web.Application()
    application.add_routes([web.get("/{path:.*}", answer)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    async with listening(runner, "127.0.0.1", tls=context) as (_, port):
        yield f"{'https' if context else 'http'}://localhost:{port}/readyz"


def status(number: int, text: str = "", **headers: str) -> object:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=number, text=text, headers=headers)

    return answer


@pytest.mark.parametrize("number", [200, 204, 301, 302, 399])
async def test_a_status_below_400_is_healthy(number: int) -> None:
    async with serving(status(number, Location="http://127.0.0.1:1/")) as url:
        assert await once(Web(url)) == ""


@pytest.mark.parametrize("number", [400, 403, 404, 500, 503])
async def test_one_from_400_on_is_told_with_the_first_line_of_the_answer(number: int) -> None:
    async with serving(status(number, "[+]ping ok\n[-]etcd failed")) as url:
        assert await once(Web(url)) == f"HTTP {number}: [+]ping ok"


async def test_a_server_whose_certificate_nobody_signed_is_asked_too() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("kubernetes.default.svc").configure_cert(context)
    async with serving(status(200), context) as url:
        assert await once(Web(url)) == ""


async def test_a_certificate_is_verified_with_the_authorities_of_a_file(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    for name, each in (("ours", authority), ("others", other)):
        each.cert_pem.write_to_path(tmp_path / name)
    async with serving(status(200), context) as url:
        assert await once(Web(url, verifies=True, authorities=tmp_path / "ours")) == ""
        assert "certificate verify failed" in await once(Web(url, verifies=True, authorities=tmp_path / "others"))
        assert "certificate verify failed" in await once(Web(url, verifies=True))


@pytest.mark.parametrize("text", [None, "no certificate"])
async def test_a_file_of_authorities_that_can_not_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ca.crt").write_text(text)
    said = await once(Web("https://127.0.0.1:1/", verifies=True, authorities=tmp_path / "ca.crt"))
    assert said.startswith(f"{tmp_path / 'ca.crt'} can't be used: ")


async def test_only_the_statuses_that_are_said_to_be_healthy_are() -> None:
    async with serving(status(204)) as url:
        assert await once(Web(url, healthy=(200,))) == "HTTP 204"


async def test_a_port_where_nobody_listens_fails() -> None:
    assert "onnect" in await once(Web("http://127.0.0.1:1/"))


async def test_a_server_that_hangs_fails_in_time() -> None:
    enough = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await enough.wait()
        return web.Response()

    async with serving(hang) as url:
        assert await once(Web(url), timeout=0.3) == "no result within 0.3 s"
        enough.set()


async def test_an_answer_without_an_end_does_not_hold_it_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 10_000)
        return response

    async with serving(endless) as url:
        assert (await once(Web(url), timeout=5)).startswith("HTTP 503: xxx")


async def test_something_else_than_http_fails() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "SSH" in await once(Web(f"http://127.0.0.1:{port}/"))


# In the course of time


async def test_it_falls_and_rises_and_tells_each_failure_while_it_is_down() -> None:
    results = iter(["", "a", "", "b", "c", "d", "", ""])
    told: list[str | None] = []

    async def probe() -> str:
        try:
            return next(results)
        except StopIteration:
            await asyncio.sleep(60)
            raise

    check = Check("x", probe, 0.01, 100, Streak(rise=2, fall=2))
    assert check.complaint == "check x has no result yet"
    check.changed = lambda: told.append(check.complaint)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check.run)
        await until(lambda: len(told) == 5)
        tasks.cancel_scope.cancel()
    assert told == [None, "check x failed 2 times: c", "check x failed 3 times: d", "check x failed before", None]
    found = check.statistics()
    assert (found.healthy, found.runs, found.failures) == (True, 8, 4)


async def test_a_check_that_breaks_has_failed_and_goes_on() -> None:
    async def probe() -> str:
        raise ValueError("broken")

    check = Check("x", probe, 0.01, 1, Streak(1, 1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check.run)
        await until(lambda: check.statistics().runs > 2)
        tasks.cancel_scope.cancel()
    assert check.statistics().last == "ValueError: broken"
