"""CI runs a few failed tests once more, alone, and names them; a real failure stays one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ACCIDENT = """
import pathlib
def test_late():
    seen = pathlib.Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError
"""
LEAVING = """
class Left:
    def __init__(self):
        self.itself = self  # only a collection finds it, and pytest does one more at its end
    def __del__(self):
        raise RuntimeError("left behind")
def test_leaves():
    import gc
    gc.disable()
    Left()
    assert not 1
"""
FAILING = "def test_wrong():\n    assert not 1\n"
MANY = "".join(f"def test_{number}():\n    assert not 1\n" for number in range(4))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the checkout, as the tests are in."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as made:
        yield Path(made)


def run(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "test_it.py"
    path.write_text(text)
    command = [sys.executable, "scripts/run_tests.py", "-q", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("def test_right():\n    pass\n", 0, "1 passed"),
        (ACCIDENT, 0, "passed alone, failed among others: "),
        (FAILING, 1, "failed twice: "),
        (ACCIDENT + FAILING, 1, "failed twice: "),
        (MANY, 1, "4 failed"),
        ("import nothing_of_the_kind\n", 2, "1 error"),
        ("", 5, "no tests ran"),
        (LEAVING, 1, "failed: "),
    ],
    ids=["passes", "accident", "fails", "both", "many", "broken", "none", "leaves"],
)
def test_what_fails_twice_fails(folder: Path, text: str, status: int, said: str) -> None:
    found, shown = run(folder, text)
    assert (found, said in shown) == (status, True), shown
    if status != 0:
        assert "passed alone" not in shown or text == ACCIDENT + FAILING
