"""A package has what is not left out, and the same name for the same content."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.runner import packaging


def packed(folder: Path, target: Path, *patterns: str) -> tuple[str, list[str]]:
    content = packaging.write_archive(folder, target, patterns=patterns, extra={})
    with tarfile.open(target) as tar:
        return content, tar.getnames()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name in ("a.py", "pkg/b.py", "pkg/__pycache__/b.pyc", "dist/old.whl", "pkg/dist/kept"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_what_matches_and_dist_at_the_top_stay_out(source: Path, tmp_path: Path) -> None:
    _, names = packed(source, tmp_path / "x.tar.gz", *packaging.EXCLUDES)
    assert names == ["a.py", "pkg", "pkg/b.py", "pkg/dist", "pkg/dist/kept"]


@pytest.mark.parametrize(
    ("path", "pattern", "out"),
    [
        ("data", "data/", True),
        ("a/data", "data", True),
        ("a/x.pyc", "*.pyc", True),
        ("a/b/c.txt", "a/*", True),
        ("data.txt", "data", False),
    ],
)
def test_patterns(path: str, pattern: str, out: bool) -> None:
    assert packaging.excluded(path, [pattern]) is out


def test_the_name_depends_on_content_alone(source: Path, tmp_path: Path) -> None:
    first, _ = packed(source, tmp_path / "1.tar.gz")
    os.utime(source / "a.py", (1, 1))
    again, _ = packed(source, tmp_path / "2.tar.gz")
    (source / "a.py").write_text("other")
    other, _ = packed(source, tmp_path / "3.tar.gz")
    assert first == again
    assert first != other
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()


def test_links_stay_links_and_sockets_stay_out(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("a.py")
    os.mkfifo(source / "pipe")
    _, names = packed(source, tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz") as tar:
        assert tar.getmember("link").linkname == "a.py"
    assert "pipe" not in names


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n"), min_size=1)))
def test_metadata_is_toml_whatever_the_dependencies(dependencies: list[str]) -> None:
    tomllib = pytest.importorskip("tomllib")
    try:
        text = packaging.pyproject("x", packaging.check_dependencies(dependencies))
        found = tomllib.loads(text)
    except (InvalidArgumentError, tomllib.TOMLDecodeError):
        assert any(not one.strip() or not one.isprintable() for one in dependencies)
    else:
        assert found["project"]["dependencies"] == sorted(dependencies)


@pytest.mark.parametrize("given_", ["numpy", 3, [1], ["a\nb"], [""]])
def test_dependencies_are_checked(given_: object) -> None:
    with pytest.raises(InvalidArgumentError, match="dependencies"):
        packaging.check_dependencies(given_)
