"""The agent's log lines: text on a terminal, JSON elsewhere. Libraries log by ``logging`` alone and set up nothing."""

import logging
import sys
from importlib.metadata import entry_points
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from kubevip.backend import ENTRY_POINT_GROUP

# slog's levels, which kube-vip's vip_loglevel counts in, are logging's less 20, at two fifths.
_BY_SLOG = {-4: logging.DEBUG, 0: logging.INFO, 4: logging.WARNING, 8: logging.ERROR}


def level(slog: int) -> int:
    """Return ``logging``'s level for one of slog's: the least severe one that is not below it."""
    return next((ours for theirs, ours in _BY_SLOG.items() if slog <= theirs), logging.CRITICAL)


def set_up(form: Literal["auto", "text", "json"], slog_level: int, stream: TextIO = sys.stderr) -> None:
    """Write kubevip's log lines to *stream*; only for a process that is ours."""
    text = form == "text" or (form == "auto" and stream.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=44)
        if text
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=not text),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if text else [structlog.processors.format_exc_info]),
                _message if not text else _as_it_is,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("kubevip", *_packages_of_backends()):
        logging.getLogger(name).setLevel(level(slog_level))


def _packages_of_backends() -> set[str]:
    """Return the packages of all installed backends: what they have to say is said at the agent's level."""
    return {point.module.partition(".")[0] for point in entry_points(group=ENTRY_POINT_GROUP)}


def _message(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    first = {"time": event.pop("timestamp"), "level": event.pop("level"), "message": event.pop("event")}
    return {**first, **event}


def _as_it_is(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return event
