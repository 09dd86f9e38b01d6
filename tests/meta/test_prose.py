"""``scripts/check_prose.py`` finds words that add nothing, in prose alone, with their line."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "check_prose.py"))


def found(text: str) -> Any:  # of a script that is no module
    return SCRIPT["found"](text, {})


@pytest.mark.parametrize(
    "text",
    [
        "Simply call it.",
        "It is easy.",
        "You can call it in\norder to stop.",
        "The the call returns.",
        "The call returns\nreturns a value.",
        "It works!",
        "A very long list.",
        "Utilize a `Reactor`.",
        "| a | just call it |",
        "- an item, [obviously](x.md)",
        "It fails each and every time.",
    ],
)
def test_a_fault_is_found_with_its_line(text: str) -> None:
    (fault,) = found(f"# A page\n\n{text}\n\nMore of it.\n")
    assert fault.split(": ")[0] in ("3", "4")


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint('simply easy!')\n```",
        "1. An item:\n\n    ```console\n    $ easy easy\n    ```",
        "Call `simply()`, the `easy` call.",
        "See [the page](just.md) and <https://example.com/just/easy>.",
        "# The runner\n\nThe runner runs it.",
        "![A picture](easy.png)",
        "<!-- just a comment -->",
        "the `one` the `other`",
        "a just-in-time compiler",
        "| service | service |",
    ],
)
def test_what_is_no_prose_passes(text: str) -> None:
    assert found(f"# A page\n\n{text}\n") == []


def test_a_use_is_allowed_by_its_text_and_only_while_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "docs" / "how-to").mkdir(parents=True)
    (tmp_path / "README.md").write_text("A page.\n")
    page = tmp_path / "docs" / "how-to" / "one.md"
    page.write_text("Words.\n\nThe very first one, very soon.\n")
    check, allowed = SCRIPT["check"], SCRIPT["ALLOWED"]
    assert [one.split(": ")[0] for one in check(tmp_path)] == ["docs/how-to/one.md:3"] * 2
    allowed["docs/how-to/one.md"] = {"very first": "the first of all"}
    try:
        assert len(check(tmp_path)) == 1
        assert SCRIPT["main"](tmp_path) == 1
        page.write_text("Words.\n")
        assert check(tmp_path) == ["docs/how-to/one.md: ALLOWED has 'very first', which is gone"]
    finally:
        del allowed["docs/how-to/one.md"]
    page.write_text("Words.\n")
    assert SCRIPT["main"](tmp_path) == 0
