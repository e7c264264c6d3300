"""``kubevip manifest``: prints the manifests that run the agent, from the settings that it would run with."""

import argparse
import os
import sys

from kubevip.errors import ConfigError
from kubevip.manifest import add_arguments, written

__all__ = ["add_arguments", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Print what *arguments* ask for; return the exit code, 2 if the settings can't be used."""
    try:
        manifest = written(arguments, os.environ)
    except ConfigError as error:
        for sentence in (*error.problems, *getattr(error, "__notes__", ())):
            print(sentence, file=sys.stderr)
        return 2
    for notice in manifest.notices:
        print(notice, file=sys.stderr)
    print(manifest.text, end="")
    return 0
