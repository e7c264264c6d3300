"""List the backends that are installed: name, address families, where each comes from, and what is wrong with it."""

import argparse

from kubevip.errors import KubeVipError
from kubevip.registry import Registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no flags."""


def run(_arguments: argparse.Namespace) -> int:
    """Print a line for each; return 1 if one of them can't be used."""
    registry = Registry()
    broken = False
    for name in registry:
        try:
            families = ", ".join(f"IPv{family.value}" for family in sorted(registry[name].families))
        except KubeVipError as error:
            broken = True
            families = f"broken: {error}"
        print(f"{name:<11} {families:<13} {registry.origin(name)}")
    return 1 if broken else 0
