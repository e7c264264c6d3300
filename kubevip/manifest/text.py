"""YAML as kubectl and kube-vip write it: sorted keys, and double quotes where a string needs quotes."""

from collections.abc import Sequence
from typing import Any

import yaml

from kubevip.manifest.workload import Manifest

_STRING = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """A dumper that repeats what occurs twice: anchors are no part of manifests."""

    def ignore_aliases(self, data: object) -> bool:
        """Tell that nothing is written as a reference."""
        return True


def _string(dumper: Any, text: str) -> yaml.ScalarNode:
    plain = dumper.resolve(yaml.ScalarNode, text, (True, False)) == _STRING
    return yaml.ScalarNode(_STRING, text, style=None if plain else '"')


_Dumper.add_representer(str, _string)


def write(manifests: Sequence[Manifest]) -> str:
    """Return *manifests* as one text, separated by ``---`` if there are several."""
    texts = [yaml.dump(manifest, Dumper=_Dumper, sort_keys=True, allow_unicode=True) for manifest in manifests]
    return texts[0] if len(texts) == 1 else "".join(f"---\n{text}" for text in texts)
