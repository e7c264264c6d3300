"""From texts to ``Settings``: every text is read, and every problem is told, before anything is refused."""

import argparse
from collections.abc import Mapping
from typing import Any

import attrs

from kubevip.config.rules import NOTICES, PROBLEMS, Facts
from kubevip.config.setting import NoEffect, NotYet
from kubevip.config.sources import Given, Report, gather
from kubevip.config.table import BY_NAME, VALUES, Settings, ValueGroup
from kubevip.errors import ConfigError


@attrs.frozen
class Loaded:
    """Settings that can be used; *notices* are sentences that the operator should see.

    *given* is what was written for each setting, by its name, as a dump of the configuration shows it.
    """

    settings: Settings
    notices: tuple[str, ...]
    given: Mapping[str, Given]


@attrs.define(eq=False)
class _Reading:
    """The values of the settings that could be read, by name, and the names of those that couldn't."""

    given: Mapping[str, Given]
    values: dict[str, Any] = attrs.Factory(dict)
    failed: set[str] = attrs.Factory(set)

    def is_on(self, name: str) -> bool:
        """Tell whether the setting asks for something; one that can't be read is told about already."""
        return name in self.failed or (name in self.values and BY_NAME[name].is_on(self.values[name]))


def load(environ: Mapping[str, str], flags: argparse.Namespace | None = None) -> Loaded:
    """Read all settings from *environ*, *flags* (see ``add_flags``) and the config file that they name.

    :raises ConfigError: with every problem, each naming the variable, its value and what would be right. The
        notices are its notes: a misspelt name is often why another is missing.
    """
    report = Report()
    reading = _read(gather(environ, flags, report), report)
    for given in reading.given.values():
        _weigh(given, reading, report)
    settings = _settings(reading)
    _apply_rules(Facts(settings, reading.given), reading.failed, report)
    if report.problems:
        raise _refused(report)
    return Loaded(settings, tuple(report.notices), reading.given)


def _refused(report: Report) -> ConfigError:
    error = ConfigError(report.problems)
    for notice in report.notices:
        error.add_note(notice)
    return error


def _read(found: Mapping[str, Given], report: Report) -> _Reading:
    reading = _Reading(found)
    for name, given in found.items():
        gate = given.setting.gate
        if gate and gate not in found:
            report.notices.append(f"{given} has no effect without {gate}")
            continue
        try:
            reading.values[name] = given.setting.form.read(given.text)
        except ValueError as error:
            reading.failed.add(name)
            report.problems.append(f"{given}: {error}")
    return reading


def _weigh(given: Given, reading: _Reading, report: Report) -> None:
    """Report what becomes of a value that asks for something: nothing, a refusal, or what it says."""
    setting = given.setting
    if not (setting.name in reading.values and reading.is_on(setting.name)):
        return
    gates = [name for name in setting.needs if reading.is_on(name)]
    if isinstance(setting.support, NoEffect):
        if not setting.support.silent:
            report.notices.append(f"{given} has no effect: {setting.support.why}")
    elif setting.needs and not gates:
        report.notices.append(f"{given} has no effect without {' or '.join(setting.needs)}")
    elif isinstance(setting.support, NotYet) and not _refused_by(gates):
        report.problems.append(_refusal(given, setting.support))


def _refused_by(gates: list[str]) -> bool:
    return any(isinstance(BY_NAME[name].support, NotYet) for name in gates)


def _refusal(given: Given, support: NotYet) -> str:
    return f"{given}: {support.feature} is not there yet; {support.instead}"


def _settings(reading: _Reading) -> Settings:
    return Settings(**{group.field: _group(group, reading.values) for group in VALUES})


def _group(group: ValueGroup, values: Mapping[str, Any]) -> Any:
    rows = zip(group.names, group.settings, strict=True)
    return group.cls(**{name: values[setting.name] for name, setting in rows if setting.name in values})


def _apply_rules(facts: Facts, failed: set[str], report: Report) -> None:
    for rules, sentences in ((PROBLEMS, report.problems), (NOTICES, report.notices)):
        for rule in rules:
            if failed.isdisjoint(rule.reads) and (sentence := rule.check(facts)):
                sentences.append(sentence)
