"""Flags of the command line, made from the table: kube-vip's names, and its way of writing booleans."""

import argparse
from collections.abc import Iterable
from typing import Any

from kubevip.config.parse import BOOLEAN
from kubevip.config.setting import Alias, Setting, Supported
from kubevip.config.sources import destination
from kubevip.config.table import SETTINGS, TABLE, Group


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add every flag of the table to *parser*, in an argument group for each part of the table.

    Their texts are left for ``load``, so that a wrong flag is told together with all other problems. The
    parser should be made with ``allow_abbrev=False``, as kube-vip takes no abbreviations. A boolean flag
    stands alone or is written ``--arp=false``. A word after it that has no dash in front is taken for its
    value, so subcommands go before the flags.
    """
    for group in TABLE:
        _add_group(parser, group)
    parser.add_argument_group("Of kube-vip", _about_hidden())


def _add_group(parser: argparse.ArgumentParser, group: Group) -> None:
    section: Any = parser
    if any(setting.flags and _shown(setting) for setting in group.settings):
        section = parser.add_argument_group(group.title, group.about)
    for setting in group.settings:
        for alias in setting.names:
            _add(section, setting, alias)


def _shown(setting: Setting) -> bool:
    return isinstance(setting.support, Supported)


def _add(section: Any, setting: Setting, alias: Alias) -> None:
    if not alias.flags:
        return
    main, *others = alias.flags
    shown = [main, *(flag for flag in others if not flag.startswith("--"))]
    hidden = [flag for flag in others if flag not in shown]
    facts = _facts(setting) | {"dest": destination(main), "default": argparse.SUPPRESS}
    section.add_argument(*shown, help=_help(setting, alias), **facts)
    if hidden:
        section.add_argument(*hidden, help=argparse.SUPPRESS, **facts)


def _facts(setting: Setting) -> dict[str, Any]:
    if setting.form.name == BOOLEAN.name:
        return {"nargs": "?", "const": "true", "metavar": "true|false"}
    name = setting.form.name.replace(" ", "-")
    return {"metavar": name} | ({"action": "append"} if setting.many else {})


def _help(setting: Setting, alias: Alias) -> str:
    if not _shown(setting):
        return argparse.SUPPRESS
    facts = [alias.env] if alias.env else []
    if setting.default_shown not in ("", "false"):
        facts.append(f"default {setting.default_shown}")
    return f"{alias.note or setting.help} [{', '.join(facts)}]".replace("%", "%%")


def _about_hidden() -> str:
    return (
        f"Accepted too, although not there yet or without effect, as docs/settings.md says of each: "
        f"{', '.join(_hidden(SETTINGS))}."
    )


def _hidden(settings: Iterable[Setting]) -> list[str]:
    return [setting.flags[0] for setting in settings if setting.flags and not _shown(setting)]
