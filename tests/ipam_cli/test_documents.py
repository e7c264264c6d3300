"""ConfigMaps as they are written: which of a file count, and what is wrong in the writing."""

import json

import pytest

from kubevip.errors import ConfigError
from kubevip.ipam import Severity
from kubevip.ipam.documents import read_written

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: kubevip
  namespace: kube-system
data:
  range-global: 172.31.0.99-172.31.0.99
"""


def one(text):
    (written,) = read_written(text)
    return written


def refused(text):
    with pytest.raises(ConfigError) as caught:
        read_written(text)
    return str(caught.value)


def test_the_operators_manifest_is_read():
    written = one(MANIFEST)
    assert (written.name, written.data) == ("kube-system/kubevip", {"range-global": "172.31.0.99-172.31.0.99"})
    assert (written.lines, written.problems) == ({"range-global": 7}, ())


def test_keys_alone_are_read():
    assert one("cidr-global: 10.0.0.0/24\n").data == {"cidr-global": "10.0.0.0/24"}


def test_keys_below_data_alone_are_read():
    assert one("data:\n  cidr-global: 10.0.0.0/24\n").data == {"cidr-global": "10.0.0.0/24"}


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read(indent):
    document = {"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"cidr-global": "10.0.0.0/24"}}
    assert one(json.dumps(document, indent=indent)).data == document["data"]


def test_of_several_documents_the_config_maps_with_pools_count():
    other = "kind: ConfigMap\nmetadata: {name: other}\ndata: {colour: red}"
    second = "kind: ConfigMap\nmetadata: {name: second}\ndata: {cidr-a: 10.0.0.0/24}"
    found = read_written(f"{other}\n---\nkind: Service\n---\n{MANIFEST}---\n{second}\n")
    assert [written.name for written in found] == ["kube-system/kubevip", "second"]


def test_lines_count_from_the_beginning_of_the_file():
    assert one(f"# a comment\n---\n{MANIFEST}").lines == {"range-global": 9}


def test_a_config_map_alone_counts_whatever_its_keys_are():
    assert one("kind: ConfigMap\nmetadata: {name: a}\ndata: {rnge-global: 10.0.0.5}").data == {
        "rnge-global": "10.0.0.5"
    }


@pytest.mark.parametrize("kind", ["List", "ConfigMapList"])
def test_config_maps_in_lists_are_found(kind):
    items = [{"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"cidr-a": "10.0.0.0/24"}}, {"kind": "Service"}]
    assert one(json.dumps({"kind": kind, "items": items})).name == "a"


def test_items_of_a_config_map_list_need_no_kind():
    assert one("kind: ConfigMapList\nitems: [{metadata: {name: a}, data: {cidr-a: b}}]").name == "a"


def test_a_config_map_without_data_is_empty():
    assert one("kind: ConfigMap\nmetadata: {name: a}\ndata:\n").data == {}


def test_a_key_that_is_there_twice_is_an_error_with_both_lines():
    (problem,) = one("cidr-a: 10.0.0.0/24\ncidr-b: x\ncidr-a: 10.0.1.0/24\n").problems
    assert (problem.key, problem.severity) == ("cidr-a", Severity.ERROR)
    assert "2 times, in lines 1 and 3" in problem.text


def test_data_that_is_there_twice_is_an_error():
    written = one("kind: ConfigMap\ndata: {cidr-a: b}\ndata: {cidr-c: d}\n")
    assert [problem.key for problem in written.problems] == ["data"]


@pytest.mark.parametrize(("value", "what"), [("true", "a truth value"), ("yes", "a truth value"), ("30", "a number")])
def test_a_value_that_isnt_text_to_yaml_is_to_be_quoted(value, what):
    (problem,) = one(f"allow-share-global: {value}\n").problems
    assert problem.severity is Severity.ERROR
    assert f"{value} is {what}" in problem.text
    assert f'quote it, "{value}"' in problem.text


def test_a_value_that_isnt_text_counts_as_it_is_written():
    assert one("allow-share-global: true\n").data == {"allow-share-global": "true"}


@pytest.mark.parametrize("value", ['"true"', "'30'", "10.0.0.0/24", "10.0.0.5-10.0.0.9", '""'])
def test_text_has_no_problem(value):
    assert one(f"cidr-a: {value}\n").problems == ()


@pytest.mark.parametrize(
    ("value", "what"), [("", "no value"), ("~", "no value"), ("[10.0.0.0/24]", "a list"), ("{a: b}", "a mapping")]
)
def test_a_value_that_is_no_scalar_or_none_is_an_error(value, what):
    (problem,) = one(f"cidr-a: {value}\n").problems
    assert problem.severity is Severity.ERROR
    assert what in problem.text


def test_a_key_that_is_no_text_is_an_error():
    (problem,) = one("kind: ConfigMap\ndata:\n  ? [a]\n  : b\n").problems
    assert "line 3" in problem.text


def test_data_that_is_no_mapping_is_an_error():
    (problem,) = one("kind: ConfigMap\ndata: hello\n").problems
    assert "no mapping" in problem.text


def test_binary_data_is_warned_about():
    (problem,) = one("kind: ConfigMap\nbinaryData: {cidr-a: eA==}\ndata: {cidr-b: x}\n").problems
    assert (problem.key, problem.severity) == ("binaryData", Severity.WARNING)


@pytest.mark.parametrize("text", ["", "---\n---\n", "# nothing\n"])
def test_an_empty_file_is_refused(text):
    assert refused(text) == "there is no ConfigMap in it: it is empty"


def test_other_kinds_are_named():
    assert refused("kind: Service\n---\nkind: Deployment\n") == "there is no ConfigMap in it, but Deployment, Service"


def test_several_config_maps_without_pools_are_named():
    text = "kind: ConfigMap\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: b}\n"
    assert "none of its 2 ConfigMaps (a, b) has a key of pools" in refused(text)


def test_what_is_no_yaml_is_refused_with_its_line():
    assert "line 2, column 5: " in refused("a: b\na: b: c\n")


@pytest.mark.parametrize(
    "text", ["hello", "[1, 2]", "\x00", "{{- range .Values }}\nkind: ConfigMap", "%PDF-1.4\n%\x7f", "@"]
)
def test_garbage_is_refused(text):
    assert refused(text)


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_without_overrunning_the_stack(bracket):
    assert "in one another" in refused(bracket * 100_000)


def test_aliases_are_not_multiplied():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert len(one("\n".join(lines)).problems) == 30
