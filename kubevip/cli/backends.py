"""List what is installed: backends with their address families, and pool sources. Each says where it comes from.

One that can't be used is listed as broken, with the reason.
"""

import argparse

from kubevip.backend import Backend
from kubevip.errors import KubeVipError
from kubevip.registry import Installed, Registry, SourceRegistry
from kubevip.source import PoolSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no flags."""


def run(_arguments: argparse.Namespace) -> int:
    """Print a line for each; return 1 if one of them can't be used."""
    known: tuple[Installed[Backend] | Installed[PoolSource], ...] = (Registry(), SourceRegistry())
    well = [_list(installed, name) for installed in known for name in installed]
    return 0 if all(well) else 1


def _list(installed: Installed[Backend] | Installed[PoolSource], name: str) -> bool:
    well = True
    try:
        kind = _kind(installed[name])
    except KubeVipError as error:
        well, kind = False, f"broken: {error}"
    print(f"{name:<11} {kind:<13} {installed.origin(name)}")
    return well


def _kind(found: type[Backend] | type[PoolSource]) -> str:
    if issubclass(found, PoolSource):
        return "pool source"
    return ", ".join(f"IPv{family.value}" for family in sorted(found.families))
