"""ConfigMaps as people write them, in YAML or JSON: with the line of each key, and with what is wrong in the writing.

The API server takes nothing but text for values, and kubectl no key twice. YAML makes more of what isn't quoted, and
of two equal keys drops one without a word. So it is the nodes of the document that are read, not what becomes of them.
"""

from collections.abc import Iterator, Mapping

import attrs
import yaml

from kubevip.errors import ConfigError
from kubevip.ipam.dialect import PREFIXES, WHOLE, Problem, Severity

# A ConfigMap has 1 MiB at most, and its YAML may be longer than that by a few indents.
LONGEST_TEXT = 4 << 20
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KIND, _LIST, _MANY = "ConfigMap", "ConfigMapList", "List"
_OTHER_TYPES = {"bool": "a truth value", "int": "a number", "float": "a number"}
_TOLD = 5
# No ConfigMap comes near to it. PyYAML's faster loader overruns its stack where there is much more.
_DEEPEST = 100


@attrs.frozen
class Written:
    """A ConfigMap of a file. *name* is ``namespace/name``, as far as it is written; *lines* are where its keys are."""

    name: str
    data: Mapping[str, str]
    lines: Mapping[str, int]
    problems: tuple[Problem, ...] = ()

    @property
    def has_pools(self) -> bool:
        """Whether it has keys such as those that pools have."""
        return any(key in WHOLE or key.startswith(PREFIXES) for key in self.data)


def read_written(text: str) -> tuple[Written, ...]:
    """Return the ConfigMaps in *text* that have keys of pools, or the only one; a mapping of such keys does too.

    :raises ConfigError: if there is none, or *text* is neither YAML nor JSON.
    """
    roots = _compose(text)
    found = [written for root in roots for written in _config_maps(root)]
    if not found and len(roots) == 1 and isinstance(roots[0], yaml.MappingNode) and _child(roots[0], "kind") is None:
        return (_read_bare(roots[0]),)
    if not found:
        raise ConfigError([f"there is no ConfigMap in it{_instead(roots)}"])
    chosen = [written for written in found if written.has_pools] if len(found) > 1 else found
    if not chosen:
        names = ", ".join(written.name for written in found[:_TOLD])
        raise ConfigError([f"none of its {len(found)} ConfigMaps ({names}) has a key of pools, such as range-global"])
    return tuple(chosen)


def _instead(roots: list[yaml.Node]) -> str:
    kinds = sorted({_text(_child(node, "kind")) for node in _objects(roots)} - {""})
    if kinds:
        return f", but {', '.join(kinds[:_TOLD])}{' and others' if len(kinds) > _TOLD else ''}"
    return ": write its manifest, or just keys and their texts" if roots else ": it is empty"


def _compose(text: str) -> list[yaml.Node]:
    # JSON may be indented by tabs, and has none elsewhere; to YAML they are an error.
    text = text.replace("\t", " ") if text.lstrip()[:1] in ("{", "[") else text
    try:
        _measure_depth(text)
        found = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([f"it is neither YAML nor JSON: {where}{error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"it is neither YAML nor JSON: {str(error).splitlines()[0]}"]) from error
    return [node for node in found if node is not None and node.value != ""]


def _measure_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise ConfigError([f"it can't be read: more than {_DEEPEST} lists or mappings are in one another"])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _objects(roots: list[yaml.Node]) -> Iterator[yaml.Node]:
    """Return all objects, those in lists too."""
    for root in roots:
        items = _child(root, "items")
        if _text(_child(root, "kind")) in (_MANY, _LIST) and isinstance(items, yaml.SequenceNode):
            yield from items.value
        else:
            yield root


def _config_maps(root: yaml.Node) -> Iterator[Written]:
    in_list = _text(_child(root, "kind")) == _LIST
    for node in _objects([root]):
        kind = _text(_child(node, "kind"))
        if isinstance(node, yaml.MappingNode) and (kind == _KIND or (in_list and not kind)):
            yield _read(node)


def _read(node: yaml.Node) -> Written:
    metadata = _child(node, "metadata")
    parts = (_text(_child(metadata, "namespace")), _text(_child(metadata, "name")))
    name = "/".join(part for part in parts if part)
    data = _child(node, "data")
    problems = list(_doubles(node))
    if _child(node, "binaryData") is not None:
        problems.append(Problem("binaryData", "it isn't read: pools are texts, under data", Severity.WARNING))
    if data is None or (isinstance(data, yaml.ScalarNode) and data.tag.endswith(":null")):
        return Written(name, {}, {}, tuple(problems))
    if not isinstance(data, yaml.MappingNode):
        problems.append(Problem("data", f"line {_line(data)}: it is no mapping of keys to texts", Severity.ERROR))
        return Written(name, {}, {}, tuple(problems))
    return _read_data(name, data, problems)


def _read_bare(node: yaml.MappingNode) -> Written:
    data = _child(node, "data")
    return _read_data("", data if isinstance(data, yaml.MappingNode) else node, [])


def _read_data(name: str, node: yaml.MappingNode, problems: list[Problem]) -> Written:
    data: dict[str, str] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem("data", f"line {_line(key)}: a key is no text", Severity.ERROR))
            continue
        problem = _not_text(key.value, value)
        if problem:
            problems.append(Problem(key.value, problem, Severity.ERROR))
        data[key.value] = value.value if isinstance(value, yaml.ScalarNode) else ""
        lines[key.value] = _line(key)
    return Written(name, data, lines, (*problems, *_doubles(node)))


def _doubles(node: yaml.Node) -> Iterator[Problem]:
    """Return a problem for each key that a mapping has more than once."""
    lines: dict[str, list[int]] = {}
    for key, _value in node.value:
        if isinstance(key, yaml.ScalarNode):
            lines.setdefault(key.value, []).append(_line(key))
    for key, found in lines.items():
        if len(found) > 1:
            listed = f"{', '.join(map(str, found[:-1]))} and {found[-1]}"
            yield Problem(key, f"it is there {len(found)} times, in lines {listed}: write it once", Severity.ERROR)


def _not_text(key: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        return f'its value is {what}, not text: write one text, such as {key}: "10.0.0.5-10.0.0.9,10.0.0.20-10.0.0.29"'
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return f'it has no value: write {key}: "" if that is meant, or leave it out'
    if kind not in _OTHER_TYPES:
        return ""
    return (
        f'{node.value} is {_OTHER_TYPES[kind]} to YAML, and the API server takes text alone: quote it, "{node.value}"'
    )


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
