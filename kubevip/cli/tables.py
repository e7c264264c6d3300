"""Tables, bars and paragraphs for terminals: plain text, no wider than the terminal, coloured only where one is."""

import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import attrs

from kubevip.ipam.findings import Grade

_NARROWEST = 24
_GAP = "  "
_BREAKS = re.compile(r"\s*[\r\n\t]\s*")
_COLOURS = {Grade.ERROR: 31, Grade.WARNING: 33, Grade.NOTE: 36}


@attrs.define(eq=False)
class Page:
    """Writes to *stream*. Without *width*, lines are as long as they come: whoever reads them may be a program."""

    stream: TextIO
    width: int | None
    coloured: bool

    @classmethod
    def of(cls, stream: TextIO) -> "Page":
        """Look at where *stream* goes. ``COLUMNS`` and ``NO_COLOR`` are heeded, as other programs do."""
        terminal = stream.isatty()
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isascii() and columns.isdecimal() else 0
        if terminal and not width:
            width = os.get_terminal_size(stream.fileno()).columns
        return cls(stream, width or None, terminal and not os.environ.get("NO_COLOR"))

    def line(self, text: str = "") -> None:
        """Write a paragraph, in as many lines as it needs."""
        print("\n".join(_wrapped(printable(text), self.width)) if text else "", file=self.stream)

    def grade(self, grade: Grade) -> str:
        """Return the name of *grade*, coloured where that is seen."""
        return f"\x1b[{_COLOURS[grade]}m{grade.value}\x1b[0m" if self.coloured else grade.value

    def finding(self, grade: Grade, about: str, text: str) -> None:
        """Write what was found about something, indented as one paragraph."""
        start = f"  {grade.value:<8} {printable(about)}: "
        width = self.width and max(self.width, _NARROWEST)
        lines = _wrapped(start + printable(text), width, indent=" " * 11)
        lines[0] = lines[0].replace(f"  {grade.value}", f"  {self.grade(grade)}", 1)
        print("\n".join(lines), file=self.stream)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
        """Write a table; its last column is broken into lines where there is no room, *right* are figures."""
        cells = [[printable(text) for text in row] for row in (head, *rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        before = sum(widths[:-1]) + len(_GAP) * (len(head) - 1)
        last = max(_NARROWEST, self.width - before) if self.width else None
        for row in cells:
            first = [
                text.rjust(width) if name in right else text.ljust(width)
                for name, text, width in zip(head[:-1], row[:-1], widths[:-1], strict=True)
            ]
            tail = row[-1].rjust(widths[-1]) if head[-1] in right else row[-1]
            for number, part in enumerate(_wrapped(tail, last) or [""]):
                start = _GAP.join(first) + _GAP if number == 0 else " " * before
                print((start + part).rstrip(), file=self.stream)


def bar(used: int, size: int, length: int = 20) -> str:
    """Draw how much of *size* is used; what is used at all can be seen, and only what is full looks full."""
    if not size:
        return "empty"
    filled = max(used * length // size, 1 if used else 0)
    percent = str(100 * used // size)
    if used and 100 * used < size:
        percent = "<1"
    elif used < size and 100 * used > 99 * size:
        percent = ">99"
    return f"[{'#' * filled}{'.' * (length - filled)}] {percent:>3} %"


def printable(text: str) -> str:
    """Return *text* on one line, with what would steer a terminal made visible."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in _BREAKS.sub(" ", text))


def _wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [text]
