"""A service's output files stay small, and their end can be shown."""

from __future__ import annotations

from pathlib import Path

from flamepy.local.services.logfiles import KEPT, NOTE, cut, tail


def test_a_file_over_the_limit_keeps_its_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("ab") as service:
        service.write(b"a" * 200_000 + b"the end")
        service.flush()
        cut(path, 100_000)
        service.write(b" and more")  # by the file that the service still has open
    text = path.read_bytes()
    assert text.startswith(NOTE)
    assert text.endswith(b"the end and more")
    assert len(text) < KEPT + 100


def test_a_file_under_the_limit_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"x" * 10)
    cut(path, 10)
    assert path.read_bytes() == b"x" * 10


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    cut(tmp_path / "nothing", 1)
    assert tail(tmp_path / "nothing") == ""


def test_the_tail_is_text(tmp_path: Path) -> None:
    path = tmp_path / "err"
    path.write_bytes(b"\xff" * 5000 + b" last words\n")
    assert tail(path).endswith(" last words")
    assert len(tail(path)) <= 2000
