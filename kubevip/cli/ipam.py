"""Look at the pools of addresses: check a ConfigMap, show who has what, plan an edit. Nothing is ever written.

check exits 1 where the ConfigMap has errors, and 2 where it can't be read. plan exits 2 where a Service would lose or
change its address, or be left outside of every pool, and 1 where the new ConfigMap has errors or there is no answer.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import attrs

from kubevip.cli import ipam_documents as documents
from kubevip.cli import ipam_screens as screens
from kubevip.cli.ipam_arguments import add_arguments, read_settings, read_surroundings
from kubevip.cli.pipes import tell_while_read
from kubevip.cli.tables import Page
from kubevip.config import Settings, kubeconfig_candidates
from kubevip.config.provider import CONFIG_MAP, CONFIG_NAMESPACE, ProviderSettings
from kubevip.errors import ConfigError, KubeVipError
from kubevip.ipam import read
from kubevip.ipam.checking import Check, check
from kubevip.ipam.documents import LONGEST_TEXT, Written, read_written
from kubevip.ipam.findings import Finding, Grade, Surroundings, warning
from kubevip.kube.survey import Survey, read_dump, survey
from kubevip.provision.inventory import take_inventory
from kubevip.provision.replan import replan
from kubevip.provision.verdict import Classes

__all__ = ["add_arguments", "run"]

_LONGEST_DUMP = 1 << 30
_STDIN = "-"
_INTERRUPTED = 130
Read = TypeVar("Read")


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands; return its exit code."""
    commands: Mapping[str, tuple[Callable[[argparse.Namespace], int], int]] = {
        "check": (_check, 2),
        "show": (_show, 1),
        "plan": (_plan, 1),
    }
    command, failure = commands[arguments.command]
    try:
        return tell_while_read(lambda: command(arguments), failure)
    except ConfigError as error:
        _tell(error.problems)
    except KubeVipError as error:
        _tell([str(error)])
    except KeyboardInterrupt:
        return _INTERRUPTED
    return failure


def _tell(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"kubevip ipam: {sentence}", file=sys.stderr)


# Checking


@attrs.frozen(eq=False)
class _Examined:
    """A ConfigMap of a file, and all that was found about it."""

    written: Written
    checked: Check
    findings: Sequence[Finding]

    @classmethod
    def of(cls, written: Written, place: str, around: Surroundings) -> "_Examined":
        checked = check(written.data, around)
        findings = [*map(Finding.of, written.problems), *checked.findings]
        if "/" in written.name and written.name != place:
            text = f"its name is {written.name}, and the provider reads {place}"
            findings.append(warning("metadata", f"{text}, unless {CONFIG_NAMESPACE} and {CONFIG_MAP} say otherwise"))
        order = list(Grade)
        return cls(written, checked, sorted(findings, key=lambda finding: order.index(finding.grade)))

    @property
    def has_errors(self) -> bool:
        return any(finding.is_error for finding in self.findings)


def _check(arguments: argparse.Namespace) -> int:
    place, around = str(read_settings(arguments).config_map), read_surroundings(arguments, {})
    found = [_Examined.of(each, place, around) for each in _config_maps(arguments.file)]
    named = {each: each.written.name or _name(arguments.file) for each in found}
    if arguments.output == "table":
        page = Page.of(sys.stdout)
        for number, (each, name) in enumerate(named.items()):
            if number:
                page.line()
            screens.show_check(page, name, each.checked, each.findings, each.written.lines)
    else:
        listed = [
            documents.check_document(name, each.checked, each.findings, each.written.lines)
            for each, name in named.items()
        ]
        documents.write({"configMaps": listed}, arguments.output)
    return int(any(each.has_errors for each in found))


def _config_maps(file: str) -> tuple[Written, ...]:
    def read_it() -> tuple[Written, ...]:
        try:
            return read_written(_content(file, LONGEST_TEXT, "a ConfigMap has 1 MiB at most").decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ConfigError(["it is no text in UTF-8"]) from error

    return _naming(file, read_it)


def _naming(file: str, read_it: Callable[[], Read]) -> Read:
    """Return what is read; errors name *file*."""
    try:
        return read_it()
    except ConfigError as error:
        raise ConfigError([f"{_name(file)}: {problem}" for problem in error.problems]) from error


def _content(file: str, longest: int, why: str) -> bytes:
    try:
        if file == _STDIN:
            content = sys.stdin.buffer.read(longest + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(longest + 1)
    except OSError as error:
        raise ConfigError([f"it can't be read: {error.strerror}"]) from error
    if len(content) > longest:
        raise ConfigError([f"it is longer than {longest >> 20} MiB, and {why}"])
    return content


def _name(file: str) -> str:
    return "stdin" if file == _STDIN else file


# Showing


def _show(arguments: argparse.Namespace) -> int:
    settings = read_settings(arguments)
    seen, where = _survey(settings), str(settings.config_map)
    pools = None if seen.data is None else read(seen.data)
    found = take_inventory(seen.services, seen.nodes, pools, _classes(settings), f"the ConfigMap {where}")
    if arguments.output == "table":
        _tell(seen.notices)
        screens.show_inventory(Page.of(sys.stdout), where, pools, found)
    else:
        documents.write(documents.inventory_document(where, pools, found, seen.notices), arguments.output)
    return 0


def _survey(settings: ProviderSettings) -> Survey:
    """Ask the API server."""
    from kubevip.kube.connect import connect
    from kubevip.kube.lean import load_lean

    load_lean()

    async def look() -> Survey:
        candidates = kubeconfig_candidates(Settings(kubernetes=settings.kubernetes), os.environ)
        async with await connect(candidates) as client:
            return await survey(client, settings.config_map)

    return anyio.run(look)


def _classes(settings: ProviderSettings) -> Classes:
    return Classes(classless=settings.classless, names=settings.classes)


# Planning


def _plan(arguments: argparse.Namespace) -> int:
    settings = read_settings(arguments)
    where = str(settings.config_map)
    new = _chosen(arguments.filename, where)
    seen = _seen(arguments, settings)
    examined = _Examined.of(new, where, read_surroundings(arguments, seen.nodes))
    old = None if seen.data is None else read(seen.data)
    fates = replan(seen.services, seen.nodes, old, examined.checked.pools, _classes(settings))
    if arguments.output == "table":
        page = Page.of(sys.stdout)
        _tell(seen.notices)
        told = [finding for finding in examined.findings if finding.grade is not Grade.NOTE]
        if told:
            page.line(f"{_name(arguments.filename)}, the new {where}")
            screens.show_findings(page, told, new.lines)
            page.line()
        screens.show_plan(page, fates)
    else:
        listed = documents.findings_document(examined.findings, new.lines)
        documents.write(documents.plan_document(where, listed, fates, seen.notices), arguments.output)
    if examined.has_errors:
        return 1
    return 2 if any(fate.outcome.does_harm for fate in fates) else 0


def _chosen(file: str, where: str) -> Written:
    found = _config_maps(file)
    named = [each for each in found if each.name == where]
    if len(found) > 1 and len(named) != 1:
        names = ", ".join(each.name for each in found)
        raise ConfigError([f"{_name(file)}: it has several ConfigMaps ({names}), and not one that is {where}"])
    return named[0] if named else found[0]


def _seen(arguments: argparse.Namespace, settings: ProviderSettings) -> Survey:
    if bool(arguments.dump) != bool(arguments.old):
        raise ConfigError(["--from and --old belong together: the Services, and the ConfigMap that they live under"])
    if not arguments.dump:
        return _survey(settings)
    if [arguments.filename, arguments.dump, arguments.old].count(_STDIN) > 1:
        raise ConfigError(["- stands for stdin, which can be read once: write a file's name in place of the others"])
    too_long = "that is more than any list of Services"
    seen = _naming(arguments.dump, lambda: read_dump(_content(arguments.dump, _LONGEST_DUMP, too_long)))
    return attrs.evolve(seen, data=_chosen(arguments.old, str(settings.config_map)).data)
