"""Packages are unpacked into their folder or not at all, and installed only where needed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flamepy.runner import install, packaging
from flamepy.runner.install import InstallError


def archive(path: Path, *members: tuple[str, Any]) -> Path:
    """Write a .tar.gz: (name, bytes), (name, "->target"), or (name, type of member)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes) and len(content) > 1:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
                continue
            info.type = tarfile.SYMTYPE if isinstance(content, str) else content
            info.linkname = content[2:] if isinstance(content, str) else "etc"
            tar.addfile(info)
    return path


HOSTILE = [
    [("../evil", b"xx")],
    [("/evil", b"xx")],
    [("a/../../evil", b"xx")],
    [("link", "->/etc")],
    [("link", "->../..")],
    [("in", "->."), ("in/../../evil", b"xx")],
    [("d", "->sub"), ("d/evil", b"xx")],
    [("hard", tarfile.LNKTYPE)],
    [("pipe", tarfile.FIFOTYPE)],
    [("device", tarfile.CHRTYPE)],
]


@pytest.mark.parametrize("members", HOSTILE, ids=lambda one: one[-1][0])
def test_nothing_leaves_the_folder(members: list[Any], tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(InstallError, match=r"leaves|outside|through a link|neither"):
        install.unpack(archive(tmp_path / "x.tar.gz", *members), target)
    assert not (tmp_path / "evil").exists()


def test_a_file_does_not_replace_what_a_link_points_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    install.unpack(
        archive(tmp_path / "x.tar.gz", ("a", b"first"), ("l", "->a"), ("l", b"second")), target
    )
    assert (target / "a").read_bytes() == b"first"


def test_a_zip_is_checked_as_well(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("../evil", "x")
    (tmp_path / "target").mkdir()
    with pytest.raises(InstallError, match="leaves"):
        install.unpack(tmp_path / "x.zip", tmp_path / "target")


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "MAX_ENTRIES", 2)
    (tmp_path / "target").mkdir()
    with pytest.raises(InstallError, match="entries"):
        install.unpack(
            archive(tmp_path / "x.tar.gz", *[(str(n), b"xx") for n in range(3)]),
            tmp_path / "target",
        )


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0cut"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(InstallError, match="cannot be unpacked"):
        install.unpack(tmp_path / "x.tar.gz", tmp_path)


def test_a_package_without_dependencies_needs_no_installer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "code"
    source.mkdir()
    (source / "mine.py").write_text("x = 1")
    package = tmp_path / "p.tar.gz"
    packaging.write_archive(
        source, package, patterns=(), extra={"pyproject.toml": packaging.pyproject("p", [])}
    )
    monkeypatch.setattr(install, "_installers", pytest.fail)
    target = tmp_path / "target"
    target.mkdir()
    install.install(f"file://{package}", "Python", target)
    assert (target / "src" / "mine.py").read_text() == "x = 1"


@pytest.mark.parametrize(
    ("url", "installer", "text"),
    [
        ("file:///nothing.tar.gz", "cargo", "Unknown installer type: cargo. Supported types"),
        ("file:///nothing.tar.gz", "python", "cannot be fetched"),
        ("ftp://x/y.tar.gz", "python", "the scheme 'ftp' is not known"),
        ("file:///", "python", "names no file"),
    ],
)
def test_failures_name_what_failed(url: str, installer: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=text):
        install.install(url, installer, tmp_path)


def test_the_program_says_why_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main(["file:///nothing.zip", "python", str(tmp_path)]) == 1
    assert "cannot be fetched" in capsys.readouterr().err
