"""Packages are unpacked into their folder or not at all, and installed only where needed."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import urllib.request
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


def test_too_many_bytes_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "MAX_BYTES", 100)
    target = tmp_path / "target"
    target.mkdir()
    packed = archive(tmp_path / "x.tar.gz", ("a", b"x" * 60), ("b", b"x" * 60))
    with pytest.raises(InstallError, match="GiB"):
        install.unpack(packed, target)
    assert [one.name for one in target.iterdir()] == ["a"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(kind: bytes, tmp_path: Path) -> None:
    """A header is read whole; a gigabyte of zeros is a megabyte in the archive."""
    header = tarfile.TarInfo("long")
    header.size, header.type = 1 << 30, kind
    with gzip.open(tmp_path / "x.tar.gz", "wb") as out:
        out.write(header.tobuf())
        out.write(bytes(1 << 20))
    with pytest.raises(InstallError, match="a header of more than 16 MiB"):
        install.unpack(tmp_path / "x.tar.gz", tmp_path)


def test_an_archive_in_an_archive_is_none(tmp_path: Path) -> None:
    """Tarfile would unpack it in its turn, past the limits."""
    inner = archive(tmp_path / "inner.tar.gz", ("a", b"x")).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(inner))
    with pytest.raises(InstallError, match="cannot be unpacked"):
        install.unpack(tmp_path / "x.tar.gz", tmp_path / "target")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(link, "/etc")
    (tmp_path / "target").mkdir()
    with pytest.raises(InstallError, match="is a link"):
        install.unpack(tmp_path / "x.zip", tmp_path / "target")


def test_a_download_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "MAX_DOWNLOAD", 1000)
    monkeypatch.setattr(install, "BLOCK", 100)
    zeros = open("/dev/zero", "rb")  # noqa: SIM115  # closed by what reads it
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: zeros)
    with pytest.raises(InstallError, match="more than 1000 bytes"):
        install.fetch("http://x/y.zip", tmp_path / "download")
    assert zeros.closed


def test_a_binary_package_is_unpacked_and_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_installers", pytest.fail)
    target = tmp_path / "target"
    target.mkdir()
    package = archive(tmp_path / "tool.tgz", ("bin/tool", b"#!/bin/sh\n"), ("setup.py", b"1/0"))
    install.install(f"file://{package}", "Binary", target)
    assert (target / "src" / "bin" / "tool").read_bytes() == b"#!/bin/sh\n"
    assert list((target / "deps").iterdir()) == []


def test_a_single_file_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho ran\n")
    target = tmp_path / "target"
    target.mkdir()
    install.install(f"file://{tmp_path}/tool", "binary", target)
    done = subprocess.run([target / "src" / "tool"], capture_output=True, check=True)
    assert done.stdout == b"ran\n"


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
