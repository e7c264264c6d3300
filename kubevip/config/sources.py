"""Where settings are written: the environment, flags and a file. Here they are found, not yet understood.

The environment beats flags, which beat the file, which beats defaults. kube-vip lets a file only fill what
no flag has a default for, so that most keys of its file can never take effect; here a value that somebody
wrote always beats one that nobody wrote.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from kubevip.config.retired import CONFIG_FILE
from kubevip.config.setting import Alias, Origin, Setting
from kubevip.config.table import KEYS, NAMES, SETTINGS, is_ours, nearest

_PREFIX = "setting "


@attrs.frozen
class Given:
    """One value as somebody wrote it, under the *name* that they used."""

    setting: Setting
    name: str
    text: str
    origin: Origin
    place: str = ""

    def __str__(self) -> str:
        value = "(hidden)" if self.setting.secret else repr(self.text)
        return f"{self.name}={value}{self.place}"


@attrs.define(eq=False)
class Report:
    """The sentences that come together while settings are read: what is wrong, and what is worth knowing."""

    problems: list[str] = attrs.Factory(list)
    notices: list[str] = attrs.Factory(list)


@attrs.frozen
class Source:
    """One origin's texts; *find* looks in the names that this origin uses."""

    origin: Origin
    texts: Mapping[str, tuple[str, str]]
    place: str = ""

    def find(self, setting: Setting, alias: Alias) -> Given | None:
        """Return what is written for *setting* under the name *alias*, unless it means "not set"."""
        name, text = self.texts.get(self._key(setting, alias), ("", ""))
        if not name or not (text or self.origin in setting.empty_counts):
            return None
        return Given(setting, name, text, self.origin, self.place)

    def _key(self, setting: Setting, alias: Alias) -> str:
        if self.origin is Origin.FLAG:
            return alias.flags[0] if alias.flags else ""
        return alias.env or setting.name


def destination(flag: str) -> str:
    """Return the attribute of the parsed arguments that holds the text of *flag*."""
    return _PREFIX + flag


def _environment(environ: Mapping[str, str]) -> Source:
    return Source(Origin.ENVIRONMENT, {name: (name, text) for name, text in environ.items() if name})


def _flags(arguments: argparse.Namespace | None) -> Source:
    given = {
        name.removeprefix(_PREFIX): _joined(value)
        for name, value in vars(arguments or argparse.Namespace()).items()
        if name.startswith(_PREFIX)
    }
    return Source(Origin.FLAG, {flag: (flag, text) for flag, text in given.items()})


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ",".join(value)


def gather(environ: Mapping[str, str], arguments: argparse.Namespace | None, report: Report) -> dict[str, Given]:
    """Return what is written for each setting, by its name, and report what can't be read or isn't known."""
    sources = [_environment(environ), _flags(arguments)]
    path = _written(CONFIG_FILE, sources, report)
    if path:
        sources.append(_file(path, report))
    _tell_unknown(environ, report)
    found = {setting.name: _written(setting, sources, report) for setting in SETTINGS}
    return {name: given for name, given in found.items() if given}


def _written(setting: Setting, sources: list[Source], report: Report) -> Given | None:
    """Return what counts for *setting*: its own name before any alias, a stronger origin before a weaker."""
    found = [(alias, given) for alias in setting.names for source in sources if (given := source.find(setting, alias))]
    if not found:
        return None
    used, given = found[0]
    if used.note:
        report.notices.append(f"{given} {used.note}")
    for alias, other in found:
        if alias is not used and other.text != given.text:
            report.notices.append(f"{other} is ignored, because of {given}")
    return given


def _tell_unknown(environ: Mapping[str, str], report: Report) -> None:
    for name in environ:
        if name not in NAMES and is_ours(name):
            report.notices.append(_unknown(name))


def _unknown(name: str, place: str = "") -> str:
    # Without the value, which may be the password of a misspelt bgp_peerpass.
    guess = nearest(name)
    hint = f"; is {guess} meant?" if guess else ""
    return f"{name}{place} is ignored: there is no setting of that name{hint}"


def _file(given: Given, report: Report) -> Source:
    path = Path(given.text)
    place = f" in {path}"
    try:
        pairs = list(_pairs(path))
    except ValueError as error:
        report.problems.append(f"{given}: {error}")
        return Source(Origin.FILE, {})
    texts: dict[str, tuple[str, str]] = {}
    for name, text in pairs:
        _add(texts, name, text, place, report)
    return Source(Origin.FILE, texts, place)


def _add(texts: dict[str, tuple[str, str]], name: str, text: str, place: str, report: Report) -> None:
    key = KEYS.get(name.casefold())
    if key is None:
        report.notices.append(_unknown(name, place))
    elif key in texts:
        report.problems.append(f"{name}{place}: {texts[key][0]} is the same setting; write one of them")
    else:
        texts[key] = (name, text)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    document = _document(path)
    if not isinstance(document, dict):
        raise ValueError("write a mapping of settings, such as vip_arp: true")
    for name, value in document.items():
        yield str(name), _text(value)


def _document(path: Path) -> Any:
    if path.suffix == ".json":
        return _json(_content(path))
    if path.suffix in (".yaml", ".yml"):
        return _yaml(_content(path))
    raise ValueError("write the name of a file that ends in .json, .yaml or .yml")


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"write the name of a file that can be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"write the file in UTF-8 ({error})") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"write JSON ({error})") from error


def _yaml(text: str) -> Any:
    import yaml  # here, because few have such a file and all pay for the import

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"write YAML ({' '.join(str(error).split())})") from error
    return {} if document is None else document


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(part) for part in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)
