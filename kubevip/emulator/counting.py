"""What was asked of the server: ``/metrics``, with the names that kube-apiserver has for it.

Whoever measures what a client costs its API server reads the same lines from the built-in one and from a real one.
"""

from collections import Counter

import attrs

from kubevip.emulator.calls import Call

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_VERBS = {"create": "POST", "update": "PUT"}


@attrs.frozen
class _Kind:
    """Requests that are counted together."""

    verb: str
    group: str
    resource: str
    subresource: str
    code: int

    def labels(self) -> str:
        """The labels of a line."""
        named = attrs.asdict(self)
        return ",".join(f'{name}="{named[name]}"' for name in sorted(named))


@attrs.define(eq=False)
class Tally:
    """Counts requests by what they asked for and how they were answered; a watch counts when it has ended."""

    _counts: Counter[_Kind] = attrs.field(factory=Counter, init=False)

    def add(self, call: Call, code: int) -> None:
        """Count one request; those for no resource of this server are not told apart."""
        verb = _VERBS.get(call.verb, call.verb.upper())
        known = call.resource is not None
        names = (call.group, call.plural, call.subresource) if known else ("", "", "")
        self._counts[_Kind(verb, *names, code)] += 1

    def text(self, streams: int) -> bytes:
        """The exposition, with the number of *streams* that run."""
        lines = ["# TYPE apiserver_request_total counter"]
        lines += [f"apiserver_request_total{{{kind.labels()}}} {count}" for kind, count in self._counts.items()]
        lines += [
            "# TYPE apiserver_longrunning_requests gauge",
            f'apiserver_longrunning_requests{{verb="WATCH"}} {streams}',
        ]
        return "\n".join((*lines, "")).encode()
