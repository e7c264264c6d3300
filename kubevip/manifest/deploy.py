"""The examples in ``deploy/``, written by the same code that prints manifests.

``python -m kubevip.manifest.deploy`` writes them into ``deploy`` of the current directory, or into the
directory that is named; with ``--check`` it only tells which are out of date, with exit code 1.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubevip.manifest.command import add_arguments, written

_SETTINGS = "--address 192.0.2.10 --arp --controlplane --services --leaderElection"
EXAMPLES = {
    "rbac.yaml": "rbac",
    "provider.yaml": "provider",
    "daemonset.yaml": f"daemonset --inCluster --taint {_SETTINGS}",
    "pod.yaml": f"pod {_SETTINGS}",
}


def texts() -> dict[str, str]:
    """Return the text of each example, by the name of its file."""
    return {name: _text(command) for name, command in EXAMPLES.items()}


def _text(command: str) -> str:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    manifest = written(parser.parse_args(command.split()), {}).text
    return f"# python -m kubevip manifest {command}\n{manifest}"


def stale(directory: Path) -> tuple[str, ...]:
    """Return the names of the examples that are missing in *directory* or differ from what they should be."""
    return tuple(_stale(directory))


def _stale(directory: Path) -> Iterator[str]:
    for name, text in texts().items():
        path = directory / name
        if not path.is_file() or path.read_text("utf-8") != text:
            yield name


def write_examples(directory: Path) -> None:
    """Write all examples into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, "utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Write or check the examples; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m kubevip.manifest.deploy", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("deploy"))
    parser.add_argument("--check", action="store_true", help="only tell what is out of date")
    arguments = parser.parse_args(words)
    if not arguments.check:
        write_examples(arguments.directory)
        return 0
    old = stale(arguments.directory)
    for name in old:
        sys.stderr.write(f"{arguments.directory / name} is out of date; write it with {parser.prog}\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
