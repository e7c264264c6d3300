"""What reflectors tell becomes what is known of each Service and its endpoints."""

from ipaddress import ip_address

import attrs
import msgspec
import pytest

from kubevip.custody import Custody, Holder
from kubevip.kube.resources import EndpointSlice, EndpointsObject, Service
from kubevip.kube.sinks import EndpointsSink, ServiceSink, SliceSink
from kubevip.model import ObjectKey, ServiceKey
from kubevip.service import Endpoints, TrafficPolicy

WEB, API = ServiceKey("default", "web"), ServiceKey("default", "api")


@attrs.define(eq=False)
class Known:
    """Stands in for ``Services``: remembers the last that it was told."""

    node: str = "node1"
    views: dict = attrs.field(factory=dict)
    counts: dict = attrs.field(factory=dict)
    calls: int = 0

    def applied(self, view):
        self.views[view.key] = view

    def deleted(self, key):
        self.views.pop(key, None)

    def retain(self, keys):
        self.views = {key: view for key, view in self.views.items() if key in keys}

    def endpoints(self, key, endpoints):
        self.calls += 1
        self.counts[key] = endpoints


@pytest.fixture
def known():
    return Known()


def endpoint(node="node1", ready=True, **conditions):
    return {"addresses": ["10.1.0.1"], "nodeName": node, "conditions": {"ready": ready, **conditions}}


def slice_of(name, owner, *endpoints):
    labels = {"kubernetes.io/service-name": owner} if owner else {}
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return msgspec.convert({"metadata": metadata, "endpoints": list(endpoints)}, EndpointSlice)


def endpoints_of(name, *subsets):
    metadata = {"name": name, "namespace": "default"}
    return msgspec.convert({"metadata": metadata, "subsets": list(subsets)}, EndpointsObject)


def key(name):
    return ObjectKey("default", name)


# Services


def service(name, *, annotations=None, **parts):
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    return msgspec.convert({"metadata": metadata, **parts}, Service)


def test_service_is_applied_as_what_matters_of_it(known):
    spec = {
        "type": "LoadBalancer",
        "loadBalancerClass": "c",
        "loadBalancerIP": "10.0.0.5",
        "externalTrafficPolicy": "Local",
        "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
    }
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.5", "ports": [{"port": 80, "protocol": "TCP"}]}]}}
    ServiceSink(known).applied(service("web", spec=spec, status=status))
    view = known.views[WEB]
    assert (view.type, view.load_balancer_class, view.load_balancer_ip) == ("LoadBalancer", "c", "10.0.0.5")
    assert view.ports == ((80, "TCP"), (53, "UDP"))
    assert view.policy is TrafficPolicy.LOCAL
    assert (view.ingress[0].ip, view.ingress[0].ports) == ("10.0.0.5", ((80, "TCP"),))


def test_annotations_of_others_are_not_kept(known):
    theirs = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "meta.helm.sh/release-name": "web"}
    ours = {"kube-vip.io/ignore": "true"}
    ServiceSink(known).applied(service("web", annotations={**theirs, **ours}))
    assert known.views[WEB].annotations == ours


def test_service_that_is_being_deleted_is_known_as_such(known):
    found = service("web")
    found.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    ServiceSink(known).applied(found)
    assert known.views[WEB].deleting


def test_deleted_service_is_forgotten(known):
    sink = ServiceSink(known)
    sink.applied(service("web"))
    sink.deleted(service("web"))
    assert not known.views


def test_service_that_a_list_does_not_show_is_forgotten(known):
    sink = ServiceSink(known)
    sink.applied(service("web"))
    sink.applied(service("api"))
    sink.listed({key("api")}, "7")
    assert set(known.views) == {API}


# EndpointSlices


def test_slices_of_a_service_are_added_up(known):
    sink = SliceSink(known)
    sink.applied(slice_of("web-1", "web", endpoint(), endpoint("node2")))
    sink.applied(slice_of("web-2", "web", endpoint("node2")))
    assert known.counts == {WEB: Endpoints(3, 1)}


def test_changed_slice_takes_the_place_of_the_former(known):
    sink = SliceSink(known)
    sink.applied(slice_of("web-1", "web", endpoint(), endpoint()))
    sink.applied(slice_of("web-1", "web", endpoint("node2")))
    assert known.counts == {WEB: Endpoints(1, 0)}


def test_deleted_slice_counts_no_more(known):
    sink = SliceSink(known)
    sink.applied(slice_of("web-1", "web", endpoint()))
    sink.applied(slice_of("web-2", "web", endpoint("node2")))
    sink.deleted(slice_of("web-1", "web", endpoint()))
    assert known.counts == {WEB: Endpoints(1, 0)}
    sink.deleted(slice_of("web-2", "web"))
    assert known.counts == {WEB: Endpoints()}


def test_slice_that_moves_to_another_service_counts_there_alone(known):
    sink = SliceSink(known)
    sink.applied(slice_of("shared", "web", endpoint()))
    sink.applied(slice_of("shared", "api", endpoint()))
    assert known.counts == {WEB: Endpoints(), API: Endpoints(1, 1)}


def test_slice_that_loses_its_label_counts_nowhere(known):
    sink = SliceSink(known)
    sink.applied(slice_of("shared", "web", endpoint()))
    sink.applied(slice_of("shared", "", endpoint()))
    assert known.counts == {WEB: Endpoints()}


def test_slice_of_no_service_is_nobodys(known):
    SliceSink(known).applied(slice_of("stray", "", endpoint()))
    assert known.counts == {}


def test_slice_that_a_list_does_not_show_counts_no_more(known):
    sink = SliceSink(known)
    sink.applied(slice_of("web-1", "web", endpoint()))
    sink.applied(slice_of("api-1", "api", endpoint()))
    sink.listed({key("api-1")}, "7")
    assert known.counts == {WEB: Endpoints(), API: Endpoints(1, 1)}


def test_deleting_an_unknown_slice_changes_nothing(known):
    SliceSink(known).deleted(slice_of("web-1", "web", endpoint()))
    assert known.counts == {}


def test_same_name_in_another_namespace_is_another_slice(known):
    sink = SliceSink(known)
    sink.applied(slice_of("web-1", "web", endpoint()))
    other = slice_of("web-1", "web", endpoint())
    other.metadata.namespace = "other"
    sink.applied(other)
    assert known.counts == {WEB: Endpoints(1, 1), ServiceKey("other", "web"): Endpoints(1, 1)}


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (endpoint(ready=True), 1),
        (endpoint(ready=False), 0),
        (endpoint(ready=None), 1),
        (endpoint(ready=False, serving=True), 1),
        # publishNotReadyAddresses: kube-proxy sends to it.
        (endpoint(ready=True, serving=False), 1),
        (endpoint(ready=False, serving=False), 0),
        (endpoint(ready=False, serving=False, terminating=True), 0),
        (endpoint(ready=False, serving=True, terminating=True), 1),
        ({"addresses": ["10.1.0.1"], "nodeName": "node1"}, 1),
        ({"addresses": [], "nodeName": "node1"}, 0),
    ],
)
def test_endpoint_counts_while_it_serves(known, found, count):
    SliceSink(known).applied(slice_of("web-1", "web", found))
    assert known.counts == {WEB: Endpoints(count, count)}


def test_last_endpoint_counts_until_it_serves_no_more(known):
    sink = SliceSink(known)
    for found, count in (
        (endpoint(serving=True, terminating=False), 1),
        (endpoint(ready=False, serving=True, terminating=True), 1),
        (endpoint(ready=False, serving=False, terminating=True), 0),
    ):
        sink.applied(slice_of("web-1", "web", found))
        assert known.counts == {WEB: Endpoints(count, count)}


def test_endpoint_without_a_node_is_not_here(known):
    SliceSink(known).applied(slice_of("web-1", "web", endpoint(None)))
    assert known.counts == {WEB: Endpoints(1, 0)}


def test_slice_without_endpoints_counts_none(known):
    SliceSink(known).applied(
        msgspec.convert({"metadata": {"labels": {"kubernetes.io/service-name": "web"}}}, EndpointSlice)
    )
    assert list(known.counts.values()) == [Endpoints()]


# Endpoints objects


def addresses(*nodes):
    return {"addresses": [{"ip": "10.1.0.1", "nodeName": node} for node in nodes]}


def test_addresses_of_all_subsets_are_added_up(known):
    EndpointsSink(known).applied(endpoints_of("web", addresses("node1", "node2"), addresses("node2")))
    assert known.counts == {WEB: Endpoints(3, 1)}


def test_addresses_that_are_not_ready_do_not_count(known):
    subset = {"notReadyAddresses": [{"ip": "10.1.0.1", "nodeName": "node1"}]}
    EndpointsSink(known).applied(endpoints_of("web", subset))
    assert known.counts == {WEB: Endpoints()}


def test_object_without_subsets_counts_none(known):
    found = msgspec.convert({"metadata": {"name": "web", "namespace": "default"}}, EndpointsObject)
    EndpointsSink(known).applied(found)
    assert known.counts == {WEB: Endpoints()}


def test_deleted_object_counts_no_more(known):
    sink = EndpointsSink(known)
    sink.applied(endpoints_of("web", addresses("node1")))
    sink.deleted(endpoints_of("web"))
    assert known.counts == {WEB: Endpoints()}


def test_object_that_a_list_does_not_show_counts_no_more(known):
    sink = EndpointsSink(known)
    sink.applied(endpoints_of("web", addresses("node1")))
    sink.applied(endpoints_of("api", addresses("node1")))
    sink.listed({key("api")}, "7")
    assert known.counts == {WEB: Endpoints(), API: Endpoints(1, 1)}


def test_what_spread_mode_says_in_a_service_is_seen(known):
    said = {"kubevip.io/group": "dns", "kubevip.io/zone": "a"}
    record = Custody("u1", {ip_address("10.0.0.5"): Holder("node2", "7f", "", 3)})
    others = {"kubevip.io/holder": str(record), "example.com/other": "x"}
    metadata = {"name": "web", "namespace": "default", "uid": "u1", "annotations": {**said, **others}}
    ServiceSink(known).applied(msgspec.convert({"metadata": metadata}, Service))
    assert known.views[WEB].annotations == said
    assert known.views[WEB].record == record


def test_annotation_with_our_prefix_that_means_nothing_is_kept_to_be_told(known):
    ServiceSink(known).applied(service("web", annotations={"kubevip.io/grp": "dns", "kubevip.io/assigned": "range x"}))
    assert known.views[WEB].annotations == {"kubevip.io/grp": "dns"}


def test_the_nodes_with_endpoints_are_named_where_that_is_asked_for(known):
    SliceSink(known, True).applied(slice_of("web-1", "web", endpoint(), endpoint("node2"), endpoint("node3", False)))
    assert known.counts[WEB] == Endpoints(2, 1, frozenset({"node1", "node2"}))
