"""Tables, bars and paragraphs."""

import io

import pytest

from kubevip.cli.tables import Page, bar, printable
from kubevip.ipam.findings import Grade, plural, readable, shorten


class Terminal(io.StringIO):
    def isatty(self):
        return True


def page(width=None, coloured=False):
    return Page(io.StringIO(), width, coloured)


def test_columns_are_as_wide_as_their_longest_cell():
    to = page()
    to.table(("A", "NUMBER", "WHY"), [("abc", "1", "because"), ("d", "1,000", "")], right=("NUMBER",))
    assert to.stream.getvalue() == "A    NUMBER  WHY\nabc       1  because\nd     1,000\n"


def test_the_last_column_is_broken_where_there_is_no_room():
    to = page(width=40)
    to.table(("NAME", "WHY"), [("abc", "one two three four five six seven eight nine ten")])
    lines = to.stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[2].startswith("      ")
    assert " ".join(" ".join(lines[1:]).split()) == "abc one two three four five six seven eight nine ten"


def test_without_a_terminal_lines_are_as_long_as_they_come():
    to = page()
    to.table(("NAME", "WHY"), [("abc", "x " * 500)])
    assert len(to.stream.getvalue().splitlines()) == 2


def test_a_paragraph_is_broken_and_loses_nothing():
    to = page(width=30)
    to.finding(Grade.WARNING, "cidr-default", "one two three four five six seven eight")
    lines = to.stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 30
    assert " ".join(" ".join(lines).split()) == "warning cidr-default: one two three four five six seven eight"


def test_colours_are_for_terminals():
    plain, coloured = page(), page(coloured=True)
    for to in (plain, coloured):
        to.finding(Grade.ERROR, "a", "b")
    assert plain.stream.getvalue() == "  error    a: b\n"
    assert coloured.stream.getvalue() == "  \x1b[31merror\x1b[0m    a: b\n"


def test_columns_of_the_environment_are_heeded(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    assert Page.of(io.StringIO()).width == 77


def test_a_file_has_no_width_and_no_colour():
    found = Page.of(io.StringIO())
    assert (found.width, found.coloured) == (None, False)


@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_no_color_is_heeded(monkeypatch, value, coloured):
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setenv("NO_COLOR", value)
    assert Page.of(Terminal()).coloured is coloured


@pytest.mark.parametrize(
    ("used", "size", "drawn"),
    [
        (0, 10, "[..........]   0 %"),
        (1, 10, "[#.........]  10 %"),
        (10, 10, "[##########] 100 %"),
        (1, 2**64, "[#.........]  <1 %"),
        (2**64 - 1, 2**64, "[#########.] >99 %"),
        (0, 0, "empty"),
    ],
)
def test_a_bar_shows_what_is_used_at_all_and_what_is_full(used, size, drawn):
    assert bar(used, size, 10) == drawn


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (16_777_214, "16,777,214"), (2**40, "1.1e12"), (2**64, "1.8e19"), (2**128, "3.4e38")],
)
def test_numbers_are_readable(number, text):
    assert readable(number) == text


def test_one_is_singular():
    assert [plural(number, "address", "addresses") for number in (0, 1, 2)] == [
        "0 addresses",
        "1 address",
        "2 addresses",
    ]


def test_lists_are_shortened():
    assert shorten(["a", "b", "c"]) == "a, b, c"
    assert shorten(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_what_would_steer_a_terminal_is_made_visible():
    assert printable("a\x1b[31mb\n\t- c\x00") == "a\\x1b[31mb - c\\x00"
