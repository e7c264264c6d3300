"""Print the version, in the three lines that kube-vip prints."""

import argparse
import platform

from kubevip.version import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no flags."""


def run(_arguments: argparse.Namespace) -> int:
    """Print the version."""
    print("kubevip Release Information")
    print(f"Version:  v{__version__}")
    print(f"Python:   {platform.python_version()}")
    return 0
