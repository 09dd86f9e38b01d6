"""``scripts/check_words.py`` finds words that are not the field's terms; right uses pass."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "check_words.py"))


def planted(root: Path, text: str, *, left: int = 0, name: str = "src/flamepy/one.py") -> Path:
    """Make a tree with one file, and the number of words that it may still have."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (root / "scripts").mkdir(exist_ok=True)
    (root / "scripts" / "words_left.txt").write_text(f"{left} {name}\n" if left else "")
    return root


def check(root: Path) -> Any:  # of a script that is no module
    return SCRIPT["check"](root)


@pytest.mark.parametrize(
    "text",
    [
        "# Whoever reads it\n",
        '"""The caller is told."""\n',
        '"""Take in a result."""\n',
        "# there is none\n",
        "told = []\n",
        '"""A call that is under\n    way."""\n',
        "def f():\n    # a call that goes\n    # on\n",
    ],
)
@pytest.mark.parametrize(
    "name", ["src/flamepy/one.py", "docs/one.md", "README.md", "examples/a/x.py", "plugins/p/x.py"]
)
def test_a_planted_word_is_found_with_its_file_and_line(
    tmp_path: Path, text: str, name: str
) -> None:
    wrong = check(planted(tmp_path, "\n" + text, name=name))
    assert len(wrong) == 1, wrong
    assert wrong[0].startswith((f"{name}:2: ", f"{name}:3: "))
    assert ": write " in wrong[0]
    assert SCRIPT["main"]([], tmp_path) == 1


@pytest.mark.parametrize(
    "text", ["x = value is None\n", "_told_at = 1\n", "let_go()\n", "file.tell()\n", "# foretold\n"]
)
def test_code_that_only_looks_like_a_word_passes(tmp_path: Path, text: str) -> None:
    assert check(planted(tmp_path, text)) == []


def test_an_allowed_use_passes_and_the_same_word_elsewhere_does_not(tmp_path: Path) -> None:
    (name, uses), *_ = SCRIPT["ALLOWED"].items()
    text = "".join(f"# {use}\n" for use in uses)
    assert check(planted(tmp_path, text, name=name)) == []
    assert len(check(planted(tmp_path, text + "# behind\n", name=name))) == 1


def test_an_allowed_use_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (name, uses), *_ = SCRIPT["ALLOWED"].items()
    wrong = check(planted(tmp_path, "x = 1\n", name=name))
    assert len(wrong) == len(uses)
    assert all("is gone" in one for one in wrong)


def test_counts_of_words_that_are_left_only_shrink(tmp_path: Path) -> None:
    assert check(planted(tmp_path, "# nobody\n# nobody\n", left=2)) == []
    assert check(planted(tmp_path, "# nobody\n" * 3, left=2)), "one more than was left"
    planted(tmp_path, "# nobody\n", left=2)
    assert SCRIPT["main"](["--shrink"], tmp_path) == 0
    assert check(tmp_path) == []
    planted_again = tmp_path / "src" / "flamepy" / "one.py"
    planted_again.write_text("# nobody\n# nobody\n")
    assert len(check(tmp_path)) == 3, "the count went down to one, and is not raised again"
    SCRIPT["main"](["--shrink"], tmp_path)
    assert check(tmp_path), "shrinking never raises a count"
