"""How Services are written, on the emulator and on a real kube-apiserver alike. The network is 10.0.0.0/24."""

import ipaddress

import pytest

PORT = {"port": 80}
BALANCED = {"type": "LoadBalancer", "ports": [PORT]}
NETWORK = ipaddress.ip_network("10.0.0.0/24")


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec or {"ports": [PORT]}}


def without(spec, *names):
    return {name: value for name, value in spec.items() if name not in names}


async def test_cluster_service_gets_defaults_and_an_address(api):
    answer = await api.create("services", service("s", ports=[PORT]))
    spec = answer.body["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in NETWORK
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert without(spec, "clusterIP", "clusterIPs") == {
        "type": "ClusterIP",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    assert answer.body["status"] == {"loadBalancer": {}}
    assert "generation" not in answer.body["metadata"]


async def test_load_balancer_gets_node_ports_and_policies(api):
    spec = (await api.create("services", service("s", **BALANCED))).body["spec"]
    assert 30000 <= spec["ports"][0]["nodePort"] <= 32767
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["allocateLoadBalancerNodePorts"] is True
    assert "healthCheckNodePort" not in spec


async def test_local_load_balancer_gets_a_health_check_port(api):
    spec = (await api.create("services", service("s", **BALANCED, externalTrafficPolicy="Local"))).body["spec"]
    assert 30000 <= spec["healthCheckNodePort"] <= 32767
    assert spec["healthCheckNodePort"] != spec["ports"][0]["nodePort"]


async def test_node_ports_may_be_declined(api):
    spec = (await api.create("services", service("s", **BALANCED, allocateLoadBalancerNodePorts=False))).body["spec"]
    assert "nodePort" not in spec["ports"][0]


async def test_protocols_of_a_port_share_the_node_port(api):
    ports = [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53}]
    found = (await api.create("services", service("s", type="NodePort", ports=ports))).body["spec"]["ports"]
    assert found[0]["nodePort"] == found[1]["nodePort"]


async def test_headless_service_has_no_address(api):
    spec = (await api.create("services", service("s", clusterIP="None", selector={"a": "b"}, ports=[PORT]))).body[
        "spec"
    ]
    assert spec["clusterIPs"] == ["None"]
    assert spec["ipFamilies"] == ["IPv4"]
    assert spec["ipFamilyPolicy"] == "SingleStack"


async def test_headless_service_without_selector_has_both_families(api):
    spec = (await api.create("services", service("s", clusterIP="None", ports=[PORT]))).body["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert spec["ipFamilyPolicy"] == "RequireDualStack"


async def test_external_name_has_no_address(api):
    answer = await api.create("services", service("s", type="ExternalName", externalName="a.example"))
    assert answer.body["spec"] == {"type": "ExternalName", "externalName": "a.example", "sessionAffinity": "None"}


async def test_dual_stack_may_be_preferred_on_one_family(api):
    spec = (await api.create("services", service("s", ipFamilyPolicy="PreferDualStack", ports=[PORT]))).body["spec"]
    assert spec["ipFamilies"] == ["IPv4"]


async def test_client_affinity_gets_a_timeout(api):
    spec = (await api.create("services", service("s", sessionAffinity="ClientIP", ports=[PORT]))).body["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


INVALID = [
    ({"type": "LoadBalancer"}, "spec.ports: Required value"),
    ({"ports": [PORT, {"port": 81}]}, "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]"),
    (
        {"type": "Foo", "ports": [{"port": 80000, "protocol": "X"}]},
        (
            "[spec.ports[0].port: Invalid value: 80000: must be between 1 and 65535, inclusive, "
            "spec.ports[0].protocol: "
            'Unsupported value: "X": supported values: "SCTP", "TCP", "UDP", spec.ports[0].targetPort: Invalid value: '
            '80000: must be between 1 and 65535, inclusive, spec.type: Unsupported value: "Foo": supported values: '
            '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]'
        ),
    ),
    (
        {"clusterIP": "1.2.3.4", "ports": [PORT]},
        (
            'spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided network does not '
            "match the current range"
        ),
    ),
    (
        {"clusterIP": "10.0.0.1", "ports": [PORT]},
        (
            'spec.clusterIPs: Invalid value: ["10.0.0.1"]: failed to allocate IP 10.0.0.1: provided IP '
            "is already allocated"
        ),
    ),
    (
        {"clusterIP": "foo", "ports": [PORT]},
        'spec.clusterIPs[0]: Invalid value: "foo": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ),
    (
        {"clusterIPs": ["10.0.0.9"], "ports": [PORT]},
        'spec.clusterIPs: Invalid value: ["10.0.0.9"]: must be empty when `clusterIP` is not specified',
    ),
    (
        {"clusterIP": "None", "selector": {"a": "b"}, **BALANCED},
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
    ),
    (
        {"ipFamilyPolicy": "RequireDualStack", "ports": [PORT]},
        (
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for '
            "dual-stack services"
        ),
    ),
    (
        {"ipFamilies": ["IPv6"], "ports": [PORT]},
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ),
    (
        {"ipFamilies": ["IPv4", "IPv6"], "ports": [PORT]},
        (
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when "
            "multiple IP families are specified"
        ),
    ),
    (
        {"ipFamilies": ["IPv4", "IPv4"], "ipFamilyPolicy": "PreferDualStack", "ports": [PORT]},
        'spec.ipFamilies[1]: Duplicate value: "IPv4"',
    ),
    (
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
        (
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The "
            "range of valid ports "
            "is 30000-32767"
        ),
    ),
    (
        {
            "type": "NodePort",
            "ports": [{"port": 1, "nodePort": 30080, "name": "a"}, {"port": 2, "nodePort": 30080, "name": "b"}],
        },
        "spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated",
    ),
    ({"type": "ExternalName"}, "spec.externalName: Required value"),
    (
        {
            "allocateLoadBalancerNodePorts": True,
            "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30000,
            "loadBalancerClass": "x",
            "sessionAffinity": "Foo",
            "internalTrafficPolicy": "x",
            "externalIPs": ["x"],
            "loadBalancerSourceRanges": ["x"],
            "ports": [{"port": 1, "nodePort": 30000}],
        },
        (
            '[spec.sessionAffinity: Unsupported value: "Foo": supported values: "ClientIP", "None", '
            'spec.externalIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), '
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP', "
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer', "
            'spec.LoadBalancerSourceRanges[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
            "2001:db8::/64), "
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer', "
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer', "
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
            "`externalTrafficPolicy` is 'Local', "
            'spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"]'
        ),
    ),
    (
        {**BALANCED, "externalIPs": ["127.0.0.1", "0.0.0.0", "169.254.1.1"]},
        (
            '[spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
            "(127.0.0.0/8, ::1/128), "
            'spec.externalIPs[1]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0), '
            "spec.externalIPs[2]: Invalid "
            'value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)]'
        ),
    ),
    (
        {**BALANCED, "loadBalancerClass": "a_b/c"},
        'spec.loadBalancerClass: Invalid value: "a_b/c": prefix part a lowercase',
    ),
    (
        {"ports": [{"port": 1, "targetPort": "bad_name"}]},
        (
            'spec.ports[0].targetPort: Invalid value: "bad_name": must contain only alpha-numeric '
            "characters (a-z, 0-9), "
            "and hyphens (-)"
        ),
    ),
    ({"selector": {"_": "x"}, "ports": [PORT]}, 'spec.selector: Invalid value: "_": name part must consist of'),
    ({**BALANCED, "externalTrafficPolicy": "Foo"}, 'spec.externalTrafficPolicy: Unsupported value: "Foo"'),
    (
        {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
        (
            "spec.ports[1]: Duplicate value: "
            '{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,"NodePort":0}'
        ),
    ),
]


@pytest.mark.parametrize(("spec", "message"), INVALID)
async def test_invalid_service_is_refused(api, spec, message):
    answer = await api.create("services", service("s", **spec))
    assert answer.status == 422
    assert f'Service "s" is invalid: {message}' in answer.message


async def test_refused_service_takes_nothing(api):
    port = {"port": 1, "nodePort": 31999}
    await api.create("services", service("s", type="NodePort", ports=[port], externalTrafficPolicy="Foo"))
    answer = await api.create("services", service("s", type="NodePort", ports=[port]))
    assert answer.status == 201
    await api.delete("services", "s")


async def test_service_name_is_a_dns_1035_label(api):
    answer = await api.create("services", service("1s", ports=[PORT]))
    assert 'metadata.name: Invalid value: "1s": a DNS-1035 label must consist of' in answer.message


async def test_status_of_a_new_service_is_empty(api):
    document = {**service("s", **BALANCED), "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    assert (await api.create("services", document)).body["status"] == {"loadBalancer": {}}


async def test_status_is_written_by_its_subresource_only(api):
    await api.create("services", service("s", **BALANCED))
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    assert (await api.patch("services", "s", ingress)).body["status"] == {"loadBalancer": {}}
    answer = await api.patch("services", "s", ingress, "status")
    assert answer.body["status"] == {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}


async def test_status_write_takes_metadata_but_no_spec(api):
    await api.create("services", service("s", **BALANCED))
    metadata = {"annotations": {"a": "b"}, "labels": {"l": "x"}, "finalizers": ["f.io/x"]}
    patch = {"metadata": metadata, "spec": {"loadBalancerIP": "9.9.9.9"}}
    answer = await api.patch("services", "s", patch, "status")
    assert metadata.items() <= answer.body["metadata"].items()
    assert "loadBalancerIP" not in answer.body["spec"]
    await api.patch("services", "s", {"metadata": {"finalizers": None}})


async def test_status_put_replaces_metadata(api):
    made = await api.create("services", {**service("s", **BALANCED), "metadata": {"name": "s", "labels": {"a": "b"}}})
    document = {"metadata": {"name": "s"}, "spec": made.body["spec"], "status": {"loadBalancer": {}}}
    answer = await api.replace("services", "s", document, "status")
    assert "labels" not in answer.body["metadata"]


async def test_status_put_that_leaves_out_the_type_has_no_ip_mode(api):
    await api.create("services", service("s", **BALANCED))
    document = {"metadata": {"name": "s"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    answer = await api.replace("services", "s", document, "status")
    assert answer.status == 422
    assert "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set" in answer.message


@pytest.mark.parametrize(
    ("ingress", "message"),
    [
        ({"ip": "nope"}, 'status.loadBalancer.ingress[0].ip: Invalid value: "nope": must be a valid IP address'),
        ({"hostname": "x_y"}, 'status.loadBalancer.ingress[0].hostname: Invalid value: "x_y": a lowercase RFC 1123'),
        ({"hostname": "1.2.3.4"}, "must be a DNS name, not an IP address"),
        ({"ip": "1.2.3.4", "ipMode": "X"}, 'ipMode: Unsupported value: "X": supported values: "Proxy", "VIP"'),
        ({"hostname": "a.b", "ipMode": "VIP"}, "ipMode: Forbidden: may not be specified when `ip` is not set"),
    ],
)
async def test_invalid_ingress_is_refused(api, ingress, message):
    await api.create("services", service("s", **BALANCED))
    answer = await api.patch("services", "s", {"status": {"loadBalancer": {"ingress": [ingress]}}}, "status")
    assert answer.status == 422
    assert message in answer.message


async def test_ingress_is_for_load_balancers(api):
    await api.create("services", service("s"))
    patch = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}}
    answer = await api.patch("services", "s", patch, "status")
    assert (
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'" in answer.message
    )


async def test_status_of_a_load_balancer_that_is_none_any_more_is_cleared(api):
    spec = {**BALANCED, "externalTrafficPolicy": "Local", "loadBalancerClass": "a.io/b"}
    await api.create("services", service("s", **spec))
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}
    await api.patch("services", "s", ingress, "status")
    answer = await api.patch("services", "s", {"spec": {"type": "ClusterIP"}})
    assert answer.body["status"] == {"loadBalancer": {}}
    assert (
        not {
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "allocateLoadBalancerNodePorts",
            "loadBalancerClass",
        }
        & answer.body["spec"].keys()
    )
    assert "nodePort" not in answer.body["spec"]["ports"][0]


async def test_load_balancer_class_is_immutable(api):
    await api.create("services", service("s", **BALANCED, loadBalancerClass="a.io/b"))
    answer = await api.patch("services", "s", {"spec": {"loadBalancerClass": "a.io/c"}})
    assert 'spec.loadBalancerClass: Invalid value: "a.io/c": may not change once set' in answer.message


async def test_load_balancer_class_can_be_set_with_the_type(api):
    await api.create("services", service("s"))
    answer = await api.patch("services", "s", {"spec": {"type": "LoadBalancer", "loadBalancerClass": "a.io/c"}})
    assert answer.body["spec"]["loadBalancerClass"] == "a.io/c"


async def test_cluster_address_is_immutable(api):
    await api.create("services", service("s"))
    answer = await api.patch("services", "s", {"spec": {"clusterIP": "10.0.0.250"}})
    assert 'spec.clusterIPs[0]: Invalid value: ["10.0.0.250"]: may not change once set' in answer.message


async def test_family_of_an_address_cannot_change(api):
    made = await api.create("services", service("s"))
    answer = await api.patch("services", "s", {"spec": {"ipFamilies": ["IPv6"]}})
    address = made.body["spec"]["clusterIP"]
    expected = f'spec.clusterIPs[0]: Invalid value: "{address}": expected an IPv6 value as indicated by `ipFamilies[0]`'
    assert expected in answer.message


async def test_update_keeps_what_was_allocated(api):
    made = await api.create("services", service("s", **BALANCED, externalTrafficPolicy="Local"))
    answer = await api.replace("services", "s", service("s", **BALANCED, externalTrafficPolicy="Local"))
    assert answer.body["spec"] == made.body["spec"]
    assert answer.version == made.version


async def test_changed_port_keeps_its_node_port(api):
    made = await api.create("services", service("s", **BALANCED))
    answer = await api.replace("services", "s", service("s", type="LoadBalancer", ports=[{"port": 81}]))
    assert answer.body["spec"]["ports"][0]["nodePort"] == made.body["spec"]["ports"][0]["nodePort"]


async def test_type_may_change_to_external_name_and_back(api):
    await api.create("services", service("s", **BALANCED))
    gone = await api.replace("services", "s", service("s", type="ExternalName", externalName="a.b"))
    assert gone.body["spec"] == {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}
    back = await api.replace("services", "s", service("s", **BALANCED))
    assert ipaddress.ip_address(back.body["spec"]["clusterIP"]) in NETWORK
    assert "nodePort" in back.body["spec"]["ports"][0]


async def test_health_check_port_is_immutable(api):
    made = await api.create("services", service("s", **BALANCED, externalTrafficPolicy="Local"))
    port = made.body["spec"]["healthCheckNodePort"]
    answer = await api.patch("services", "s", {"spec": {"healthCheckNodePort": 30000 if port != 30000 else 30001}})
    assert "spec.healthCheckNodePort: Forbidden: field is immutable" in answer.message


async def test_policy_may_change_to_local_and_back(api):
    await api.create("services", service("s", **BALANCED))
    local = await api.patch("services", "s", {"spec": {"externalTrafficPolicy": "Local"}})
    assert "healthCheckNodePort" in local.body["spec"]
    back = await api.patch("services", "s", {"spec": {"externalTrafficPolicy": "Cluster"}})
    assert "healthCheckNodePort" not in back.body["spec"]


async def test_deleted_service_is_shown_and_frees_its_address(api):
    made = await api.create("services", service("s"))
    gone = await api.delete("services", "s")
    assert gone.body["kind"] == "Service"
    again = await api.create("services", service("s", clusterIP=made.body["spec"]["clusterIP"], ports=[PORT]))
    assert again.status == 201


async def test_endpoints_go_with_their_service(api):
    await api.create("services", service("s"))
    await api.create("endpoints", {"metadata": {"name": "s"}})
    await api.delete("services", "s")
    assert (await api.get("endpoints", "s")).status == 404


async def test_dry_run_takes_no_address(api):
    spec = {"type": "NodePort", "ports": [{"port": 1, "nodePort": 32001}]}
    assert (await api.create("services", service("s", **spec), dryRun="All")).status == 201
    assert (await api.create("services", service("s", **spec))).status == 201
    await api.delete("services", "s")


async def test_generic_reads_of_the_status_subresource(api):
    await api.create("services", service("s", **BALANCED))
    answer = await api.call("GET", api.path("services", "s", "status"))
    assert answer.body["spec"]["type"] == "LoadBalancer"
