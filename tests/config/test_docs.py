"""The documentation page is made from the table, and is up to date."""

from pathlib import Path

import pytest

from kubevip.config.docs import page
from kubevip.config.table import NAMES

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m kubevip.config.docs > docs/settings.md"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in page()


def test_every_row_has_as_many_cells_as_its_head() -> None:
    rows = [line.replace("\\|", "") for line in page().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {9}
