"""The agent's log lines: text on a terminal, JSON elsewhere. Libraries log by ``logging`` alone and set up nothing."""

import datetime
import json
import logging
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Literal, TextIO

from kubevip.backend import ENTRY_POINT_GROUP

# slog's levels, which kube-vip's vip_loglevel counts in, are logging's less 20, at two fifths.
_BY_SLOG = {-4: logging.DEBUG, 0: logging.INFO, 4: logging.WARNING, 8: logging.ERROR}
# What a record has by itself; the rest is what was said in *extra*.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_COLORS = {"debug": "32", "info": "32;1", "warning": "33;1", "error": "31;1", "critical": "31;1;7"}
# Where the names and values of a line of text begin.
_COLUMN = 44


def level(slog: int) -> int:
    """Return ``logging``'s level for one of slog's: the least severe one that is not below it."""
    return next((ours for theirs, ours in _BY_SLOG.items() if slog <= theirs), logging.CRITICAL)


def set_up(form: Literal["auto", "text", "json"], slog_level: int, stream: TextIO = sys.stderr) -> None:
    """Write kubevip's log lines to *stream*; only for a process that is ours."""
    terminal = stream.isatty()
    text = form == "text" or (form == "auto" and terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(colors=terminal) if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("kubevip", *_packages_of_backends()):
        logging.getLogger(name).setLevel(level(slog_level))


def _packages_of_backends() -> set[str]:
    """Return the packages of all installed backends: what they have to say is said at the agent's level."""
    return {point.module.partition(".")[0] for point in entry_points(group=ENTRY_POINT_GROUP)}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever it is that was said; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).replace(tzinfo=None)
        told = {
            "time": f"{time.isoformat(timespec='microseconds')}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **said(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=repr)


class TextFormatter(logging.Formatter):
    """A line for people, in local time; what went wrong inside is told below it."""

    def __init__(self, *, colors: bool) -> None:
        super().__init__()
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.datetime.fromtimestamp(record.created).astimezone().replace(tzinfo=None)
        name = record.levelname.lower()
        message = record.getMessage().ljust(_COLUMN)
        pairs = " ".join(f"{self._paint('36', key)}={_value(value)}" for key, value in said(record).items())
        first = f"{time.isoformat(timespec='microseconds')} [{self._paint(_COLORS.get(name, '1'), f'{name:<9}')}]"
        line = f"{first} {self._paint('1', message)} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def _paint(self, color: str, text: str) -> str:
        return f"\033[{color}m{text}\033[0m" if self._colors else text


def said(record: logging.LogRecord) -> Mapping[str, object]:
    """Return what was said in *extra*."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _value(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text) if not text or any(letter.isspace() or letter in "\"'=" for letter in text) else text
