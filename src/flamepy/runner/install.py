"""``python -m flamepy.runner.install``: fetch a package, unpack it, install its dependencies.

The embedded cluster starts it before the first service of an application with a ``url`` and an
``installer``. What it prints is the log of the installation. Unpacking refuses whatever would leave
the folder; installing runs code of the package, as the service does later
(docs/runner.md#security).
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, cast
from urllib.parse import unquote, urlsplit

from flamepy.errors import FlameError
from flamepy.runner.packaging import METADATA
from flamepy.texts import repr_of, text_of

MAX_BYTES = 4 << 30  # of all that is unpacked
MAX_ENTRIES = 200_000
MAX_DOWNLOAD = 4 << 30  # bytes of a package as it is fetched
MAX_READ = 16 << 20  # bytes that a header of an archive may have
HTTP_TIMEOUT = 300.0  # seconds
BLOCK = 1 << 20
ARCHIVES = (".tar.gz", ".tgz", ".zip")
_ONLY_DEPENDENCIES = re.compile(r"(?m)^py-modules\s*=\s*\[\s*\]")
_NO_DEPENDENCIES = re.compile(r"(?m)^dependencies\s*=\s*\[\s*\]")


class InstallError(Exception):
    """The package cannot be installed; the text says why."""


def install(url: str, installer: str, target: Path) -> None:
    """Install a package.

    Args:
        url: ``file``, ``http``, ``https``, ``grpc`` or ``grpcs``.
        installer: ``python`` or ``binary``, in any case.
        target: an empty folder; gets ``src`` with the package, and ``deps``.

    Raises:
        InstallError: any step failed.
    """
    kind = installer.lower()
    if kind not in ("python", "binary"):
        raise InstallError(f"Unknown installer type: {installer}. Supported types: binary, python")
    source = target / "src"
    source.mkdir()
    (target / "deps").mkdir()
    package = fetch(url, target / "download")
    if package.name.endswith(ARCHIVES):
        unpack(package, source)
    else:
        shutil.copy(package, source / package.name)
        (source / package.name).chmod(0o755)
    package.unlink()
    if kind == "python":
        install_python(source, target / "deps")


def fetch(url: str, folder: Path) -> Path:
    """Fetch a URL into a folder; return the file.

    Raises:
        InstallError: it cannot be had.
    """
    folder.mkdir()
    parts = urlsplit(url)
    name = PurePosixPath(unquote(parts.path)).name
    if not name:
        raise InstallError(f"{repr_of(url)} names no file")
    file = folder / name
    print(f"fetching {url}", flush=True)
    try:
        if parts.scheme in ("", "file"):
            shutil.copyfile(unquote(parts.path), file)
        elif parts.scheme in ("http", "https"):
            with (
                urllib.request.urlopen(url, timeout=HTTP_TIMEOUT) as answer,
                file.open("wb") as out,
            ):
                _copy_bounded(answer, out, url)
        elif parts.scheme in ("grpc", "grpcs", "grpc+tls"):
            _fetch_object(url, file)
        else:
            raise InstallError(
                f"{repr_of(url)}: the scheme {repr_of(parts.scheme)} is not known; "
                "there are file, http, https, grpc and grpcs"
            )
    except (OSError, FlameError) as error:
        raise InstallError(f"{url} cannot be fetched: {text_of(error)}") from error
    return file


def _copy_bounded(source: IO[bytes], target: IO[bytes], url: str) -> None:
    left = MAX_DOWNLOAD
    while block := source.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise InstallError(f"{url} has more than {MAX_DOWNLOAD} bytes")
        target.write(block)


def _fetch_object(url: str, file: Path) -> None:
    from flamepy.core.cache import ObjectRef, download_object

    parts = urlsplit(url)
    scheme = "grpc+tls" if parts.scheme == "grpcs" else parts.scheme
    download_object(
        ObjectRef(f"{scheme}://{parts.netloc}", unquote(parts.path).strip("/"), 0), file
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.tar.gz``, ``.tgz`` or ``.zip``; nothing is written outside ``folder``.

    Raises:
        InstallError: a path or a link leaves the folder, it is too large, or is no archive.
    """
    print(f"unpacking {archive.name}", flush=True)
    try:
        if archive.name.endswith(".zip"):
            _unzip(archive, folder)
        else:
            _untar(archive, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise InstallError(f"{archive.name} cannot be unpacked: {text_of(error)}") from error


def _untar(archive: Path, folder: Path) -> None:
    limit = _Limit(archive.name)
    with (
        gzip.open(archive) as unpacked,
        tarfile.open(fileobj=cast("IO[bytes]", _Headers(unpacked, archive.name)), mode="r:") as tar,
    ):
        for member in tar:
            path = _inside(folder, member.name)
            limit.add(member.size)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                _check_link(folder, path, member.name, member.linkname)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(member.linkname)
            elif member.isreg():
                content = tar.extractfile(member)
                assert content is not None  # a regular file has content
                _write(path, content, member.mode)
            else:
                raise InstallError(
                    f"{archive.name}: {repr_of(member.name)} is neither a file, a folder "
                    "nor a link to one; such a package is not unpacked"
                )


def _unzip(archive: Path, folder: Path) -> None:
    limit = _Limit(archive.name)
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = _inside(folder, entry.filename)
            limit.add(entry.file_size)
            mode = entry.external_attr >> 16
            if entry.is_dir():
                path.mkdir(parents=True, exist_ok=True)
            elif mode & 0o170000 == 0o120000:
                raise InstallError(
                    f"{archive.name}: {repr_of(entry.filename)} is a link; use .tar.gz"
                )
            else:
                with packed.open(entry) as content:
                    _write(path, content, mode)


class _Headers:
    """An unpacked archive; ``tarfile`` reads a header whole, however long it says to be."""

    def __init__(self, file: gzip.GzipFile, name: str) -> None:
        self._file, self._name = file, name
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise InstallError(f"{self._name} has a header of more than {MAX_READ >> 20} MiB")
        return self._file.read(size)


class _Limit:
    """Counts what is unpacked, and refuses an archive that grows beyond reason."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._size = self._entries = 0

    def add(self, size: int) -> None:
        self._size += size
        self._entries += 1
        if self._size > MAX_BYTES or self._entries > MAX_ENTRIES:
            raise InstallError(
                f"{self._name} has more than {MAX_BYTES >> 30} GiB or {MAX_ENTRIES} entries"
            )


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise InstallError(f"the package has the path {repr_of(name)}, which leaves its folder")
    path = folder.joinpath(*parts)
    for parent in path.parents:
        if parent == folder:
            break
        if parent.is_symlink():
            raise InstallError(
                f"the package has the path {repr_of(name)}, which goes through a link"
            )
    if path.is_symlink():
        path.unlink()  # never write through it
    return path


def _check_link(folder: Path, path: Path, name: str, target: str) -> None:
    root = folder.resolve()
    if target.startswith("/") or not (path.parent / target).resolve().is_relative_to(root):
        raise InstallError(
            f"the package has the link {repr_of(name)} to {repr_of(target)}, outside its folder; "
            "leave it out by package.excludes of the configuration, or put a copy in its place"
        )


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        shutil.copyfileobj(content, out, BLOCK)
    path.chmod(0o755 if mode & 0o100 else 0o644)


def install_python(source: Path, deps: Path) -> None:
    """Install a Python package's dependencies, and what it builds, into ``deps``.

    Uses uv where there is one, else pip. A package of the runner without dependencies needs neither
    them nor an index.

    Raises:
        InstallError: the installer failed.
    """
    project = source / "pyproject.toml"
    if not any((source / one).is_file() for one in METADATA):
        raise InstallError(f"the package has no {' or '.join(METADATA)}: nothing to install")
    if project.is_file():
        text = project.read_text(errors="replace")
        if _ONLY_DEPENDENCIES.search(text) and _NO_DEPENDENCIES.search(text):
            print("no dependencies", flush=True)
            return
    for command in _installers(source, deps):
        print("running", " ".join(command), flush=True)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, cwd=source, check=False)
        if done.returncode != 0:
            raise InstallError(f"{command[0]} exited with status {done.returncode}")
        return
    raise InstallError("neither uv nor pip is there to install with: install one of them")


def _installers(source: Path, deps: Path) -> Iterator[list[str]]:
    uv = shutil.which("uv")
    if uv is not None:
        yield [
            uv,
            "pip",
            "install",
            "--link-mode=copy",
            "--python",
            sys.executable,
            "--target",
            str(deps),
            ".",
        ]
    if (
        subprocess.run(
            [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        yield [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--target",
            str(deps),
            ".",
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flamepy.runner.install")
    parser.add_argument("url")
    parser.add_argument("installer")
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    try:
        install(options.url, options.installer, options.target)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
