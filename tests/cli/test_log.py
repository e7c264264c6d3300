"""The agent's log lines."""

import datetime
import io
import json
import logging
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Literal

import pytest

from kubevip.log import level, set_up

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def record(
    message: str = "holding %s", *args: object, exc_info: ExcInfo | None = None, **extra: object
) -> logging.LogRecord:
    made = logging.LogRecord("kubevip.x", logging.WARNING, "file.py", 7, message, args, exc_info)
    vars(made).update(extra)
    return made


def written(form: Literal["auto", "text", "json"], said: logging.LogRecord, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    set_up(form, 0, stream)
    [handler] = logging.getLogger().handlers
    handler.handle(said)
    return stream.getvalue()


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


@pytest.mark.usefixtures("loggers")
def test_json_says_when_how_bad_what_and_of_what() -> None:
    line = written("json", record("holding %s", "it", vip="10.0.0.1", count=3, where=ValueError("x")))
    told = json.loads(line)
    assert datetime.datetime.fromisoformat(told.pop("time")).tzinfo is not None
    assert told == {
        "level": "warning",
        "message": "holding it",
        "vip": "10.0.0.1",
        "count": 3,
        "where": "ValueError('x')",
    }
    assert line.count("\n") == 1


@pytest.mark.usefixtures("loggers")
def test_json_tells_an_exception_in_its_line() -> None:
    line = written("json", record("broken", exc_info=failure()))
    assert json.loads(line)["exception"].endswith("ValueError: nonsense")
    assert line.count("\n") == 1


@pytest.mark.usefixtures("loggers")
def test_text_says_the_same_for_people() -> None:
    line = written("text", record("holding %s", "it", vip="10.0.0.1", reason="nobody answers"))
    assert f"[warning  ] {'holding it':<44} " in line
    assert "vip=10.0.0.1" in line
    assert "reason='nobody answers'" in line


@pytest.mark.usefixtures("loggers")
def test_text_tells_an_exception_below() -> None:
    first, *rest = written("text", record("broken", exc_info=failure())).splitlines()
    assert "broken" in first
    assert any("ValueError: nonsense" in line for line in rest)


@pytest.mark.usefixtures("loggers")
def test_colors_are_for_terminals() -> None:
    assert "\033[" in written("text", record("holding"), Terminal())
    assert "\033[" not in written("text", record("holding"))


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
