"""The agent's log lines."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

import pytest

from kubevip.log import JsonFormatter, TextFormatter, level, set_up

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def record(
    message: str = "holding %s", *args: object, exc_info: ExcInfo | None = None, **extra: object
) -> logging.LogRecord:
    made = logging.LogRecord("kubevip.x", logging.WARNING, "file.py", 7, message, args, exc_info)
    made.created = 1_795_420_000.25
    vars(made).update(extra)
    return made


def failure() -> ExcInfo:
    try:
        raise ValueError("nonsense")
    except ValueError:
        kind, error, traceback = sys.exc_info()
        assert kind is not None
        assert error is not None
        return kind, error, traceback


@pytest.fixture
def loggers() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("kubevip")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_says_when_how_bad_what_and_of_what() -> None:
    line = JsonFormatter().format(record("holding %s", "it", vip="10.0.0.1", count=3, where=ValueError("x")))
    assert json.loads(line) == {
        "time": "2026-11-23T07:46:40.250000Z",
        "level": "warning",
        "message": "holding it",
        "vip": "10.0.0.1",
        "count": 3,
        "where": "ValueError('x')",
    }
    assert "\n" not in line


def test_json_tells_an_exception_in_its_line() -> None:
    line = JsonFormatter().format(record("broken", exc_info=failure()))
    assert json.loads(line)["exception"].endswith("ValueError: nonsense")
    assert "\n" not in line


def test_text_says_the_same_for_people() -> None:
    line = TextFormatter(colors=False).format(
        record("holding %s", "it", vip="10.0.0.1", reason="nobody answers", why="")
    )
    assert line.partition(" ")[2] == f"[warning  ] {'holding it':<44} vip=10.0.0.1 reason='nobody answers' why=''"


def test_text_tells_an_exception_below() -> None:
    lines = TextFormatter(colors=False).format(record("broken", exc_info=failure())).splitlines()
    assert lines[0].endswith("[warning  ] broken")
    assert lines[-1] == "ValueError: nonsense"


def test_colors_are_for_terminals() -> None:
    assert "\033[" in TextFormatter(colors=True).format(record("holding"))
    assert "\033[" not in TextFormatter(colors=False).format(record("holding"))


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize(
    ("form", "stream", "json_expected"),
    [
        ("auto", Terminal(), False),
        ("auto", io.StringIO(), True),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ],
)
def test_lines_are_text_on_a_terminal_and_json_elsewhere_unless_told(
    form: Literal["auto", "text", "json"], stream: io.StringIO, json_expected: bool
) -> None:
    set_up(form, 0, stream)
    logging.getLogger("kubevip.x").info("holding")
    logging.getLogger("other").info("not told")
    [line] = stream.getvalue().splitlines()
    assert line.startswith("{") is json_expected


def test_levels_are_those_of_slog() -> None:
    assert [level(number) for number in (-5, -4, -1, 0, 4, 5, 8, 9)] == [
        logging.DEBUG,
        logging.DEBUG,
        logging.INFO,
        logging.INFO,
        logging.WARNING,
        logging.ERROR,
        logging.ERROR,
        logging.CRITICAL,
    ]
