"""What users do to their Services, on a simulated API server: each method is a step of a history."""

from collections.abc import Callable

import attrs

from kubevip.ipam import FamilyPolicy
from kubevip.model import ServiceKey
from kubevip.provision.verdict import CLAIM, LABEL, RECORD, Facts
from kubevip.service import ADDRESSES, INTERFACE
from tests.provider.referee import Referee
from tests.provider.server import Server
from tests.provider.services import DNS, HTTP, HTTPS, V4, V6, merged, served

KEYS = tuple(ServiceKey.parse(text) for text in ("default/a", "default/b", "other/c", "other/d"))
OTHERS_FINALIZER = "example.com/wait"
OTHERS_CLASS = "example.com/load-balancer"
# What users write as addresses, and what else a Service may be: chosen by number.
TEXTS = (None, "10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.2,fd00::1", "10.9.9.9", " ", "rubbish,10.0.0.1")
PORTS = tuple(map(frozenset, ([HTTP], [HTTPS], [DNS], [(53, "TCP")], [HTTP, HTTPS], [])))
STACKS = (
    (FamilyPolicy.SINGLE, ()),
    (FamilyPolicy.SINGLE, (V4,)),
    (FamilyPolicy.SINGLE, (V6,)),
    (FamilyPolicy.PREFER_DUAL, (V4,)),
    (FamilyPolicy.PREFER_DUAL, (V4, V6)),
    (FamilyPolicy.PREFER_DUAL, (V6, V4)),
    (FamilyPolicy.REQUIRE_DUAL, (V4, V6)),
)
OURS, OTHER_TYPE, SOMEBODY_ELSES = range(3)
MARKS = (RECORD, LABEL, CLAIM, INTERFACE)


@attrs.define(eq=False)
class Users:
    """They see the newest version of what they edit; the first argument of each method says which Service."""

    server: Server
    referee: Referee

    def create(self, key: int, stack: int = 0, ports: int = 0, text: int = 0, spec: int = 0, kind: int = OURS) -> None:
        policy, families = STACKS[stack]
        self.referee.edited.add(KEYS[key])
        self.server.create(
            Facts(
                key=KEYS[key],
                type="ClusterIP" if kind == OTHER_TYPE else "LoadBalancer",
                load_balancer_class=OTHERS_CLASS if kind == SOMEBODY_ELSES else None,
                policy=policy,
                families=families,
                ports=PORTS[ports],
                annotations=merged({}, {ADDRESSES: TEXTS[text]}),
                load_balancer_ip=TEXTS[spec] or "",
                selector=(("app", "x"),),
            )
        )

    def _edit(self, key: int, **changes: object) -> None:
        """Edit something on which no address depends."""
        present = self.server.objects.get(KEYS[key])
        if present is not None:
            self.referee.note(self.server.update(attrs.evolve(present, **changes), present.version))

    def _ask(self, key: int, change: Callable[[Facts], dict[str, object]]) -> None:
        """Edit something on which the address depends."""
        present = self.server.objects.get(KEYS[key])
        if present is not None:
            self.referee.edited.add(KEYS[key])
            self._edit(key, **change(present))

    def annotate(self, key: int, text: int) -> None:
        self._ask(key, lambda facts: {"annotations": merged(facts.annotations, {ADDRESSES: TEXTS[text]})})

    def specify(self, key: int, text: int) -> None:
        self._ask(key, lambda _: {"load_balancer_ip": TEXTS[text] or ""})

    def both(self, key: int, text: int) -> None:
        changes = {ADDRESSES: TEXTS[text]}
        self._ask(
            key,
            lambda facts: {
                "annotations": merged(facts.annotations, changes),
                "load_balancer_ip": TEXTS[text] or "",
            },
        )

    def restack(self, key: int, stack: int) -> None:
        policy, families = STACKS[stack]
        self._ask(key, lambda _: {"policy": policy, "families": families})

    def retype(self, key: int, kind: int) -> None:
        other_type, other_class = kind == OTHER_TYPE, kind == SOMEBODY_ELSES
        self._ask(
            key,
            lambda _: {
                "type": "ClusterIP" if other_type else "LoadBalancer",
                "load_balancer_class": OTHERS_CLASS if other_class else None,
            },
        )

    def reclass(self, key: int) -> None:
        """The API server allows that only by way of another type."""
        self.retype(key, OTHER_TYPE)
        self.retype(key, SOMEBODY_ELSES)

    def strip(self, key: int, mark: int) -> None:
        """Take away something that providers write."""
        gone: dict[str, str | None] = {MARKS[mark]: None}
        self._ask(
            key,
            lambda facts: {"annotations": merged(facts.annotations, gone), "labels": merged(facts.labels, gone)},
        )

    def clean(self, key: int) -> None:
        """Take away all that isn't in the user's own manifest."""
        self._ask(key, lambda _: {"annotations": {}, "labels": {}})

    def report(self, key: int, ports: int) -> None:
        self._edit(key, ports=PORTS[ports])

    def localise(self, key: int) -> None:
        present = self.server.objects.get(KEYS[key])
        self._edit(key, local=present is not None and not present.local)

    def touch(self, key: int, number: int = 0) -> None:
        present = self.server.objects.get(KEYS[key])
        if present is not None:
            self._edit(key, labels={**present.labels, "tier": str(number)})

    def wait_for(self, key: int) -> None:
        """Somebody else's finalizer comes or goes."""
        present = self.server.objects.get(KEYS[key])
        if present is not None:
            rest = tuple(name for name in present.finalizers if name != OTHERS_FINALIZER)
            self._edit(key, finalizers=rest if rest != present.finalizers else (*rest, OTHERS_FINALIZER))

    def publish(self, key: int) -> None:
        """An announcer says in the status what it announces."""
        self._edit(key, ingress=tuple(sorted(map(str, served(self.server.objects.get(KEYS[key]))))))

    def delete(self, key: int) -> None:
        self.server.delete(KEYS[key])
