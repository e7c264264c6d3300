"""The node's annotations are waited for, followed, and told of where they can't be used."""

from typing import Any, cast

import anyio
import attrs

from kubevip.controllers.annotated import AGAIN, Annotated
from kubevip.controllers.peers import NodeTeller
from kubevip.errors import NetworkError
from kubevip.kube.nodes import AnnotatedNode
from kubevip.kube.resources import Meta
from kubevip.ports import Api
from kubevip.testing import virtual

GOOD = {"node-asn": "65000", "src-ip": "10.0.0.1", "peer-asn": "65001", "peer-ip": "10.0.0.9"}
SECOND = {"bgp-peers-1-peer-ip": "10.0.0.8"}


@attrs.define(eq=False)
class Notes:
    """What was told in Events of the Node."""

    told: list[tuple[str, str]] = attrs.field(factory=list)

    def normal(self, *_about: Any, kind: str) -> None:
        raise AssertionError(kind)

    def warning(self, _key: Any, _uid: str, reason: str, message: str, *, kind: str) -> None:
        assert kind == "Node"
        self.told.append((reason, message))

    def reasons(self) -> list[str]:
        return [reason for reason, _message in self.told]


@attrs.define(eq=False)
class Stage:
    """The annotations of one node, and what becomes of them."""

    environ: dict[str, str] = attrs.field(factory=dict)
    notes: Notes = attrs.field(factory=Notes)
    applied: list[str] = attrs.field(factory=list)
    refusals: int = 0
    annotated: Annotated = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        teller = NodeTeller("node1", self.notes)
        self.annotated = Annotated(cast("Api", None), "node1", "example.com", teller, self.environ)

    def write(self, **fields: str) -> None:
        annotations = {f"example.com/{name}": text for name, text in fields.items()}
        self.annotated.applied(AnnotatedNode(metadata=Meta(name="node1", annotations=annotations)))

    async def apply(self, settings: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NetworkError("no port")
        self.applied.append(settings["bgp_peers"])

    async def follow(self, tasks: Any) -> None:
        await self.annotated.wait(anyio.Event())
        tasks.start_soon(self.annotated._follow, self.apply)


async def test_bad_value_is_waited_for_and_told_until_it_is_corrected() -> None:
    stage, found = Stage(), []

    async def wait() -> None:
        found.append(await stage.annotated.wait(anyio.Event()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        stage.write(**GOOD | {"node-asn": "AS1"})
        await anyio.wait_all_tasks_blocked()
        assert "example.com/node-asn is 'AS1'; write an AS number" in stage.annotated.statistics().waiting
        assert stage.annotated.statistics().bad == ("example.com/node-asn",)
        assert stage.notes.reasons() == ["AnnotationInvalid", "AnnotationsIncomplete"]
        assert not found
        stage.write(**GOOD)
    assert found[0]["bgp_as"] == "65000"
    assert stage.annotated.statistics().waiting == ""
    assert stage.annotated.statistics().bad == ()


async def test_misspelt_name_is_told_while_what_it_was_meant_for_is_missing() -> None:
    stage = Stage()
    stage.write(**{name: text for name, text in GOOD.items() if name != "peer-ip"}, **{"peer-1p": "10.0.0.9"})
    assert sorted(stage.notes.reasons()) == ["AnnotationUnknown", "AnnotationsIncomplete"]
    assert stage.annotated.statistics().unknown == ("example.com/peer-1p",)


async def test_each_complaint_is_told_once() -> None:
    stage = Stage()
    for label in ("a", "b"):
        stage.write(**GOOD, **SECOND, **{"bgp-peers-1-peer-asn": "x", "peer": label})
    assert sorted(stage.notes.reasons()) == ["AnnotationInvalid", "AnnotationUnknown"]


@virtual
async def test_peer_that_is_corrected_is_spoken_with() -> None:
    stage = Stage()
    stage.write(**GOOD, **{"bgp-peers-1-peer-ip": "router"})
    async with anyio.create_task_group() as tasks:
        await stage.follow(tasks)
        await anyio.sleep(1)
        assert stage.applied == []
        stage.write(**GOOD, **SECOND)
        await anyio.sleep(1)
        assert stage.applied == ["10.0.0.9:65001::,10.0.0.8:65001::"]
        tasks.cancel_scope.cancel()


@virtual
async def test_what_becomes_bad_or_is_gone_changes_nothing() -> None:
    stage = Stage()
    stage.write(**GOOD, **SECOND)
    async with anyio.create_task_group() as tasks:
        await stage.follow(tasks)
        stage.write(**GOOD, **{"bgp-peers-1-peer-ip": "router"})
        await anyio.sleep(1)
        stage.write()
        await anyio.sleep(1)
        stage.annotated.listed((), "9")
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    assert stage.applied == []
    assert "example.com/peer-ip is missing" in str(stage.notes.told)
    assert stage.annotated.statistics().waiting == ""


@virtual
async def test_peers_of_the_settings_stay_beside_those_of_annotations() -> None:
    stage = Stage({"bgp_peers": "10.0.0.7:65001", "other": "x"})
    stage.write(**GOOD)
    found = await stage.annotated.wait(anyio.Event())
    assert found is not None
    assert (found["bgp_peers"], found["other"]) == ("10.0.0.7:65001,10.0.0.9:65001::", "x")


@virtual
async def test_change_that_can_not_be_made_now_is_made_later() -> None:
    stage = Stage(refusals=2)
    stage.write(**GOOD)
    async with anyio.create_task_group() as tasks:
        await stage.follow(tasks)
        stage.write(**GOOD, **SECOND)
        await anyio.sleep(2 * AGAIN + 1)
        assert stage.applied == ["10.0.0.9:65001::,10.0.0.8:65001::"]
        tasks.cancel_scope.cancel()


async def test_wait_ends_when_the_agent_is_stopped() -> None:
    stopping = anyio.Event()
    stopping.set()
    assert await Stage().annotated.wait(stopping) is None
