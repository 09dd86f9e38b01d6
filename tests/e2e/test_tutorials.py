"""Each tutorial works as its page says, from the first line to the last, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.walking import Walk, blocks, pattern

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorial").glob("[!i]*.md"))

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_works_as_written(page: Path, tmp_path: Path) -> None:
    with Walk(tmp_path) as walk:
        walk.follow(page)
    assert walk.commands >= 2


def test_there_are_the_six_and_each_shows_output() -> None:
    assert len(PAGES) == 6
    for page in PAGES:
        consoles = [text.splitlines() for kind, _, text in blocks(page) if kind == "console"]
        assert any(not line.startswith("$ ") for lines in consoles for line in lines), page.stem


def test_other_output_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one; echo two\none\nthree\n```\n")
    with Walk(tmp_path) as walk, pytest.raises(AssertionError, match="two"):
        walk.follow(page)
    assert pattern(["a ... c", "...", "z"]).fullmatch("a b c\nd\ne\nz\n")
    assert not pattern(["a"]).fullmatch("a\nb\n")
