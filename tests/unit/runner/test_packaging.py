"""A package has what is not left out, and the same name for the same content."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.runner import install, packaging


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


def test_virtual_environments_stay_out_whatever_their_name(source: Path, tmp_path: Path) -> None:
    (source / "mine" / "bin").mkdir(parents=True)
    (source / "mine" / "pyvenv.cfg").write_text("home = /usr/bin")
    (source / "mine" / "bin" / "python").symlink_to("/usr/bin/python3")
    _, names = packed(source, tmp_path / "x.tar.gz", *packaging.EXCLUDES)
    assert [one for one in names if one.startswith("mine")] == []


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


names = st.text("abcü .-_#", min_size=1, max_size=6).filter(lambda one: one.strip(".") != "")
trees = st.recursive(
    st.tuples(st.binary(max_size=20), st.booleans()),
    lambda inside: st.dictionaries(names, inside, max_size=4),
    max_leaves=8,
).filter(lambda one: isinstance(one, dict))
Tree = dict[str, Any]


def grow(folder: Path, tree: Tree) -> None:
    folder.mkdir(exist_ok=True)
    for name, inside in tree.items():
        if isinstance(inside, dict):
            grow(folder / name, inside)
        else:
            (folder / name).write_bytes(inside[0])
            (folder / name).chmod(0o755 if inside[1] else 0o644)


def seen(folder: Path) -> Tree:
    return {
        one.name: seen(one)
        if one.is_dir()
        else (one.read_bytes(), bool(one.stat().st_mode & 0o100))
        for one in folder.iterdir()
    }


@given(trees)
def test_what_is_packed_is_unpacked_as_it_was(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grow(folder / "source", tree)
        packed(folder / "source", folder / "x.tar.gz")
        (folder / "target").mkdir()
        install.unpack(folder / "x.tar.gz", folder / "target")
        expected = {one: inside for one, inside in tree.items() if one != "dist"}
        assert seen(folder / "target") == expected


@given(trees, trees)
def test_two_packages_have_one_name_if_and_only_if_they_have_the_same_content(
    one: Tree, other: Tree
) -> None:
    with tempfile.TemporaryDirectory() as name:
        hashes = []
        for number, tree in enumerate((one, dict(reversed(one.items())), other)):
            grow(Path(name) / f"{number}", tree)
            hashes.append(packed(Path(name) / f"{number}", Path(name) / "x.tar.gz")[0])
    assert hashes[0] == hashes[1]
    assert (hashes[0] == hashes[2]) == (one == other)


@given(trees, st.lists(names, max_size=3))
def test_nothing_that_a_pattern_names_is_packed_nor_what_is_in_it(
    tree: Tree, patterns: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        grow(Path(name) / "source", tree)
        _, found = packed(Path(name) / "source", Path(name) / "x.tar.gz", *patterns)
    assert not [one for one in found if set(one.split("/")) & set(patterns)]
